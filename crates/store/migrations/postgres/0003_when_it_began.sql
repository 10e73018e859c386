-- When a sequence was begun, in milliseconds since 1970: a step that was sent before is of what it was then. 0: not known.
ALTER TABLE sequences ADD COLUMN begun_at BIGINT NOT NULL DEFAULT 0;
