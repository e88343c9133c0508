-- Signed heads of the log: whoever rewrites a row before one must also forge its signature.

CREATE TABLE heads (
  seq INTEGER NOT NULL REFERENCES audit (seq),
  hash TEXT NOT NULL,
  signed TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  key_id TEXT NOT NULL,
  signature TEXT NOT NULL,
  PRIMARY KEY (seq, algorithm, key_id)
) STRICT;

CREATE TRIGGER heads_keeps_rows BEFORE DELETE ON heads BEGIN
  SELECT RAISE(ABORT, 'heads is append-only: a row is never deleted');
END;

CREATE TRIGGER heads_keeps_values BEFORE UPDATE ON heads BEGIN
  SELECT RAISE(ABORT, 'heads is append-only: a row is never changed');
END;
