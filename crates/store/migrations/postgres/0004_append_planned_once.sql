-- With arrays as arguments a plan for each call looks cheaper than one for all, and making it took four fifths of an append. It is made
-- once for a session, perhaps while the log is empty: then reading all of it would look cheapest, for as long as the session lives.
ALTER FUNCTION append_steps SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION append_steps SET enable_seqscan = off;
