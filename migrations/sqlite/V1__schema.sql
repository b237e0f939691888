-- Users, their urls, and what happened to them; the totals of the lists; the feed that redirectors follow.
--
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
    -- From this time on the link is answered as expired; null is never.
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX urls_short_code_key ON urls (short_code);
CREATE INDEX urls_user_id ON urls (user_id);
CREATE INDEX urls_is_active ON urls (is_active);

-- What redirectors serve of a url. The feed of changes reads no more of it.
CREATE VIEW served_links AS
SELECT short_code, id AS url_id, user_id AS owner_id, original_url, is_active, expires_at FROM urls;

-- Codes that a url had before it was renamed with the sqlite3 shell. A click that was answered under such a code is
-- still the url's.
CREATE TABLE former_codes (
    url_id INTEGER NOT NULL,
    short_code TEXT NOT NULL,
    PRIMARY KEY (url_id, short_code)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
    url_id INTEGER NOT NULL REFERENCES urls (id) ON DELETE CASCADE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    event_type TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    details TEXT NOT NULL CHECK (json_type(details) = 'object'),
    -- A click's browser and the host that referred it, as they were told apart when it came: the counts of clicks lose with
    -- the event what they gained with it, whoever tells browsers apart by then.
    browser TEXT,
    referrer TEXT,
    -- The full hour; it stands for before 1970, too, where % rounds up.
    hour INTEGER AS (timestamp - (timestamp % 3600 + 3600) % 3600) VIRTUAL,
    -- The network that a click came from, never an address.
    client TEXT
) STRICT;
CREATE INDEX events_url_id ON events (url_id);
CREATE INDEX events_user_id ON events (user_id);
CREATE INDEX events_event_type ON events (event_type);

-- Clicks of each link by the hour. A click has one browser, so the clicks of an hour are the sum of its browsers;
-- it has a referrer only if it names one. Clicks beyond the budget of their network have no event: they are kinds 'B' and
-- 'R', so that kinds 'b' and 'r' are the sums of the events.
CREATE TABLE click_counts (
    url_id INTEGER NOT NULL,
    -- 'b' and 'B': the value is a browser; 'r' and 'R': the host of a referrer.
    kind TEXT NOT NULL,
    hour INTEGER NOT NULL,
    value TEXT NOT NULL,
    clicks INTEGER NOT NULL,
    PRIMARY KEY (url_id, kind, hour, value)
) STRICT, WITHOUT ROWID;
-- The retention finds those that are old; the others go with their events.
CREATE INDEX click_counts_without_event ON click_counts (hour) WHERE kind IN ('B', 'R');

