-- What every start asks: the newest place in the step log, and the models that states are of. Without these the whole table
-- would be read, states included.
CREATE INDEX sequences_by_position ON sequences (position);
CREATE INDEX sequences_by_model ON sequences (hash, model);
