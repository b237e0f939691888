-- Users, urls and events, the totals of the lists, and the feed of changes that redirectors follow.
--
-- Times are whole seconds since the Unix epoch.
-- AUTOINCREMENT never reuses an id, so a click on a deleted link is never counted for another one.

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
    -- No cascade, so that the caller has to request the deletion of a user with links explicitly.
    -- The check also applies to writers without foreign keys, such as the sqlite3 shell.
    user_id INTEGER NOT NULL CHECK (user_id > 0) REFERENCES users (id),
    short_code TEXT NOT NULL,
    original_url TEXT NOT NULL,
    title TEXT,
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    -- The time from which the link redirects; NULL is no start.
    starts_at INTEGER,
    -- The time from which the link is expired; NULL is never.
    expires_at INTEGER,
    -- The address to which the expired link leads.
    expired_url TEXT,
    -- NULL in these two is the default of the redirector.
    redirect_status INTEGER,
    forward_query INTEGER,
    -- The number of GETs that are answered with a redirect; NULL is no limit. The table link_limits counts them.
    max_clicks INTEGER,
    -- Other targets, as JSON arrays of rules and of variants; NULL is none.
    rules TEXT,
    split TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- A JSON array of texts, in the order in which they were given. The table url_tags finds links by their tags.
    tags TEXT NOT NULL DEFAULT '[]' CHECK (json_type(tags) = 'array'),
    notes TEXT,
    -- The name of the link in another program.
    external_id TEXT,
    -- Grows with each change.
    revision INTEGER NOT NULL DEFAULT 1,
    -- The clicks that another service counted before the link was imported. They have no events here.
    imported_clicks INTEGER NOT NULL DEFAULT 0 CHECK (imported_clicks >= 0),
    -- The host of the target in lower case, in steps: the target from its authority on, the authority, the authority without
    -- a user, and that without a port.
    target_rest TEXT AS (substr(original_url, instr(original_url, '://') + 3)) VIRTUAL,
    target_authority TEXT AS (substr(target_rest, 1, min(
        instr(target_rest || '/', '/'), instr(target_rest || '?', '?'), instr(target_rest || '#', '#')
    ) - 1)) VIRTUAL,
    target_place TEXT AS (substr(target_authority, instr(target_authority, '@') + 1)) VIRTUAL,
    target_host TEXT AS (lower(substr(target_place, 1, CASE
        WHEN substr(target_place, 1, 1) = '[' THEN instr(target_place, ']') ELSE instr(target_place || ':', ':') - 1
    END))) VIRTUAL,
    CONSTRAINT urls_redirect_status_check CHECK (redirect_status IN (301, 302, 307, 308)),
    CONSTRAINT urls_forward_query_check CHECK (forward_query IN (0, 1)),
    CONSTRAINT urls_times_check CHECK (starts_at < expires_at),
    -- Browsers store a permanent redirect beyond the end of its link.
    CONSTRAINT urls_status_of_end_check CHECK (expires_at IS NULL OR redirect_status IN (302, 307)),
    CONSTRAINT urls_max_clicks_check CHECK (max_clicks > 0),
    -- Browsers follow a stored redirect without a request, so nothing counts it.
    CONSTRAINT urls_status_of_limit_check CHECK (max_clicks IS NULL OR redirect_status IN (302, 307)),
    CONSTRAINT urls_rules_check CHECK (json_type(rules) = 'array' AND json_array_length(rules) > 0),
    CONSTRAINT urls_split_check CHECK (json_type(split) = 'array' AND json_array_length(split) > 0),
    -- Browsers would also store one of several targets.
    CONSTRAINT urls_status_of_routing_check CHECK (rules IS NULL AND split IS NULL OR redirect_status IN (302, 307))
) STRICT;
CREATE UNIQUE INDEX urls_short_code_key ON urls (short_code);
CREATE INDEX urls_user_id ON urls (user_id);
CREATE INDEX urls_is_active ON urls (is_active);
-- Finds the links of a user with a target. The end of a target differs most.
CREATE INDEX urls_user_id_target ON urls (user_id, substr(original_url, -64));
CREATE UNIQUE INDEX urls_external_id_key ON urls (user_id, external_id) WHERE external_id IS NOT NULL;
-- Indexes for the orders and filters of lists. The store names each in its statements.
CREATE INDEX urls_created_at ON urls (created_at);
CREATE INDEX urls_updated_at ON urls (updated_at);
CREATE INDEX urls_title ON urls (title);
CREATE INDEX urls_target_host ON urls (target_host);
CREATE INDEX urls_starts_at ON urls (starts_at) WHERE starts_at IS NOT NULL;
CREATE INDEX urls_expires_at ON urls (expires_at) WHERE expires_at IS NOT NULL;

