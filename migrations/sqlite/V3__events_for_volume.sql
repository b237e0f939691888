-- Events for volume: clicks counted by the hour, and events that go with their url or user counted out at once.

-- A click's browser and the host that it was referred by, as they were told apart when it came: the counts below must
-- lose with the event what they gained with it, whoever tells browsers apart by then.
ALTER TABLE events ADD COLUMN browser TEXT;
ALTER TABLE events ADD COLUMN referrer TEXT;
-- The full hour; it stands for before 1970, too, where % rounds up.
ALTER TABLE events ADD COLUMN hour INTEGER AS (timestamp - (timestamp % 3600 + 3600) % 3600) VIRTUAL;

-- Clicks of each link by the hour. A click has one browser, so the clicks of an hour are the sum of its browsers;
-- it has a referrer only if it tells one.
CREATE TABLE click_counts (
    url_id INTEGER NOT NULL,
    -- 'b': the value is a browser; 'r': the host of a referrer.
    kind TEXT NOT NULL,
    hour INTEGER NOT NULL,
    value TEXT NOT NULL,
    clicks INTEGER NOT NULL,
    PRIMARY KEY (url_id, kind, hour, value)
) STRICT, WITHOUT ROWID;

INSERT INTO click_counts
SELECT url_id, 'b', hour, 'Unknown', count(*) FROM events WHERE event_type = 'clicked' GROUP BY url_id, hour;

CREATE TRIGGER events_clicks_counted_insert AFTER INSERT ON events WHEN NEW.event_type = 'clicked' BEGIN
    INSERT INTO click_counts VALUES (NEW.url_id, 'b', NEW.hour, coalesce(NEW.browser, 'Unknown'), 1)
    ON CONFLICT DO UPDATE SET clicks = clicks + 1;
    INSERT INTO click_counts SELECT NEW.url_id, 'r', NEW.hour, NEW.referrer, 1 WHERE NEW.referrer IS NOT NULL
    ON CONFLICT DO UPDATE SET clicks = clicks + 1;
END;

-- Events that go with their url or their user were counted out before those went, all at once.
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
    UPDATE click_counts SET clicks = clicks - 1
    WHERE OLD.event_type = 'clicked' AND url_id = OLD.url_id AND hour = OLD.hour
        AND (kind, value) IN (VALUES ('b', coalesce(OLD.browser, 'Unknown')), ('r', OLD.referrer));
    DELETE FROM click_counts
    WHERE OLD.event_type = 'clicked' AND url_id = OLD.url_id AND hour = OLD.hour AND clicks = 0;
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
