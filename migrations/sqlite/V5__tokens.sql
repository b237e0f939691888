-- Who may use the API. Of a token only its hash is kept; a revoked one stays, so that an API that was closed once is not
-- open because its last token went.
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'editor', 'admin', 'metrics')),
    -- SHA-256 of the token as it is sent.
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER
) STRICT;
-- The name of a revoked token is free again.
CREATE UNIQUE INDEX tokens_name_key ON tokens (name) WHERE revoked_at IS NULL;