-- The texts of urls that a search finds, by sequences of three characters in any case.
-- The table has no copy of the texts, so a deletion has to repeat them: `searched_texts` is their only definition.
CREATE VIRTUAL TABLE urls_search USING fts5 (text, content = '', tokenize = 'trigram');
-- A line break ends the text, so that a sequence of three characters begins with each of its last two.
CREATE VIEW searched_texts AS
SELECT
    id AS url_id,
    short_code || char(10) || original_url || char(10) || coalesce(title || char(10), '') || coalesce(notes || char(10), '')
    || coalesce((SELECT group_concat(value || char(10), '') FROM json_each(tags)), '') AS text
FROM urls;
CREATE VIRTUAL TABLE urls_search_terms USING fts5vocab ('urls_search', 'row');

-- Urls whose changes are not in urls_search yet, at most 128. A search compares these urls themselves.
-- To write the index for many urls at once is several times cheaper than for each.
CREATE TABLE urls_search_pending (
    url_id INTEGER PRIMARY KEY,
    -- The text of the url in urls_search; NULL if it has none.
    indexed_text TEXT
) STRICT;

CREATE TRIGGER urls_search_insert AFTER INSERT ON urls BEGIN
    INSERT INTO urls_search_pending VALUES (NEW.id, NULL) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER urls_search_delete BEFORE DELETE ON urls BEGIN
    INSERT INTO urls_search_pending SELECT url_id, text FROM searched_texts WHERE url_id = OLD.id ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER urls_search_update BEFORE UPDATE OF short_code, original_url, title, tags, notes ON urls
WHEN (OLD.short_code, OLD.original_url, OLD.title, OLD.tags, OLD.notes)
    IS NOT (NEW.short_code, NEW.original_url, NEW.title, NEW.tags, NEW.notes)
BEGIN
    INSERT INTO urls_search_pending SELECT url_id, text FROM searched_texts WHERE url_id = OLD.id ON CONFLICT DO NOTHING;
END;
-- The new row remains, since its url is not changed yet. The connection of a load repeats these statements.
CREATE TRIGGER urls_search_flush AFTER INSERT ON urls_search_pending
WHEN (SELECT count(*) FROM urls_search_pending) > 128 BEGIN
    INSERT INTO urls_search (urls_search, rowid, text)
    SELECT 'delete', url_id, indexed_text FROM urls_search_pending
    WHERE indexed_text IS NOT NULL AND url_id <> NEW.url_id;
    INSERT INTO urls_search (rowid, text)
    SELECT url_id, text FROM urls_search_pending CROSS JOIN searched_texts USING (url_id) WHERE url_id <> NEW.url_id;
    DELETE FROM urls_search_pending WHERE url_id <> NEW.url_id;
END;

-- The clicks of links that have or had a limit. Triggers on `urls` fill it.
-- It is no part of `urls`, since each take would then write the whole row again.
CREATE TABLE link_limits (
    url_id INTEGER PRIMARY KEY,
    -- The limit of the link; NULL while it has none, so that a later limit counts earlier clicks.
    max_clicks INTEGER,
    -- The clicks that redirectors may have answered with a redirect. The clicks that are stored are at most as many.
    taken INTEGER NOT NULL CHECK (taken >= 0),
    is_exhausted INTEGER NOT NULL AS (coalesce(taken >= max_clicks, 0)) VIRTUAL
) STRICT;
CREATE INDEX link_limits_is_exhausted ON link_limits (is_exhausted);

-- The columns of a url that redirectors serve. The feed of changes reads no others.
CREATE VIEW served_links AS
SELECT short_code, id AS url_id, user_id AS owner_id, original_url, is_active, expires_at, starts_at, expired_url,
    redirect_status, forward_query, max_clicks,
    max_clicks IS NOT NULL AND EXISTS (
        SELECT 1 FROM link_limits WHERE url_id = urls.id AND link_limits.is_exhausted
    ) AS is_exhausted,
    rules, split
FROM urls;

-- Codes that a url had before it was renamed with the sqlite3 shell. A click under such a code still belongs to the url.
CREATE TABLE former_codes (
    url_id INTEGER NOT NULL,
    short_code TEXT NOT NULL,
    PRIMARY KEY (url_id, short_code)
) STRICT, WITHOUT ROWID;