-- How far the journals of clicks are in the store. A row moves in the transaction that brings the clicks, so the two
-- agree whatever crashes or is restored.
CREATE TABLE click_journals (
    -- 32 hexadecimal digits, as they stand in the journal's files.
    journal TEXT PRIMARY KEY,
    -- Everything before this place is here, nothing from it on.
    segment INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    -- Clicks that were written to the journal before this place.
    sequence INTEGER NOT NULL,
    -- Those of them that became events, whose link was gone, that were put aside, and that were only counted.
    recorded INTEGER NOT NULL,
    orphaned INTEGER NOT NULL,
    parked INTEGER NOT NULL,
    shipped_at INTEGER NOT NULL,
    without_event INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE products (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    price_hundredths INTEGER NOT NULL CHECK (price_hundredths >= 0),
    stock INTEGER NOT NULL CHECK (stock >= 0)
) STRICT;

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

-- Events that go with their url or their user were counted out before those went, all at once.
CREATE TRIGGER events_counted_delete AFTER DELETE ON events
WHEN EXISTS (SELECT 1 FROM urls WHERE id = OLD.url_id) AND EXISTS (SELECT 1 FROM users WHERE id = OLD.user_id) BEGIN
    UPDATE row_counts SET n = n - 1
    WHERE list = 'events' AND filter IN (
        '', 'url_id=' || OLD.url_id, 'user_id=' || OLD.user_id, 'event_type=' || OLD.event_type
    );
    DELETE FROM row_counts
    WHERE list = 'events' AND n = 0 AND filter IN (
        'url_id=' || OLD.url_id, 'user_id=' || OLD.user_id, 'event_type=' || OLD.event_type
    );
END;

CREATE TRIGGER events_clicks_counted_insert AFTER INSERT ON events WHEN NEW.event_type = 'clicked' BEGIN
    INSERT INTO click_counts VALUES (NEW.url_id, 'b', NEW.hour, coalesce(NEW.browser, 'Unknown'), 1)
    ON CONFLICT DO UPDATE SET clicks = clicks + 1;
    INSERT INTO click_counts SELECT NEW.url_id, 'r', NEW.hour, NEW.referrer, 1 WHERE NEW.referrer IS NOT NULL
    ON CONFLICT DO UPDATE SET clicks = clicks + 1;
END;

-- Each count is found by its whole key: a link may have many others.
CREATE TRIGGER events_clicks_counted_delete AFTER DELETE ON events
WHEN OLD.event_type = 'clicked'
    AND EXISTS (SELECT 1 FROM urls WHERE id = OLD.url_id) AND EXISTS (SELECT 1 FROM users WHERE id = OLD.user_id)
BEGIN
    UPDATE click_counts SET clicks = clicks - 1
    WHERE url_id = OLD.url_id AND kind = 'b' AND hour = OLD.hour AND value = coalesce(OLD.browser, 'Unknown');
    DELETE FROM click_counts
    WHERE url_id = OLD.url_id AND kind = 'b' AND hour = OLD.hour AND value = coalesce(OLD.browser, 'Unknown')
        AND clicks = 0;
    UPDATE click_counts SET clicks = clicks - 1
    WHERE url_id = OLD.url_id AND kind = 'r' AND hour = OLD.hour AND value = OLD.referrer;
    DELETE FROM click_counts
    WHERE url_id = OLD.url_id AND kind = 'r' AND hour = OLD.hour AND value = OLD.referrer AND clicks = 0;
END;

CREATE TRIGGER urls_events_go BEFORE DELETE ON urls BEGIN
    UPDATE row_counts SET n = row_counts.n - gone.n FROM (
        SELECT '' AS filter, count(*) AS n FROM events WHERE url_id = OLD.id
        UNION ALL
        SELECT 'user_id=' || user_id, count(*) FROM events WHERE url_id = OLD.id GROUP BY user_id
        UNION ALL
        SELECT 'event_type=' || event_type, count(*) FROM events WHERE url_id = OLD.id GROUP BY event_type
    ) AS gone
    WHERE row_counts.list = 'events' AND row_counts.filter = gone.filter;
    DELETE FROM row_counts WHERE list = 'events' AND filter = 'url_id=' || OLD.id;
    DELETE FROM row_counts
    WHERE list = 'events' AND n = 0 AND filter IN (
        SELECT 'user_id=' || user_id FROM events WHERE url_id = OLD.id
        UNION
        SELECT 'event_type=' || event_type FROM events WHERE url_id = OLD.id
    );
    DELETE FROM click_counts WHERE url_id = OLD.id;
END;

CREATE TRIGGER users_events_go BEFORE DELETE ON users BEGIN
    UPDATE row_counts SET n = row_counts.n - gone.n FROM (
        SELECT '' AS filter, count(*) AS n FROM events WHERE user_id = OLD.id
        UNION ALL
        SELECT 'url_id=' || url_id, count(*) FROM events WHERE user_id = OLD.id GROUP BY url_id
        UNION ALL
        SELECT 'event_type=' || event_type, count(*) FROM events WHERE user_id = OLD.id GROUP BY event_type
    ) AS gone
    WHERE row_counts.list = 'events' AND row_counts.filter = gone.filter;
    DELETE FROM row_counts WHERE list = 'events' AND filter = 'user_id=' || OLD.id;
    DELETE FROM row_counts
    WHERE list = 'events' AND n = 0 AND filter IN (
        SELECT 'url_id=' || url_id FROM events WHERE user_id = OLD.id
        UNION
        SELECT 'event_type=' || event_type FROM events WHERE user_id = OLD.id
    );
    UPDATE click_counts SET clicks = click_counts.clicks - gone.n FROM (
        SELECT url_id, 'b' AS kind, hour, coalesce(browser, 'Unknown') AS value, count(*) AS n
        FROM events WHERE user_id = OLD.id AND event_type = 'clicked' GROUP BY 1, 2, 3, 4
        UNION ALL
        SELECT url_id, 'r', hour, referrer, count(*)
        FROM events WHERE user_id = OLD.id AND event_type = 'clicked' AND referrer IS NOT NULL GROUP BY 1, 2, 3, 4
    ) AS gone
    WHERE click_counts.url_id = gone.url_id AND click_counts.kind = gone.kind
        AND click_counts.hour = gone.hour AND click_counts.value = gone.value;
    DELETE FROM click_counts
    WHERE clicks = 0 AND url_id IN (SELECT url_id FROM events WHERE user_id = OLD.id);
END;

-- What foreign keys do, for writers that leave them unchecked, as the sqlite3 shell does.
CREATE TRIGGER urls_events_gone AFTER DELETE ON urls BEGIN
    DELETE FROM events WHERE url_id = OLD.id;
END;
CREATE TRIGGER users_events_gone AFTER DELETE ON users BEGIN
    DELETE FROM events WHERE user_id = OLD.id;
END;

CREATE TRIGGER users_id_kept BEFORE UPDATE OF id ON users WHEN OLD.id <> NEW.id BEGIN
    SELECT RAISE(ABORT, 'an id is never changed');
END;

CREATE TRIGGER urls_id_kept BEFORE UPDATE OF id ON urls WHEN OLD.id <> NEW.id BEGIN
    SELECT RAISE(ABORT, 'an id is never changed');
END;

CREATE TRIGGER events_id_kept BEFORE UPDATE OF id ON events WHEN OLD.id <> NEW.id BEGIN
    SELECT RAISE(ABORT, 'an id is never changed');
END;

CREATE TRIGGER urls_renamed AFTER UPDATE OF short_code ON urls WHEN OLD.short_code <> NEW.short_code BEGIN
    INSERT OR IGNORE INTO former_codes VALUES (OLD.id, OLD.short_code);
END;

-- A later url may be loaded under the same id.
CREATE TRIGGER urls_former_codes_go AFTER DELETE ON urls BEGIN
    DELETE FROM former_codes WHERE url_id = OLD.id;
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
-- Every update is logged, whatever is served: a redirector then looks at a link that may be as it was.
CREATE TRIGGER urls_changed_update AFTER UPDATE ON urls BEGIN
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
