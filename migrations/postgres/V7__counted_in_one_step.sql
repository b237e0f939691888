-- Writes count for less: blocks of ids are counted with the totals, and what each write runs is not planned anew.

LOCK TABLE users, urls, events IN SHARE ROW EXCLUSIVE MODE;
-- Whoever is folding differences is waited for: what it moves would be counted twice here.
LOCK TABLE row_count_deltas, id_block_deltas IN ACCESS EXCLUSIVE MODE;

-- What was not folded yet. The sizes between those that were counted make a deep page as cheap as any other.
INSERT INTO id_blocks SELECT list, bits, block, sum(n) FROM id_block_deltas GROUP BY list, bits, block
ON CONFLICT (list, bits, block) DO UPDATE SET n = id_blocks.n + excluded.n;
DELETE FROM id_blocks WHERE n = 0;
INSERT INTO id_blocks
SELECT list, size.bits, block >> (size.bits - 8), sum(n)
FROM id_blocks CROSS JOIN (VALUES (12::smallint), (20::smallint)) AS size (bits)
WHERE id_blocks.bits = 8 GROUP BY list, size.bits, block >> (size.bits - 8);

-- A row of a whole list, whose filter is '', is of one block of 2^8 ids; larger blocks are summed when it is folded.
-- Rows from before are in no block: theirs are counted above.
ALTER TABLE row_count_deltas ADD COLUMN block bigint;

DROP TRIGGER users_blocks_insert ON users;
DROP TRIGGER users_blocks_delete ON users;
DROP TRIGGER urls_blocks_insert ON urls;
DROP TRIGGER urls_blocks_delete ON urls;
DROP TRIGGER events_blocks_insert ON events;
DROP TRIGGER events_blocks_delete ON events;
DROP TRIGGER events_blocks_update_1 ON events;
DROP TRIGGER events_blocks_update_2 ON events;
DROP FUNCTION count_id_blocks();
DROP TABLE id_block_deltas;

CREATE OR REPLACE FUNCTION count_users() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO row_count_deltas (list, filter, block, n)
    SELECT 'users', '', id >> 8, CASE TG_OP WHEN 'DELETE' THEN -count(*) ELSE count(*) END FROM changed GROUP BY id >> 8;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION count_urls() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO row_count_deltas (list, filter, block, n)
    SELECT 'urls', key.filter, key.block, CASE TG_OP WHEN 'DELETE' THEN -count(*) ELSE count(*) END
    FROM changed CROSS JOIN LATERAL
        (VALUES ('', changed.id >> 8), ('user_id=' || changed.user_id, NULL), ('is_active=' || changed.is_active, NULL))
        AS key (filter, block)
    GROUP BY key.filter, key.block;
    RETURN NULL;
END $$;

-- A function in SQL becomes part of the statement that calls it if it is no less stable than what it calls, and no more;
-- else it is parsed and planned at each call.

CREATE OR REPLACE FUNCTION url_details(short_code text, original_url text) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT ('{"short_code":' || to_json(short_code) || ',"original_url":' || to_json(original_url) || '}')::json
$$;

ALTER FUNCTION clicks_of(event_group[]) STABLE;

-- Every statement over what came is planned once for each connection, whatever comes later. So none joins what came with
-- anything: a plan for one event would take a million of them through each other.
CREATE OR REPLACE FUNCTION events_came() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    url_is_missing boolean;
    other_users bigint[];
    users_found bigint[];
BEGIN
    -- In place of foreign keys, which look at the url and the user of each row: a url is looked at once. One that is
    -- locked cannot go, nor can its owner. In the order of ids nobody waits for each other.
    WITH locked AS MATERIALIZED (
        SELECT id, user_id FROM urls WHERE id = ANY (ARRAY(SELECT DISTINCT url_id FROM came)) ORDER BY id FOR KEY SHARE
    )
    SELECT bool_or(is_missing), array_agg(DISTINCT user_id) FILTER (WHERE NOT is_owner) INTO url_is_missing, other_users
    FROM (
        SELECT user_id, bool_or(is_owner) AS is_owner, NOT bool_or(bool_or(is_owner)) OVER (PARTITION BY url_id) AS is_missing
        FROM (
            SELECT id AS url_id, user_id, true AS is_owner FROM locked
            UNION ALL SELECT DISTINCT url_id, user_id, false FROM came
        ) AS named
        GROUP BY url_id, user_id
    ) AS pairs;
    IF url_is_missing THEN
        RAISE foreign_key_violation USING CONSTRAINT = 'events_url_id_fkey', TABLE = 'events',
            MESSAGE = 'an event of a url that is not there';
    END IF;
    IF other_users IS NOT NULL THEN
        users_found := ARRAY(SELECT id FROM users WHERE id = ANY (other_users) ORDER BY id FOR KEY SHARE);
        IF cardinality(users_found) < cardinality(other_users) THEN
            RAISE foreign_key_violation USING CONSTRAINT = 'events_user_id_fkey', TABLE = 'events',
                MESSAGE = 'an event of a user that is not there';
        END IF;
    END IF;

    INSERT INTO row_count_deltas (list, filter, block, n)
    SELECT 'events', '', id >> 8, count(*) FROM came GROUP BY id >> 8
    UNION ALL SELECT 'events', 'url_id=' || url_id, NULL, count(*) FROM came GROUP BY url_id
    UNION ALL SELECT 'events', 'user_id=' || user_id, NULL, count(*) FROM came GROUP BY user_id
    UNION ALL SELECT 'events', 'event_type=' || event_type, NULL, count(*) FROM came GROUP BY event_type;

    INSERT INTO click_counts AS counted
    SELECT url_id, key.kind, hour, key.value, sum(n)
    FROM (
        SELECT url_id, date_trunc('hour', timestamp, 'UTC') AS hour, browser, referrer, count(*) AS n
        FROM came WHERE event_type = 'clicked' GROUP BY 1, 2, 3, 4
    ) AS clicks CROSS JOIN LATERAL
        (VALUES ('b'::"char", coalesce(browser, 'Unknown')), ('r'::"char", referrer)) AS key (kind, value)
    WHERE key.value IS NOT NULL
    GROUP BY url_id, key.kind, hour, key.value
    -- In one order, so that two who count the same links cannot each wait for the other.
    ORDER BY url_id, key.kind, hour, key.value
    ON CONFLICT (url_id, kind, hour, value) DO UPDATE SET clicks = counted.clicks + excluded.clicks;
    RETURN NULL;