-- The tags of `urls`, for the lists of links with a tag. Triggers fill it.
CREATE TABLE url_tags (
    tag TEXT NOT NULL,
    url_id INTEGER NOT NULL,
    PRIMARY KEY (tag, url_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX url_tags_url_id ON url_tags (url_id);

-- The clicks of each link, with a row for every link.
-- They are not columns of `urls`, since each click would then write the whole row again.
CREATE TABLE link_clicks (
    url_id INTEGER PRIMARY KEY,
    clicks INTEGER NOT NULL DEFAULT 0,
    last_clicked_at INTEGER
) STRICT;
CREATE INDEX link_clicks_clicks ON link_clicks (clicks);
CREATE INDEX link_clicks_last_clicked_at ON link_clicks (last_clicked_at);

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
    url_id INTEGER NOT NULL REFERENCES urls (id) ON DELETE CASCADE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    event_type TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    details TEXT NOT NULL CHECK (json_type(details) = 'object'),
    -- The visitor, the referring host, the source and the target under which the click was counted. Deleting the event
    -- subtracts it from the same counts, even if a later version recognises visitors differently.
    visitor TEXT,
    referrer TEXT,
    source TEXT,
    -- The target of a click on a link with rules or a split.
    target TEXT,
    -- The full hour. The formula is also right before 1970, where % rounds up.
    hour INTEGER AS (timestamp - (timestamp % 3600 + 3600) % 3600) VIRTUAL,
    -- An event of another program may lack its visitor. The bot is the last part of a visitor, and a person has none.
    counted_visitor TEXT AS (coalesce(visitor, 'Unknown|Unknown|Unknown|Unknown|Unknown|')) VIRTUAL,
    is_person INTEGER AS (substr(counted_visitor, -1) = '|') VIRTUAL,
    -- The network of the client, never its address.
    client TEXT
) STRICT;
CREATE INDEX events_url_id ON events (url_id);
CREATE INDEX events_user_id ON events (user_id);
CREATE INDEX events_event_type ON events (event_type);

-- Clicks of each link by the hour. A click has one visitor, so the clicks of an hour are the sum of its visitors.
-- A click without a referrer or a source has no count of it, and a click on a plain link none of its target.
-- Kinds in lower case are the sums of the events. Kinds in upper case are clicks beyond the budget of their network, which
-- have no event.
CREATE TABLE click_counts (
    url_id INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    -- 'v': the value is a visitor, browser|system|device|language|country|bot, where a person has no bot.
    -- 'r': the host of the referrer of people, 'q': of bots; 's': the source of people, 't': of bots;
    -- 'd': the target of people, 'e': of bots.
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    clicks INTEGER NOT NULL,
    PRIMARY KEY (url_id, hour, kind, value)
) STRICT, WITHOUT ROWID;
-- For the retention of counts without events. Other counts are deleted with their events.
CREATE INDEX click_counts_without_event ON click_counts (hour) WHERE kind IN ('V', 'R', 'Q', 'S', 'T', 'D', 'E');

-- The sums of `click_counts` over all links. Triggers keep them, and shippers for their batches.
CREATE TABLE click_totals (
    hour INTEGER NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    clicks INTEGER NOT NULL,
    PRIMARY KEY (hour, kind, value)
) STRICT, WITHOUT ROWID;

-- The counts of a past hour or day of one link, or with the id 0 of all links, folded into one text.
-- They are a cache of counts with many rows. The upkeep writes them.
CREATE TABLE click_summaries (
    url_id INTEGER NOT NULL,
    -- 1, or 24 for a day in UTC.
    hours INTEGER NOT NULL,
    start INTEGER NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (url_id, hours, start)
) STRICT;

-- Past hours whose counts changed since their summaries were written. A summary of such an hour, and of its day, is not
-- used.
CREATE TABLE late_click_counts (
    url_id INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    PRIMARY KEY (url_id, hour)
) STRICT, WITHOUT ROWID;

CREATE TABLE click_summary_state (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    -- Hours before this one are past. Each later change of their counts is recorded as late.
    past INTEGER NOT NULL
) STRICT;
INSERT INTO click_summary_state VALUES (1, unixepoch() - unixepoch() % 3600);

-- Has a row while a transaction adds a whole batch of clicks to every count itself. No trigger counts a click meanwhile.
CREATE TABLE batch_counting (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1)
) STRICT;

CREATE TRIGGER click_counts_followed_insert AFTER INSERT ON click_counts
WHEN NOT EXISTS (SELECT 1 FROM batch_counting) BEGIN
    INSERT INTO click_totals VALUES (NEW.hour, NEW.kind, NEW.value, NEW.clicks)
    ON CONFLICT DO UPDATE SET clicks = clicks + excluded.clicks;
    INSERT INTO late_click_counts SELECT id, NEW.hour FROM (SELECT NEW.url_id AS id UNION ALL SELECT 0)
    WHERE NEW.hour < (SELECT past FROM click_summary_state) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER click_counts_followed_update AFTER UPDATE ON click_counts
