-- Requests, their artifacts, and the log. Never edit a migration that was released: add the next one.

CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  clock TEXT NOT NULL,
  request_id TEXT REFERENCES requests (id) DEFERRABLE INITIALLY DEFERRED,
  event TEXT NOT NULL CHECK (event <> ''),
  state TEXT,
  who TEXT NOT NULL CHECK (who <> ''),
  why TEXT NOT NULL CHECK (why <> ''),
  legal_basis TEXT NOT NULL,
  scope TEXT NOT NULL,
  details TEXT NOT NULL CHECK (details GLOB '{*}'),
  prev TEXT NOT NULL CHECK (length(prev) = 64),
  hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
  CHECK (at >= clock)
) STRICT;

CREATE TRIGGER audit_follows BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit)
  AND NOT EXISTS (
    SELECT 1 FROM audit
    WHERE seq = (SELECT max(seq) FROM audit) AND NEW.seq = seq + 1 AND NEW.prev = hash AND NEW.at >= at
  )
BEGIN
  SELECT RAISE(ABORT, 'audit: a row must follow the last one in number, hash and time');
END;

CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit BEGIN
  SELECT RAISE(ABORT, 'audit is append-only: a row is never deleted');
END;

CREATE TRIGGER audit_keeps_values BEFORE UPDATE ON audit BEGIN
  SELECT RAISE(ABORT, 'audit is append-only: a row is never changed');
END;

CREATE TRIGGER meta_keeps_rows BEFORE DELETE ON meta BEGIN
  SELECT RAISE(ABORT, 'meta is append-only: a row is never deleted');
END;

CREATE TRIGGER meta_keeps_values BEFORE UPDATE ON meta BEGIN
  SELECT RAISE(ABORT, 'meta is append-only: a row is never changed');
END;

CREATE TABLE artifacts (
  content_id TEXT PRIMARY KEY
    CHECK (length(content_id) = 71 AND content_id GLOB 'sha256:*' AND substr(content_id, 8) NOT GLOB '*[^0-9a-f]*'),
  model_id TEXT NOT NULL,
  model_digest TEXT NOT NULL,
  about TEXT NOT NULL CHECK (about GLOB '{*}'),
  files TEXT NOT NULL CHECK (files GLOB '{*}'),
  released TEXT,
  purged INTEGER REFERENCES audit (seq)
) STRICT;

CREATE TABLE requests (
  id TEXT PRIMARY KEY CHECK (length(id) = 18 AND id GLOB 'r-*' AND substr(id, 3) NOT GLOB '*[^0-9a-f]*'),
  subject TEXT NOT NULL
    CHECK (length(subject) = 76 AND subject GLOB 'hmac-sha256:*' AND substr(subject, 13) NOT GLOB '*[^0-9a-f]*'),
  state TEXT NOT NULL CHECK (state IN ('received', 'fitted', 'verified', 'active', 'revoked')),
  legal_basis TEXT NOT NULL CHECK (legal_basis <> ''),
  scope TEXT NOT NULL CHECK (scope <> ''),
  content_id TEXT REFERENCES artifacts (content_id),
  received TEXT NOT NULL,
  changed TEXT NOT NULL CHECK (changed >= received),
  audit_seq INTEGER NOT NULL UNIQUE REFERENCES audit (seq),
  CHECK (state IN ('received', 'revoked') OR content_id IS NOT NULL)
) STRICT;

CREATE UNIQUE INDEX one_request_per_artifact ON requests (content_id) WHERE state IN ('fitted', 'verified', 'active');

CREATE INDEX requests_of_subject ON requests (subject);

CREATE TRIGGER requests_begin BEFORE INSERT ON requests
WHEN NEW.state <> 'received' OR NEW.content_id IS NOT NULL OR EXISTS (SELECT 1 FROM requests WHERE id = NEW.id)
BEGIN
  SELECT RAISE(ABORT, 'requests: a request begins as received, once');
END;

CREATE TRIGGER requests_step BEFORE UPDATE ON requests
WHEN (OLD.state, NEW.state) NOT IN (
  VALUES
    ('received', 'fitted'), ('fitted', 'fitted'), ('fitted', 'verified'), ('verified', 'fitted'),
    ('verified', 'active'), ('active', 'revoked'),
    ('received', 'revoked'), ('fitted', 'revoked'), ('verified', 'revoked')
)
BEGIN
  SELECT RAISE(ABORT, 'requests: the life cycle has no such step');
END;

CREATE TRIGGER requests_stay_fitted BEFORE UPDATE ON requests
WHEN NEW.content_id IS NOT OLD.content_id AND NEW.state <> 'fitted'
BEGIN
  SELECT RAISE(ABORT, 'requests: only fitting changes the artifact');
END;

CREATE TRIGGER requests_fixed BEFORE UPDATE ON requests
WHEN (NEW.id, NEW.subject, NEW.legal_basis, NEW.scope, NEW.received)
  <> (OLD.id, OLD.subject, OLD.legal_basis, OLD.scope, OLD.received)
BEGIN
  SELECT RAISE(ABORT, 'requests: what was received does not change');
END;

CREATE TRIGGER requests_log_birth BEFORE INSERT ON requests
WHEN NOT EXISTS (
  SELECT 1 FROM audit
  WHERE seq = (SELECT max(seq) FROM audit) AND seq = NEW.audit_seq
    AND request_id = NEW.id AND state = NEW.state AND at = NEW.changed
)
BEGIN
  SELECT RAISE(ABORT, 'requests: a step is logged before it is taken');
END;

CREATE TRIGGER requests_log_step BEFORE UPDATE ON requests
WHEN NOT EXISTS (
  SELECT 1 FROM audit
  WHERE seq = (SELECT max(seq) FROM audit) AND seq = NEW.audit_seq
    AND request_id = NEW.id AND state = NEW.state AND at = NEW.changed
)
BEGIN
  SELECT RAISE(ABORT, 'requests: a step is logged before it is taken');
END;

CREATE TRIGGER requests_kept BEFORE DELETE ON requests BEGIN
  SELECT RAISE(ABORT, 'requests: a request is revoked, never deleted');
END;
