-- Where each sequence stands: its state, or that it ended or expired a while ago.
CREATE TABLE sequences (
    tenant   TEXT    NOT NULL,
    model    TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    -- SHA-256 of the model file that the state is of.
    hash     BLOB    NOT NULL,
    -- The newest step in the state, its digest, and its place in the step log.
    step     INTEGER NOT NULL,
    digest   INTEGER NOT NULL,
    position INTEGER NOT NULL,
    -- Milliseconds since 1970.
    used     INTEGER NOT NULL,
    -- 0 lives, 1 has ended, 2 has expired.
    phase    INTEGER NOT NULL,
    state    BLOB,
    PRIMARY KEY (tenant, model, id)
);

CREATE INDEX sequences_by_use ON sequences (phase, used);