WHEN NOT EXISTS (SELECT 1 FROM batch_counting) BEGIN
    UPDATE click_totals SET clicks = clicks + NEW.clicks - OLD.clicks
    WHERE hour = NEW.hour AND kind = NEW.kind AND value = NEW.value;
    INSERT INTO late_click_counts SELECT id, NEW.hour FROM (SELECT NEW.url_id AS id UNION ALL SELECT 0)
    WHERE NEW.hour < (SELECT past FROM click_summary_state) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER click_counts_followed_delete AFTER DELETE ON click_counts BEGIN
    UPDATE click_totals SET clicks = clicks - OLD.clicks
    WHERE hour = OLD.hour AND kind = OLD.kind AND value = OLD.value;
    DELETE FROM click_totals WHERE hour = OLD.hour AND kind = OLD.kind AND value = OLD.value AND clicks = 0;
    INSERT INTO late_click_counts SELECT id, OLD.hour FROM (SELECT OLD.url_id AS id UNION ALL SELECT 0)
    WHERE OLD.hour < (SELECT past FROM click_summary_state) ON CONFLICT DO NOTHING;
END;

-- The clicks of each link by the hour, so that the series of a hundred links are read at once. Kept as the totals
-- are.
CREATE TABLE click_hours (
    url_id INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    humans INTEGER NOT NULL,
    bots INTEGER NOT NULL,
    PRIMARY KEY (url_id, hour)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER click_hours_counted_insert AFTER INSERT ON click_counts
WHEN NEW.kind IN ('v', 'V') AND NOT EXISTS (SELECT 1 FROM batch_counting) BEGIN
    INSERT INTO click_hours
    SELECT NEW.url_id, NEW.hour, NEW.clicks * is_person, NEW.clicks * (1 - is_person)
    FROM (SELECT substr(NEW.value, -1) = '|' AS is_person) WHERE true
    ON CONFLICT DO UPDATE SET humans = humans + excluded.humans, bots = bots + excluded.bots;
END;
CREATE TRIGGER click_hours_counted_update AFTER UPDATE ON click_counts
WHEN NEW.kind IN ('v', 'V') AND NOT EXISTS (SELECT 1 FROM batch_counting) BEGIN
    UPDATE click_hours
    SET humans = humans + iif(substr(NEW.value, -1) = '|', NEW.clicks - OLD.clicks, 0),
        bots = bots + iif(substr(NEW.value, -1) = '|', 0, NEW.clicks - OLD.clicks)
    WHERE url_id = NEW.url_id AND hour = NEW.hour;
END;
CREATE TRIGGER click_hours_counted_delete AFTER DELETE ON click_counts WHEN OLD.kind IN ('v', 'V') BEGIN
    UPDATE click_hours
    SET humans = humans - iif(substr(OLD.value, -1) = '|', OLD.clicks, 0),
        bots = bots - iif(substr(OLD.value, -1) = '|', 0, OLD.clicks)
    WHERE url_id = OLD.url_id AND hour = OLD.hour;
    DELETE FROM click_hours WHERE url_id = OLD.url_id AND hour = OLD.hour AND humans = 0 AND bots = 0;
END;

-- The progress of the journals of clicks. One transaction writes the clicks and this row, so they agree after a crash or a
-- restore.
CREATE TABLE click_journals (
    -- 32 hexadecimal digits, as in the journal's files.
    journal TEXT PRIMARY KEY,
    -- The store has all clicks before this position, and none from it on.
    segment INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    -- The number of clicks in the journal before this position.
    sequence INTEGER NOT NULL,
    -- Clicks that were recorded, whose link did not exist, and that were parked. `without_event` counts recorded clicks
    -- without an event.
    recorded INTEGER NOT NULL,
    orphaned INTEGER NOT NULL,
    parked INTEGER NOT NULL,
    shipped_at INTEGER NOT NULL,
    without_event INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Codes that were asked for although no link had them. The upkeep deletes the rarest ones beyond a bound, and old ones.
CREATE TABLE misses (
    short_code TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    last_asked_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE products (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    price_hundredths INTEGER NOT NULL CHECK (price_hundredths >= 0),
    stock INTEGER NOT NULL CHECK (stock >= 0)
) STRICT;

-- Tokens of the API. Only the hash of a token is stored. Revoked tokens remain, so that revoking the last token does not
-- open the API.
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'editor', 'admin', 'metrics')),
    -- The SHA-256 of the token as clients send it.
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER,
    -- The user to whose rows the token is limited; NULL is no limit. No foreign key, since revoked tokens outlive the user.
    user_id INTEGER CHECK (user_id > 0),
    -- The names of the tokens that created and revoked this one; NULL for the command line and an open API.
    created_by TEXT,
    revoked_by TEXT,
    CHECK (user_id IS NULL OR role IN ('viewer', 'editor'))
) STRICT;
-- The name of a revoked token can be used again.
CREATE UNIQUE INDEX tokens_name_key ON tokens (name) WHERE revoked_at IS NULL;

