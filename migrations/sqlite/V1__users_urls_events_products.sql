-- Times are whole seconds since the Unix epoch.
-- AUTOINCREMENT: an id is never given twice, so a click on a deleted link cannot land on another one.

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
    username TEXT NOT NULL,
    email TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX users_username_key ON users (username);
CREATE UNIQUE INDEX users_email_key ON users (email);

CREATE TABLE urls (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
    -- No cascade: deleting a user with links is a decision that the caller has to state.
    -- The check holds for writers that leave foreign keys unchecked, as the sqlite3 shell does.
    user_id INTEGER NOT NULL CHECK (user_id > 0) REFERENCES users (id),
    short_code TEXT NOT NULL,
    original_url TEXT NOT NULL,
    title TEXT,
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX urls_short_code_key ON urls (short_code);
CREATE INDEX urls_user_id ON urls (user_id);
CREATE INDEX urls_is_active ON urls (is_active);

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
    url_id INTEGER NOT NULL REFERENCES urls (id) ON DELETE CASCADE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    event_type TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    details TEXT NOT NULL CHECK (json_type(details) = 'object')
) STRICT;
CREATE INDEX events_url_id ON events (url_id);
CREATE INDEX events_user_id ON events (user_id);
CREATE INDEX events_event_type ON events (event_type);

CREATE TABLE products (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    price_hundredths INTEGER NOT NULL CHECK (price_hundredths >= 0),
    stock INTEGER NOT NULL CHECK (stock >= 0)
) STRICT;

-- Totals of the lists, whole and by a single filter, so that no page counts rows.
CREATE TABLE row_counts (
    list TEXT NOT NULL,
    -- '' for the whole list, else 'column=value'.
    filter TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (list, filter)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER users_counted_insert AFTER INSERT ON users BEGIN
    INSERT INTO row_counts VALUES ('users', '', 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER users_counted_delete AFTER DELETE ON users BEGIN
    UPDATE row_counts SET n = n - 1 WHERE list = 'users' AND filter = '';
END;

CREATE TRIGGER urls_counted_insert AFTER INSERT ON urls BEGIN
    INSERT INTO row_counts VALUES
        ('urls', '', 1),
        ('urls', 'user_id=' || NEW.user_id, 1),
        ('urls', 'is_active=' || NEW.is_active, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER urls_counted_delete AFTER DELETE ON urls BEGIN
    UPDATE row_counts SET n = n - 1
    WHERE list = 'urls' AND filter IN ('', 'user_id=' || OLD.user_id, 'is_active=' || OLD.is_active);
    DELETE FROM row_counts WHERE list = 'urls' AND filter = 'user_id=' || OLD.user_id AND n = 0;
END;
CREATE TRIGGER urls_counted_update AFTER UPDATE OF user_id, is_active ON urls
WHEN OLD.user_id <> NEW.user_id OR OLD.is_active <> NEW.is_active BEGIN
    UPDATE row_counts SET n = n - 1
    WHERE list = 'urls' AND filter IN ('user_id=' || OLD.user_id, 'is_active=' || OLD.is_active);
    INSERT INTO row_counts VALUES
        ('urls', 'user_id=' || NEW.user_id, 1),
        ('urls', 'is_active=' || NEW.is_active, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER events_counted_insert AFTER INSERT ON events BEGIN
    INSERT INTO row_counts VALUES
        ('events', '', 1),
        ('events', 'url_id=' || NEW.url_id, 1),
        ('events', 'user_id=' || NEW.user_id, 1),
        ('events', 'event_type=' || NEW.event_type, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER events_counted_delete AFTER DELETE ON events BEGIN
    UPDATE row_counts SET n = n - 1
    WHERE list = 'events' AND filter IN (
        '', 'url_id=' || OLD.url_id, 'user_id=' || OLD.user_id, 'event_type=' || OLD.event_type
    );
    DELETE FROM row_counts
    WHERE list = 'events' AND n = 0 AND filter IN (
        'url_id=' || OLD.url_id, 'user_id=' || OLD.user_id, 'event_type=' || OLD.event_type
    );
END;

-- The feed of changes that replicas follow. SQLite has one writer, so sequence order is commit order.
-- Filled by triggers: a change made with the sqlite3 shell is seen too.
CREATE TABLE url_changes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    -- A code that is here and not in urls was removed.
    short_code TEXT NOT NULL,
    changed_at INTEGER NOT NULL DEFAULT (unixepoch())
) STRICT;
CREATE INDEX url_changes_changed_at ON url_changes (changed_at);

CREATE TRIGGER urls_changed_insert AFTER INSERT ON urls BEGIN
    INSERT INTO url_changes (short_code) VALUES (NEW.short_code);
END;
CREATE TRIGGER urls_changed_delete AFTER DELETE ON urls BEGIN
    INSERT INTO url_changes (short_code) VALUES (OLD.short_code);
END;
-- A new title is no change to what is served.
CREATE TRIGGER urls_changed_update AFTER UPDATE OF id, user_id, short_code, original_url, is_active ON urls BEGIN
    INSERT INTO url_changes (short_code) VALUES (NEW.short_code);
    INSERT INTO url_changes (short_code) SELECT OLD.short_code WHERE OLD.short_code <> NEW.short_code;
END;

CREATE TABLE replica_meta (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    -- Changes up to and including this sequence have been forgotten.
    floor INTEGER NOT NULL,
    -- Tells this history from that of any other database.
    epoch INTEGER NOT NULL
) STRICT;
INSERT INTO replica_meta VALUES (1, 0, random());
