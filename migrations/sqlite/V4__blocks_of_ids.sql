-- Pages that cost the same however deep they lie, the network of a click, and events that go one by one for less.

-- The network that a click came from, never an address.
ALTER TABLE events ADD COLUMN client TEXT;

-- How many rows of a list have ids within a block of 2^bits ids, for blocks of three sizes. The first row of a page is
-- found by adding up blocks: the largest, then those within one of them, and so on. What is left to skip are fewer than
-- 256 rows.
CREATE TABLE id_blocks (
    list TEXT NOT NULL,
    bits INTEGER NOT NULL,
    -- Ids shifted to the right by so many bits.
    block INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (list, bits, block)
) STRICT, WITHOUT ROWID;

INSERT INTO id_blocks SELECT 'users', 8, id >> 8, count(*) FROM users GROUP BY id >> 8;
INSERT INTO id_blocks SELECT 'urls', 8, id >> 8, count(*) FROM urls GROUP BY id >> 8;
INSERT INTO id_blocks SELECT 'events', 8, id >> 8, count(*) FROM events GROUP BY id >> 8;
INSERT INTO id_blocks SELECT list, 16, block >> 8, sum(n) FROM id_blocks GROUP BY list, block >> 8;
INSERT INTO id_blocks SELECT list, 24, block >> 8, sum(n) FROM id_blocks WHERE bits = 16 GROUP BY list, block >> 8;

CREATE TRIGGER users_blocks_insert AFTER INSERT ON users BEGIN
    INSERT INTO id_blocks VALUES
        ('users', 8, NEW.id >> 8, 1), ('users', 16, NEW.id >> 16, 1), ('users', 24, NEW.id >> 24, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER users_blocks_delete AFTER DELETE ON users BEGIN
    INSERT INTO id_blocks VALUES
        ('users', 8, OLD.id >> 8, -1), ('users', 16, OLD.id >> 16, -1), ('users', 24, OLD.id >> 24, -1)
    ON CONFLICT DO UPDATE SET n = n - 1;
    DELETE FROM id_blocks WHERE list = 'users' AND bits = 8 AND block = OLD.id >> 8 AND n = 0;
    DELETE FROM id_blocks WHERE list = 'users' AND bits = 16 AND block = OLD.id >> 16 AND n = 0;
    DELETE FROM id_blocks WHERE list = 'users' AND bits = 24 AND block = OLD.id >> 24 AND n = 0;
END;
CREATE TRIGGER users_id_kept BEFORE UPDATE OF id ON users WHEN OLD.id <> NEW.id BEGIN
    SELECT RAISE(ABORT, 'an id is never changed');
END;

CREATE TRIGGER urls_blocks_insert AFTER INSERT ON urls BEGIN
    INSERT INTO id_blocks VALUES
        ('urls', 8, NEW.id >> 8, 1), ('urls', 16, NEW.id >> 16, 1), ('urls', 24, NEW.id >> 24, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER urls_blocks_delete AFTER DELETE ON urls BEGIN
    INSERT INTO id_blocks VALUES
        ('urls', 8, OLD.id >> 8, -1), ('urls', 16, OLD.id >> 16, -1), ('urls', 24, OLD.id >> 24, -1)
    ON CONFLICT DO UPDATE SET n = n - 1;
    DELETE FROM id_blocks WHERE list = 'urls' AND bits = 8 AND block = OLD.id >> 8 AND n = 0;
    DELETE FROM id_blocks WHERE list = 'urls' AND bits = 16 AND block = OLD.id >> 16 AND n = 0;
    DELETE FROM id_blocks WHERE list = 'urls' AND bits = 24 AND block = OLD.id >> 24 AND n = 0;
END;
CREATE TRIGGER urls_id_kept BEFORE UPDATE OF id ON urls WHEN OLD.id <> NEW.id BEGIN
    SELECT RAISE(ABORT, 'an id is never changed');
END;

CREATE TRIGGER events_blocks_insert AFTER INSERT ON events BEGIN
    INSERT INTO id_blocks VALUES
        ('events', 8, NEW.id >> 8, 1), ('events', 16, NEW.id >> 16, 1), ('events', 24, NEW.id >> 24, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER events_blocks_delete AFTER DELETE ON events BEGIN
    INSERT INTO id_blocks VALUES
        ('events', 8, OLD.id >> 8, -1), ('events', 16, OLD.id >> 16, -1), ('events', 24, OLD.id >> 24, -1)
    ON CONFLICT DO UPDATE SET n = n - 1;
    DELETE FROM id_blocks WHERE list = 'events' AND bits = 8 AND block = OLD.id >> 8 AND n = 0;
    DELETE FROM id_blocks WHERE list = 'events' AND bits = 16 AND block = OLD.id >> 16 AND n = 0;
    DELETE FROM id_blocks WHERE list = 'events' AND bits = 24 AND block = OLD.id >> 24 AND n = 0;
END;
CREATE TRIGGER events_id_kept BEFORE UPDATE OF id ON events WHEN OLD.id <> NEW.id BEGIN
    SELECT RAISE(ABORT, 'an id is never changed');
END;

-- As before, but each count is found by its whole key: a link may have many others.
DROP TRIGGER events_counted_delete;
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

-- What foreign keys do, for writers that leave them unchecked, as the sqlite3 shell does.
CREATE TRIGGER urls_events_gone AFTER DELETE ON urls BEGIN
    DELETE FROM events WHERE url_id = OLD.id;
END;
CREATE TRIGGER users_events_gone AFTER DELETE ON users BEGIN
    DELETE FROM events WHERE user_id = OLD.id;
END;