-- Revokes the tokens of a deleted user, and removes what is known of the user from them.
CREATE TRIGGER users_revoke_tokens AFTER DELETE ON users BEGIN
    UPDATE tokens
    SET revoked_at = coalesce(revoked_at, unixepoch()), name = 'deleted-user', user_id = NULL, last_used_at = NULL
    WHERE user_id = OLD.id;
END;

-- Totals of the whole lists and of single filters, so that no page counts rows.
CREATE TABLE row_counts (
    list TEXT NOT NULL,
    -- '' for the whole list, otherwise 'column=value'.
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

CREATE TRIGGER urls_tags_indexed_insert AFTER INSERT ON urls WHEN NEW.tags <> '[]' BEGIN
    INSERT OR IGNORE INTO url_tags SELECT value, NEW.id FROM json_each(NEW.tags) WHERE type = 'text';
END;

CREATE TRIGGER urls_tags_indexed_update AFTER UPDATE OF tags ON urls WHEN OLD.tags <> NEW.tags BEGIN
    DELETE FROM url_tags WHERE url_id = NEW.id;
    INSERT OR IGNORE INTO url_tags SELECT value, NEW.id FROM json_each(NEW.tags) WHERE type = 'text';
END;

-- The creations, changes and deletions of links. Entries outlive their link.
-- Triggers write them, so that each change has one, by whichever statement. The connection of a load runs no triggers.
CREATE TABLE audit_entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
    url_id INTEGER NOT NULL,
    -- The owner of the link after the change, or at its deletion.
    user_id INTEGER NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('created', 'updated', 'deleted')),
    -- The link in the form of the API.
    before TEXT,
    after TEXT,
    at INTEGER NOT NULL,
    -- The name of the token. The store adds it before it commits; it is NULL for changes by other programs.
    token TEXT
) STRICT;
CREATE INDEX audit_entries_url_id ON audit_entries (url_id);
CREATE INDEX audit_entries_user_id ON audit_entries (user_id);
CREATE INDEX audit_entries_token ON audit_entries (token) WHERE token IS NOT NULL;

-- Links in the form of the API, without the clicks that Tern counts.
CREATE VIEW audited_links AS
SELECT id AS url_id, user_id, json_object(
    'id', id,
    'user_id', user_id,
    'short_code', short_code,
    'original_url', original_url,
    'title', title,
    'is_active', json(CASE WHEN is_active THEN 'true' ELSE 'false' END),
    'starts_at', strftime('%Y-%m-%dT%H:%M:%S', starts_at, 'unixepoch'),
    'expires_at', strftime('%Y-%m-%dT%H:%M:%S', expires_at, 'unixepoch'),
    'expired_url', expired_url,
    'redirect_status', redirect_status,
    'forward_query', json(CASE forward_query WHEN 1 THEN 'true' WHEN 0 THEN 'false' END),
    'max_clicks', max_clicks,
    'rules', json(coalesce(rules, '[]')),
    'split', json(coalesce(split, '[]')),
    'created_at', strftime('%Y-%m-%dT%H:%M:%S', created_at, 'unixepoch'),
    'updated_at', strftime('%Y-%m-%dT%H:%M:%S', updated_at, 'unixepoch'),
    'tags', json(tags),
    'notes', notes,
    'external_id', external_id,
    'revision', revision,
    'imported_clicks', imported_clicks
) AS link FROM urls;

CREATE TRIGGER urls_audited_insert AFTER INSERT ON urls BEGIN
    INSERT INTO audit_entries (url_id, user_id, action, after, at)
    SELECT url_id, user_id, 'created', link, unixepoch() FROM audited_links WHERE url_id = NEW.id;
END;
CREATE TRIGGER urls_audited_delete BEFORE DELETE ON urls BEGIN
    INSERT INTO audit_entries (url_id, user_id, action, before, at)
    SELECT url_id, user_id, 'deleted', link, unixepoch() FROM audited_links WHERE url_id = OLD.id;
END;
-- Every column but the revision, which the trigger urls_revised raises by an update of its own.
CREATE TRIGGER urls_audited_update_before
BEFORE UPDATE OF user_id, short_code, original_url, title, is_active, starts_at, expires_at, expired_url, redirect_status,
    forward_query, max_clicks, rules, split, created_at, updated_at, tags, notes, external_id ON urls
BEGIN
    INSERT INTO audit_entries (url_id, user_id, action, before, at)
    SELECT url_id, NEW.user_id, 'updated', link, unixepoch() FROM audited_links WHERE url_id = OLD.id;
END;
CREATE TRIGGER urls_audited_update_after
AFTER UPDATE OF user_id, short_code, original_url, title, is_active, starts_at, expires_at, expired_url, redirect_status,
    forward_query, max_clicks, rules, split, created_at, updated_at, tags, notes, external_id ON urls
