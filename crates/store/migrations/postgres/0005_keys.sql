-- Keys that what rests is encrypted with, wrapped by a root key that is not here.
CREATE TABLE wrapped_keys (
    record BYTEA PRIMARY KEY
);

-- Keys that were erased, for ever: a copy from before must not bring them back.
CREATE TABLE erased_keys (
    id BYTEA PRIMARY KEY
);
