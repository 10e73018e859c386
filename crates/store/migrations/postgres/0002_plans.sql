-- What control has begun to do, and how far it has come. Of each kind one is under way at most.
CREATE TABLE plans (
    id         BIGINT  PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    kind       TEXT    NOT NULL,
    -- Of the leader that wrote last; 0 where none has taken it up.
    generation BIGINT  NOT NULL DEFAULT 0,
    -- Rises with every change.
    revision   BIGINT  NOT NULL DEFAULT 0,
    is_over    BOOLEAN NOT NULL DEFAULT FALSE,
    document   TEXT    NOT NULL
);

CREATE UNIQUE INDEX plans_under_way ON plans (kind) WHERE NOT is_over;