END $$;

DROP FUNCTION check_event_references(event_group[]);
DROP FUNCTION count_events(event_group[]);

-- Here one plan has to serve all, too, and looks up each count by its key: see the ROWS of `clicks_of`.
CREATE OR REPLACE FUNCTION events_went() RETURNS trigger LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    groups CONSTANT event_group[] := ARRAY(
        SELECT (url_id, user_id, event_type, date_trunc('hour', timestamp, 'UTC'), browser, referrer, -count(*))::event_group
        FROM went GROUP BY url_id, user_id, event_type, date_trunc('hour', timestamp, 'UTC'), browser, referrer
    );
BEGIN
    INSERT INTO row_count_deltas (list, filter, block, n)
    SELECT 'events', '', id >> 8, -count(*) FROM went GROUP BY id >> 8
    UNION ALL SELECT 'events', 'url_id=' || url_id, NULL, -count(*) FROM went GROUP BY url_id
    UNION ALL SELECT 'events', 'user_id=' || user_id, NULL, -count(*) FROM went GROUP BY user_id
    UNION ALL SELECT 'events', 'event_type=' || event_type, NULL, -count(*) FROM went GROUP BY event_type;
    -- Where the link went too, its counts did, and nothing is found.
    WITH locked AS MATERIALIZED (
        SELECT counted.url_id, counted.kind, counted.hour, counted.value, gone.clicks
        FROM click_counts AS counted JOIN clicks_of(groups) AS gone USING (url_id, kind, hour, value)
        ORDER BY url_id, kind, hour, value FOR UPDATE OF counted
    )
    UPDATE click_counts AS counted SET clicks = counted.clicks + locked.clicks FROM locked
    WHERE (counted.url_id, counted.kind, counted.hour, counted.value)
        = (locked.url_id, locked.kind, locked.hour, locked.value);
    DELETE FROM click_counts AS counted USING clicks_of(groups) AS gone
    WHERE (counted.url_id, counted.kind, counted.hour, counted.value) = (gone.url_id, gone.kind, gone.hour, gone.value)
        AND counted.clicks = 0;
    RETURN NULL;
END $$;

-- With a path of names that whoever calls cannot prepare.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION events_came() SET search_path = pg_catalog, %I, pg_temp', current_schema());
END $$;

CREATE OR REPLACE FUNCTION find_place(list text, skipped bigint, OUT first_id bigint, OUT to_skip bigint)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    size integer;
    last_id bigint := 9223372036854775807;
    first_block bigint;
    rows_before bigint;
BEGIN
    first_id := 0;
    to_skip := skipped;
    IF skipped < 256 THEN
        RETURN;
    END IF;
    FOREACH size IN ARRAY '{24, 20, 16, 12, 8}'::integer[] LOOP
        SELECT block, through - n INTO first_block, rows_before
        FROM (
            SELECT block, n, sum(n) OVER (ORDER BY block) AS through
            FROM (
                SELECT block, sum(parts.n)::integer AS n
                FROM (
                    SELECT counted.block, counted.n FROM id_blocks AS counted
                    WHERE counted.list = find_place.list AND counted.bits = size
                        AND counted.block BETWEEN first_id >> size AND last_id >> size
                    UNION ALL
                    SELECT delta.block >> (size - 8), delta.n FROM row_count_deltas AS delta
                    WHERE delta.list = find_place.list AND delta.filter = ''
                        AND delta.block BETWEEN first_id >> 8 AND last_id >> 8
                ) AS parts
                GROUP BY block
            ) AS blocks
        ) AS summed
        WHERE through > to_skip ORDER BY block LIMIT 1;
        IF NOT FOUND THEN
            first_id := 0;
            to_skip := skipped;
            RETURN;
        END IF;
        first_id := first_block << size;
        last_id := first_id + (1 << size) - 1;
        to_skip := to_skip - rows_before;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION forget_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM row_counts WHERE list = TG_TABLE_NAME;
    DELETE FROM row_count_deltas WHERE list = TG_TABLE_NAME;
    DELETE FROM id_blocks WHERE list = TG_TABLE_NAME;
    IF TG_TABLE_NAME = 'urls' THEN
        UPDATE replica_meta SET salt = gen_random_uuid();
    END IF;
    IF TG_TABLE_NAME = 'events' THEN
        TRUNCATE click_counts;
    ELSIF EXISTS (SELECT FROM events) THEN
        TRUNCATE events;
    END IF;
    RETURN NULL;
END $$;
