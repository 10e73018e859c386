-- The log of each shard of sequences ends here. Whoever appends locks the row: it is what orders writers.
CREATE TABLE shards (
    shard    SMALLINT PRIMARY KEY,
    position BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

INSERT INTO shards (shard) SELECT generate_series(0, 4095);

-- Changes of sequences, in the order of their shard. `written` is for pruning alone.
CREATE TABLE steps (
    shard    SMALLINT    NOT NULL,
    position BIGINT      NOT NULL,
    -- A number of the writing process's life, by which it knows its own entries again.
    writer   BIGINT      NOT NULL,
    key      BYTEA       NOT NULL,
    entry    BYTEA       NOT NULL,
    written  TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (shard, position)
);

CREATE INDEX steps_by_age ON steps (written);

-- Where each sequence stands by its newest copy: its state, or that it ended or expired a while ago.
CREATE TABLE sequences (
    key      BYTEA    PRIMARY KEY,
    shard    SMALLINT NOT NULL,
    -- SHA-256 of the model file that the state is of.
    hash     BYTEA    NOT NULL,
    -- The newest step in the state, its digest, and its place in the shard's log.
    step     BIGINT   NOT NULL,
    digest   BIGINT   NOT NULL,
    -- The digest of the first step's rows; 0 where that is not known.
    begun    BIGINT   NOT NULL,
    position BIGINT   NOT NULL,
    -- Milliseconds since 1970.
    used     BIGINT   NOT NULL,
    -- 0 lives, 1 has ended, 2 has expired.
    phase    SMALLINT NOT NULL,
    state    BYTEA
);

CREATE INDEX sequences_by_use ON sequences (phase, used);
CREATE INDEX sequences_by_model ON sequences (hash);

-- Model files that sequences were begun with.
CREATE TABLE models (
    hash    BYTEA  PRIMARY KEY,
    name    TEXT   NOT NULL,
    version BIGINT NOT NULL,
    bytes   BYTEA  NOT NULL
);

-- Who does what one process of the region has to do.
CREATE TABLE leases (
    name       TEXT        PRIMARY KEY,
    holder     TEXT        NOT NULL,
    generation BIGINT      NOT NULL,
    expires    TIMESTAMPTZ NOT NULL
);

-- Appends to several shards at once, each behind the position that the writer expects, and gives the shards that have taken it.
-- Shards are locked in order, so that writers never wait for each other in a circle. What was appended before, by the same
-- writer and with the same entries, is taken: who has lost the answer asks again.
CREATE FUNCTION append_steps(
    own BIGINT, a_shards SMALLINT[], a_expected BIGINT[], a_entries BIGINT[],
    e_shards SMALLINT[], e_positions BIGINT[], e_keys BYTEA[], e_entries BYTEA[]
) RETURNS SETOF SMALLINT LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM shards WHERE shard = ANY (a_shards) ORDER BY shard FOR UPDATE;
    RETURN QUERY
    WITH asked AS (
        SELECT a.shard, a.expected, a.entries, s.position
        FROM unnest(a_shards, a_expected, a_entries) AS a (shard, expected, entries) JOIN shards s ON s.shard = a.shard
    ), given AS MATERIALIZED (
        SELECT * FROM unnest(e_shards, e_positions, e_keys, e_entries) AS g (shard, position, key, entry)
    ), added AS (
        INSERT INTO steps (shard, position, writer, key, entry)
        SELECT g.shard, g.position, own, g.key, g.entry FROM given g JOIN asked a ON a.shard = g.shard
        WHERE a.position = a.expected
    ), moved AS (
        UPDATE shards s SET position = a.expected + a.entries FROM asked a
        WHERE s.shard = a.shard AND a.position = a.expected RETURNING s.shard
    ), known AS (
        SELECT a.shard FROM asked a
        WHERE a.position > a.expected AND a.entries = (
            SELECT count(*) FROM given g JOIN steps s ON s.shard = g.shard AND s.position = g.position
            WHERE g.shard = a.shard AND s.writer = own AND s.key = g.key AND s.entry = g.entry
        )
    )
    SELECT moved.shard FROM moved UNION ALL SELECT known.shard FROM known;
END $$;
