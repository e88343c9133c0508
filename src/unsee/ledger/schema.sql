-- One log, and beside it the vault and the files of erasers. What a request is, is read from the log's rows.
-- Whoever changes a table gives it the next VERSION in database.py, and a script that leads there.

CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE log (
  seq INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  clock TEXT NOT NULL,
  record TEXT,
  step TEXT NOT NULL CHECK (step <> ''),
  who TEXT NOT NULL CHECK (who <> ''),
  why TEXT NOT NULL CHECK (why <> ''),
  rests_on TEXT NOT NULL,
  changes TEXT NOT NULL CHECK (changes GLOB '{*}'),
  prev TEXT NOT NULL CHECK (length(prev) = 64),
  hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
  CHECK (at >= clock)
) STRICT;

CREATE INDEX log_of_record ON log (record);

CREATE TRIGGER log_follows BEFORE INSERT ON log
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM log)
  OR EXISTS (SELECT 1 FROM log WHERE seq = NEW.seq - 1 AND (hash IS NOT NEW.prev OR at > NEW.at))
BEGIN
  SELECT RAISE(ABORT, 'log: a row must follow the last one in number, hash and time');
END;

CREATE TRIGGER log_keeps_rows BEFORE DELETE ON log BEGIN
  SELECT RAISE(ABORT, 'the log is append-only: a row is never deleted');
END;

CREATE TRIGGER log_keeps_values BEFORE UPDATE ON log BEGIN
  SELECT RAISE(ABORT, 'the log is append-only: a row is never changed');
END;

CREATE TRIGGER meta_keeps_rows BEFORE DELETE ON meta BEGIN
  SELECT RAISE(ABORT, 'meta is append-only: a row is never deleted');
END;

CREATE TRIGGER meta_keeps_values BEFORE UPDATE ON meta BEGIN
  SELECT RAISE(ABORT, 'meta is append-only: a row is never changed');
END;

-- Ciphertext only; each record's key lies in the operator's key folder, outside the ledger.
CREATE TABLE vault (
  record TEXT NOT NULL,
  part TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (record, part)
) STRICT;

-- Files of erasers that some request holds; the log has the digest of each.
CREATE TABLE files (
  content_id TEXT NOT NULL,
  name TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (content_id, name)
) STRICT;
