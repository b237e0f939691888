-- Pages that cost the same however deep they lie, the network of a click, and one order in which events are deleted.

-- What is counted below must stand still until it is counted.
LOCK TABLE users, urls, events IN SHARE ROW EXCLUSIVE MODE;

-- The network that a click came from, never an address.
ALTER TABLE events ADD COLUMN client cidr;

-- How many rows of a list have ids within a block of 2^bits ids, for blocks of three sizes. The first row of a page is
-- found by adding up blocks: the largest, then those within one of them, and so on. What is left to skip are fewer than
-- 256 rows. Kept like row_counts: writers append what they add or take away, and readers add up both tables.
CREATE TABLE id_blocks (
    list text COLLATE "C" NOT NULL,
    bits smallint NOT NULL,
    -- Ids shifted to the right by so many bits.
    block bigint NOT NULL,
    -- PostgreSQL adds up integers faster than bigints.
    n integer NOT NULL,
    CONSTRAINT id_blocks_pkey PRIMARY KEY (list, bits, block)
);
CREATE INDEX id_blocks_empty ON id_blocks (list) WHERE n = 0;

CREATE TABLE id_block_deltas (
    list text COLLATE "C" NOT NULL,
    bits smallint NOT NULL,
    block bigint NOT NULL,
    n integer NOT NULL
);
CREATE INDEX id_block_deltas_list_bits_block ON id_block_deltas (list, bits, block);

CREATE FUNCTION count_id_blocks() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- An argument says whether rows went.
    factor CONSTANT integer := CASE WHEN TG_NARGS = 0 THEN 1 ELSE -1 END;
BEGIN
    INSERT INTO id_block_deltas
    WITH smallest AS MATERIALIZED (SELECT id >> 8 AS block, factor * count(*) AS n FROM changed GROUP BY id >> 8)
    SELECT TG_TABLE_NAME, 8, block, n FROM smallest
    UNION ALL SELECT TG_TABLE_NAME, 16, block >> 8, sum(n) FROM smallest GROUP BY block >> 8
    UNION ALL SELECT TG_TABLE_NAME, 24, block >> 16, sum(n) FROM smallest GROUP BY block >> 16;
    RETURN NULL;
END $$;

CREATE TRIGGER users_blocks_insert AFTER INSERT ON users
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_id_blocks();
CREATE TRIGGER users_blocks_delete AFTER DELETE ON users
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_id_blocks('went');
CREATE TRIGGER urls_blocks_insert AFTER INSERT ON urls
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_id_blocks();
CREATE TRIGGER urls_blocks_delete AFTER DELETE ON urls
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_id_blocks('went');
CREATE TRIGGER events_blocks_insert AFTER INSERT ON events
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_id_blocks();
CREATE TRIGGER events_blocks_delete AFTER DELETE ON events
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_id_blocks('went');
CREATE TRIGGER events_blocks_update_1 AFTER UPDATE ON events
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_id_blocks('went');
CREATE TRIGGER events_blocks_update_2 AFTER UPDATE ON events
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_id_blocks();

INSERT INTO id_blocks SELECT 'users', 8, id >> 8, count(*) FROM users GROUP BY id >> 8;
INSERT INTO id_blocks SELECT 'urls', 8, id >> 8, count(*) FROM urls GROUP BY id >> 8;
INSERT INTO id_blocks SELECT 'events', 8, id >> 8, count(*) FROM events GROUP BY id >> 8;
INSERT INTO id_blocks SELECT list, 16, block >> 8, sum(n) FROM id_blocks GROUP BY list, block >> 8;
INSERT INTO id_blocks SELECT list, 24, block >> 8, sum(n) FROM id_blocks WHERE bits = 16 GROUP BY list, block >> 8;

-- From which id on a list is to be read, and how many of the rows from there on are to be skipped, so that `skipped`
-- rows come before the next. A list with fewer rows is read from its beginning.
--
-- STABLE: it sees the same moment as the statement that it stands in. Its plan is the same for all lists and sizes, and
-- planned anew each time it would take five times as long.
CREATE FUNCTION find_place(list text, skipped bigint, OUT first_id bigint, OUT to_skip bigint)
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
    FOREACH size IN ARRAY '{24, 16, 8}'::integer[] LOOP
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
                    SELECT delta.block, delta.n FROM id_block_deltas AS delta
                    WHERE delta.list = find_place.list AND delta.bits = size
                        AND delta.block BETWEEN first_id >> size AND last_id >> size
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
    DELETE FROM id_block_deltas WHERE list = TG_TABLE_NAME;
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

-- Events name their url and their user without a foreign key, and blocks are counted by id: neither could follow.
CREATE FUNCTION keep_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE foreign_key_violation USING TABLE = TG_TABLE_NAME, MESSAGE = 'an id is never changed';
END $$;
CREATE TRIGGER users_id_kept BEFORE UPDATE OF id ON users
FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION keep_id();
CREATE TRIGGER urls_id_kept BEFORE UPDATE OF id ON urls
FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION keep_id();

-- So few that each is looked up by its key, and no table of counts is read from end to end.
ALTER FUNCTION clicks_of(event_group[]) ROWS 10;

-- As before, but counts of nothing are deleted by their keys: a link may have many others.
CREATE OR REPLACE FUNCTION events_went() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    groups CONSTANT event_group[] := ARRAY(
        SELECT (url_id, user_id, event_type, date_trunc('hour', timestamp, 'UTC'), browser, referrer, -count(*))::event_group
        FROM went GROUP BY url_id, user_id, event_type, date_trunc('hour', timestamp, 'UTC'), browser, referrer
    );
BEGIN
    PERFORM count_events(groups);
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

-- Whoever deletes events locks their urls first, in the order of ids, as those who record events do; then the events,
-- then the counts. So whoever deletes a url waits before it has anything that others wait for.
CREATE OR REPLACE FUNCTION events_of_users_go() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ids CONSTANT bigint[] := ARRAY(SELECT id FROM gone);
BEGIN
    PERFORM FROM urls WHERE id IN (SELECT url_id FROM events WHERE user_id = ANY (ids)) ORDER BY id FOR KEY SHARE;
    DELETE FROM events WHERE user_id = ANY (ids);
    RETURN NULL;
END $$;
