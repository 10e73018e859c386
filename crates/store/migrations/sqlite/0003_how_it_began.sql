-- The digest of the rows that a sequence was begun with, by which its first step is known again when it comes late. 0: not known.
ALTER TABLE sequences ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