BEGIN
    UPDATE audit_entries SET after = (SELECT link FROM audited_links WHERE url_id = NEW.id)
    WHERE id = (SELECT max(id) FROM audit_entries WHERE url_id = NEW.id);
END;

-- A change by the sqlite3 shell counts as a change too.
CREATE TRIGGER urls_revised AFTER UPDATE ON urls WHEN NEW.revision = OLD.revision BEGIN
    UPDATE urls SET revision = OLD.revision + 1 WHERE id = NEW.id;
END;

CREATE TRIGGER urls_counted_insert AFTER INSERT ON urls BEGIN
    INSERT INTO link_clicks (url_id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
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

CREATE TRIGGER events_counted_insert AFTER INSERT ON events WHEN NOT EXISTS (SELECT 1 FROM batch_counting) BEGIN
    INSERT INTO row_counts VALUES
        ('events', '', 1),
        ('events', 'url_id=' || NEW.url_id, 1),
        ('events', 'user_id=' || NEW.user_id, 1),
        ('events', 'event_type=' || NEW.event_type, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;

-- Events of a deleted url or user are already subtracted, all at once, before the deletion.
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

CREATE TRIGGER events_clicks_counted_insert AFTER INSERT ON events
WHEN NEW.event_type = 'clicked' AND NOT EXISTS (SELECT 1 FROM batch_counting) BEGIN
    INSERT INTO link_clicks SELECT NEW.url_id, 1, NEW.timestamp WHERE NEW.is_person
    ON CONFLICT DO UPDATE SET clicks = clicks + 1, last_clicked_at = max(coalesce(last_clicked_at, NEW.timestamp), NEW.timestamp);
    INSERT INTO click_counts VALUES (NEW.url_id, NEW.hour, 'v', NEW.counted_visitor, 1)
    ON CONFLICT DO UPDATE SET clicks = clicks + 1;
    INSERT INTO click_counts
    SELECT NEW.url_id, NEW.hour, iif(NEW.is_person, 'r', 'q'), NEW.referrer, 1 WHERE NEW.referrer IS NOT NULL
    ON CONFLICT DO UPDATE SET clicks = clicks + 1;
    INSERT INTO click_counts
    SELECT NEW.url_id, NEW.hour, iif(NEW.is_person, 's', 't'), NEW.source, 1 WHERE NEW.source IS NOT NULL
    ON CONFLICT DO UPDATE SET clicks = clicks + 1;
    INSERT INTO click_counts
    SELECT NEW.url_id, NEW.hour, iif(NEW.is_person, 'd', 'e'), NEW.target, 1 WHERE NEW.target IS NOT NULL
    ON CONFLICT DO UPDATE SET clicks = clicks + 1;
END;

-- Each count is found by its whole key, since a link may have many others.
CREATE TRIGGER events_clicks_counted_delete AFTER DELETE ON events
WHEN OLD.event_type = 'clicked'
    AND EXISTS (SELECT 1 FROM urls WHERE id = OLD.url_id) AND EXISTS (SELECT 1 FROM users WHERE id = OLD.user_id)
BEGIN
    UPDATE link_clicks SET clicks = clicks - 1 WHERE url_id = OLD.url_id AND OLD.is_person;
    UPDATE click_counts SET clicks = clicks - 1
    WHERE url_id = OLD.url_id AND hour = OLD.hour AND kind = 'v' AND value = OLD.counted_visitor;
    DELETE FROM click_counts
    WHERE url_id = OLD.url_id AND hour = OLD.hour AND kind = 'v' AND value = OLD.counted_visitor AND clicks = 0;
    UPDATE click_counts SET clicks = clicks - 1
    WHERE url_id = OLD.url_id AND hour = OLD.hour AND kind = iif(OLD.is_person, 'r', 'q') AND value = OLD.referrer;
    DELETE FROM click_counts
    WHERE url_id = OLD.url_id AND hour = OLD.hour AND kind = iif(OLD.is_person, 'r', 'q') AND value = OLD.referrer
        AND clicks = 0;
    UPDATE click_counts SET clicks = clicks - 1
    WHERE url_id = OLD.url_id AND hour = OLD.hour AND kind = iif(OLD.is_person, 's', 't') AND value = OLD.source;
    DELETE FROM click_counts
    WHERE url_id = OLD.url_id AND hour = OLD.hour AND kind = iif(OLD.is_person, 's', 't') AND value = OLD.source
        AND clicks = 0;
    UPDATE click_counts SET clicks = clicks - 1
    WHERE url_id = OLD.url_id AND hour = OLD.hour AND kind = iif(OLD.is_person, 'd', 'e') AND value = OLD.target;
    DELETE FROM click_counts
    WHERE url_id = OLD.url_id AND hour = OLD.hour AND kind = iif(OLD.is_person, 'd', 'e') AND value = OLD.target
        AND clicks = 0;
END;

CREATE TRIGGER urls_subtract_events BEFORE DELETE ON urls BEGIN
    UPDATE row_counts SET n = row_counts.n - deleted.n FROM (
        SELECT '' AS filter, count(*) AS n FROM events WHERE url_id = OLD.id
        UNION ALL
        SELECT 'user_id=' || user_id, count(*) FROM events WHERE url_id = OLD.id GROUP BY user_id
        UNION ALL
        SELECT 'event_type=' || event_type, count(*) FROM events WHERE url_id = OLD.id GROUP BY event_type
    ) AS deleted
    WHERE row_counts.list = 'events' AND row_counts.filter = deleted.filter;
    DELETE FROM row_counts WHERE list = 'events' AND filter = 'url_id=' || OLD.id;
    DELETE FROM row_counts
    WHERE list = 'events' AND n = 0 AND filter IN (
        SELECT 'user_id=' || user_id FROM events WHERE url_id = OLD.id
        UNION
        SELECT 'event_type=' || event_type FROM events WHERE url_id = OLD.id
    );
    DELETE FROM click_hours WHERE url_id = OLD.id;
    DELETE FROM click_counts WHERE url_id = OLD.id;
    DELETE FROM click_summaries WHERE url_id = OLD.id;
    DELETE FROM late_click_counts WHERE url_id = OLD.id;
    DELETE FROM link_clicks WHERE url_id = OLD.id;
    DELETE FROM url_tags WHERE url_id = OLD.id;
    DELETE FROM link_limits WHERE url_id = OLD.id;
END;

CREATE TRIGGER users_subtract_events BEFORE DELETE ON users BEGIN
    UPDATE row_counts SET n = row_counts.n - deleted.n FROM (
        SELECT '' AS filter, count(*) AS n FROM events WHERE user_id = OLD.id
        UNION ALL
        SELECT 'url_id=' || url_id, count(*) FROM events WHERE user_id = OLD.id GROUP BY url_id
        UNION ALL
        SELECT 'event_type=' || event_type, count(*) FROM events WHERE user_id = OLD.id GROUP BY event_type
    ) AS deleted
    WHERE row_counts.list = 'events' AND row_counts.filter = deleted.filter;
    DELETE FROM row_counts WHERE list = 'events' AND filter = 'user_id=' || OLD.id;
    DELETE FROM row_counts
    WHERE list = 'events' AND n = 0 AND filter IN (
        SELECT 'url_id=' || url_id FROM events WHERE user_id = OLD.id
        UNION
        SELECT 'event_type=' || event_type FROM events WHERE user_id = OLD.id
    );
    UPDATE link_clicks SET clicks = link_clicks.clicks - deleted.n FROM (
        SELECT url_id, count(*) AS n FROM events WHERE user_id = OLD.id AND event_type = 'clicked' AND is_person
        GROUP BY url_id
    ) AS deleted
    WHERE link_clicks.url_id = deleted.url_id;
    UPDATE click_counts SET clicks = click_counts.clicks - deleted.n FROM (
        SELECT url_id, hour, 'v' AS kind, counted_visitor AS value, count(*) AS n
        FROM events WHERE user_id = OLD.id AND event_type = 'clicked' GROUP BY 1, 2, 3, 4
        UNION ALL
        SELECT url_id, hour, iif(is_person, 'r', 'q'), referrer, count(*)
        FROM events WHERE user_id = OLD.id AND event_type = 'clicked' AND referrer IS NOT NULL GROUP BY 1, 2, 3, 4
        UNION ALL
        SELECT url_id, hour, iif(is_person, 's', 't'), source, count(*)
        FROM events WHERE user_id = OLD.id AND event_type = 'clicked' AND source IS NOT NULL GROUP BY 1, 2, 3, 4
        UNION ALL
        SELECT url_id, hour, iif(is_person, 'd', 'e'), target, count(*)
        FROM events WHERE user_id = OLD.id AND event_type = 'clicked' AND target IS NOT NULL GROUP BY 1, 2, 3, 4
    ) AS deleted
    WHERE click_counts.url_id = deleted.url_id AND click_counts.hour = deleted.hour
        AND click_counts.kind = deleted.kind AND click_counts.value = deleted.value;
    DELETE FROM click_counts
    WHERE clicks = 0 AND url_id IN (SELECT url_id FROM events WHERE user_id = OLD.id);
END;

-- Do the work of foreign keys for writers without them, such as the sqlite3 shell.
CREATE TRIGGER urls_delete_events AFTER DELETE ON urls BEGIN
    DELETE FROM events WHERE url_id = OLD.id;
END;
CREATE TRIGGER users_delete_events AFTER DELETE ON users BEGIN
    DELETE FROM events WHERE user_id = OLD.id;
END;

CREATE TRIGGER users_id_fixed BEFORE UPDATE OF id ON users WHEN OLD.id <> NEW.id BEGIN
    SELECT RAISE(ABORT, 'an id is never changed');
END;

CREATE TRIGGER urls_id_fixed BEFORE UPDATE OF id ON urls WHEN OLD.id <> NEW.id BEGIN
    SELECT RAISE(ABORT, 'an id is never changed');
END;

CREATE TRIGGER events_id_fixed BEFORE UPDATE OF id ON events WHEN OLD.id <> NEW.id BEGIN
    SELECT RAISE(ABORT, 'an id is never changed');
END;

CREATE TRIGGER urls_renamed AFTER UPDATE OF short_code ON urls WHEN OLD.short_code <> NEW.short_code BEGIN
    INSERT OR IGNORE INTO former_codes VALUES (OLD.id, OLD.short_code);
END;

-- A load may insert another url with the same id.
CREATE TRIGGER urls_delete_former_codes AFTER DELETE ON urls BEGIN
    DELETE FROM former_codes WHERE url_id = OLD.id;
END;

-- The feed of changes that replicas follow. SQLite has one writer, so the order of sequences is the order of commits.
-- Triggers fill it, so it includes changes by the sqlite3 shell.
CREATE TABLE url_changes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    -- A code that is not in `urls` was removed.
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
-- Every update is logged, even if no served column changes. Then a redirector looks the link up needlessly.
CREATE TRIGGER urls_changed_update AFTER UPDATE ON urls BEGIN
    INSERT INTO url_changes (short_code) VALUES (NEW.short_code);
    INSERT INTO url_changes (short_code) SELECT OLD.short_code WHERE OLD.short_code <> NEW.short_code;
END;

-- Give a link its limit. The clicks that are stored already count, even those from before the limit.
CREATE TRIGGER urls_limited_insert AFTER INSERT ON urls WHEN NEW.max_clicks IS NOT NULL BEGIN
    INSERT INTO link_limits (url_id, max_clicks, taken)
    VALUES (NEW.id, NEW.max_clicks, coalesce((SELECT sum(humans + bots) FROM click_hours WHERE url_id = NEW.id), 0))
    ON CONFLICT DO UPDATE SET max_clicks = excluded.max_clicks, taken = max(taken, excluded.taken);
END;
CREATE TRIGGER urls_limited_update AFTER UPDATE ON urls WHEN OLD.max_clicks IS NOT NEW.max_clicks BEGIN
    INSERT INTO link_limits (url_id, max_clicks, taken)
    VALUES (NEW.id, NEW.max_clicks, coalesce((SELECT sum(humans + bots) FROM click_hours WHERE url_id = NEW.id), 0))
    ON CONFLICT DO UPDATE SET max_clicks = excluded.max_clicks, taken = max(taken, excluded.taken);
END;

-- Stored clicks of a limited link count as taken, even if no redirector took them: those from before the limit, and those
-- whose takes a restored backup lacks.
CREATE TRIGGER click_hours_taken_insert AFTER INSERT ON click_hours
WHEN EXISTS (SELECT 1 FROM link_limits WHERE url_id = NEW.url_id AND max_clicks IS NOT NULL) BEGIN
    UPDATE link_limits SET taken = stored.clicks
    FROM (SELECT sum(humans + bots) AS clicks FROM click_hours WHERE url_id = NEW.url_id) AS stored
    WHERE url_id = NEW.url_id AND taken < stored.clicks;
END;
CREATE TRIGGER click_hours_taken_update AFTER UPDATE ON click_hours
WHEN EXISTS (SELECT 1 FROM link_limits WHERE url_id = NEW.url_id AND max_clicks IS NOT NULL) BEGIN
    UPDATE link_limits SET taken = stored.clicks
    FROM (SELECT sum(humans + bots) AS clicks FROM click_hours WHERE url_id = NEW.url_id) AS stored
    WHERE url_id = NEW.url_id AND taken < stored.clicks;
END;

-- A limit that is used up is a change of its link, and so are clicks that are returned after that.
CREATE TRIGGER link_limits_changed AFTER UPDATE ON link_limits WHEN OLD.is_exhausted <> NEW.is_exhausted BEGIN
    INSERT INTO url_changes (short_code) SELECT short_code FROM urls WHERE id = NEW.url_id;
END;

CREATE TABLE replica_meta (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    -- Changes up to and including this sequence were pruned.
    floor INTEGER NOT NULL,
    -- Identifies the history of this database.
    epoch INTEGER NOT NULL
) STRICT;
INSERT INTO replica_meta VALUES (1, 0, random());
