-- A redirector's role may write events, and nothing that events are counted by or refer to. So what has to be locked and
-- counted beside them is done in the name of the owner of these functions, who is whoever migrates.

-- The urls of these ids that are there, locked against going; in the order of ids, of two who lock them none waits for
-- the other while it is waited for.
CREATE FUNCTION lock_urls(ids bigint[]) RETURNS TABLE (id bigint, user_id bigint) LANGUAGE sql SECURITY DEFINER AS $$
    SELECT id, user_id FROM urls WHERE id = ANY (ids) ORDER BY id FOR KEY SHARE
$$;

ALTER FUNCTION events_came() SECURITY DEFINER;
ALTER FUNCTION count_id_blocks() SECURITY DEFINER;

-- With a path of names that whoever calls cannot prepare.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION lock_urls(bigint[]) SET search_path = pg_catalog, %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION count_id_blocks() SET search_path = pg_catalog, %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION events_came() SET search_path = pg_catalog, %I, pg_temp', current_schema());
END $$;
