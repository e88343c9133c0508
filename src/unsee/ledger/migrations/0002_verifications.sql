-- A request is verified only by a verification of the very artifact that it holds.

CREATE TABLE verifications (
  audit_seq INTEGER PRIMARY KEY REFERENCES audit (seq),
  request_id TEXT NOT NULL REFERENCES requests (id),
  content_id TEXT NOT NULL REFERENCES artifacts (content_id),
  passed INTEGER NOT NULL CHECK (passed IN (0, 1)),
  policy TEXT NOT NULL
) STRICT;

CREATE INDEX verifications_of_request ON verifications (request_id);

CREATE TRIGGER verifications_keeps_rows BEFORE DELETE ON verifications BEGIN
  SELECT RAISE(ABORT, 'verifications is append-only: a row is never deleted');
END;

CREATE TRIGGER verifications_keeps_values BEFORE UPDATE ON verifications BEGIN
  SELECT RAISE(ABORT, 'verifications is append-only: a row is never changed');
END;

CREATE TRIGGER requests_verified BEFORE UPDATE ON requests
WHEN NEW.state = 'verified' AND NOT EXISTS (
  SELECT 1 FROM verifications
  WHERE audit_seq = NEW.audit_seq AND request_id = NEW.id AND content_id = NEW.content_id AND passed = 1
)
BEGIN
  SELECT RAISE(ABORT, 'requests: verified means that a verification of this artifact passed');
END;
