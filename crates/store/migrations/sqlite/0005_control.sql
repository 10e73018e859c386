-- Who does what one process has to do, here the only one: its generation rises from life to life.
CREATE TABLE leases (
    name       TEXT    PRIMARY KEY,
    holder     TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    -- Milliseconds since 1970.
    expires    INTEGER NOT NULL
) STRICT;

-- What control has begun to do, and how far it has come. Of each kind one is under way at most.
CREATE TABLE plans (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT    NOT NULL,
    -- Of the leader that wrote last; 0 where none has taken it up.
    generation INTEGER NOT NULL DEFAULT 0,
    -- Rises with every change.
    revision   INTEGER NOT NULL DEFAULT 0,
    is_over    INTEGER NOT NULL DEFAULT 0,
    document   TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX plans_under_way ON plans (kind) WHERE is_over = 0;
