-- Clicks beyond the budget of their network have no event. They are counted beside those that have one, as kinds 'B' and
-- 'R', so that kinds 'b' and 'r' stay the sums of the events.

ALTER TABLE click_journals ADD COLUMN without_event bigint NOT NULL DEFAULT 0;

-- The retention finds those that are old; the others go with their events.
CREATE INDEX click_counts_without_event ON click_counts (hour) WHERE kind IN ('B', 'R');

-- Redirectors may write no counts; this runs in the name of its owner. The caller has the urls locked.
CREATE FUNCTION count_clicks(url_ids bigint[], hours timestamptz[], browsers text[], referrers text[], numbers bigint[])
RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    INSERT INTO click_counts AS counted
    SELECT clicks.url_id, key.kind, clicks.hour, key.value, sum(clicks.n)::bigint
    FROM unnest(url_ids, hours, browsers, referrers, numbers) AS clicks (url_id, hour, browser, referrer, n)
    CROSS JOIN LATERAL (VALUES ('B'::"char", clicks.browser), ('R'::"char", clicks.referrer)) AS key (kind, value)
    WHERE key.value IS NOT NULL
    GROUP BY clicks.url_id, key.kind, clicks.hour, key.value
    -- In one order, so that no two callers can each wait for the other.
    ORDER BY clicks.url_id, key.kind, clicks.hour, key.value
    ON CONFLICT (url_id, kind, hour, value) DO UPDATE SET clicks = counted.clicks + excluded.clicks
$$;
REVOKE EXECUTE ON FUNCTION count_clicks(bigint[], timestamptz[], text[], text[], bigint[]) FROM PUBLIC;

DO $$
DECLARE
    signature CONSTANT text := 'count_clicks(bigint[], timestamptz[], text[], text[], bigint[])';
    grantee regrole;
BEGIN
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', signature, current_schema());
    FOR grantee IN
        SELECT acl.grantee FROM pg_proc AS callable, aclexplode(callable.proacl) AS acl
        WHERE callable.oid = 'lock_links(bigint[])'::regprocedure AND acl.grantee <> 0
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', signature, grantee);
    END LOOP;
END $$;
