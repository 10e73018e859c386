-- The position before which every entry of the step log is in the sequences' rows, or was when they were given up: before it the
-- log may be forgotten. One row, or none where nothing was copied yet. Of a database from before this table it is not known; it is
-- then taken to hold everything, until the next copy says it.
CREATE TABLE step_log (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    copied INTEGER NOT NULL
);

INSERT INTO step_log SELECT 1, 9223372036854775807 WHERE EXISTS (SELECT 1 FROM sequences);
