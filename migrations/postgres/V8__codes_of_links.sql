-- Clicks are matched to their link by id and code. A database that lost its last commits gives ids again.

-- Codes that a url had before it was renamed with psql. A click that was answered under such a code is still the url's.
CREATE TABLE former_codes (
    url_id bigint NOT NULL,
    short_code text COLLATE "C" NOT NULL,
    CONSTRAINT former_codes_pkey PRIMARY KEY (url_id, short_code)
);

CREATE FUNCTION record_former_code() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO former_codes VALUES (OLD.id, OLD.short_code) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER urls_renamed AFTER UPDATE OF short_code ON urls
FOR EACH ROW WHEN (OLD.short_code <> NEW.short_code) EXECUTE FUNCTION record_former_code();

-- A later url may be loaded under the same id.
CREATE FUNCTION remove_former_codes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM former_codes;
    ELSE
        DELETE FROM former_codes WHERE url_id = ANY (ARRAY(SELECT id FROM gone));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER urls_former_codes_go AFTER DELETE ON urls
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION remove_former_codes();
CREATE TRIGGER urls_former_codes_truncated AFTER TRUNCATE ON urls
FOR EACH STATEMENT EXECUTE FUNCTION remove_former_codes();
ALTER TABLE urls ENABLE ALWAYS TRIGGER urls_renamed;
ALTER TABLE urls ENABLE ALWAYS TRIGGER urls_former_codes_go;
ALTER TABLE urls ENABLE ALWAYS TRIGGER urls_former_codes_truncated;

-- Takes the place of `lock_urls`, which redirectors of earlier versions call while they are replaced.
CREATE FUNCTION lock_links(ids bigint[]) RETURNS TABLE (id bigint, user_id bigint, short_code text)
LANGUAGE sql SECURITY DEFINER AS $$
    SELECT id, user_id, short_code FROM urls WHERE id = ANY (ids) ORDER BY id FOR KEY SHARE
$$;

-- Those pairs of a url and a code that belonged together before.
CREATE FUNCTION find_former_codes(ids bigint[], codes text[]) RETURNS TABLE (url_id bigint, short_code text)
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT DISTINCT former.url_id, former.short_code
    FROM unnest(ids, codes) AS asked (url_id, short_code)
    JOIN former_codes AS former ON (former.url_id, former.short_code) = (asked.url_id, asked.short_code)
$$;

-- The functions run with a fixed search path, and whoever may call `lock_urls` may call them.
DO $$
DECLARE
    signature text;
    grantee regrole;
BEGIN
    FOREACH signature IN ARRAY '{"lock_links(bigint[])", "find_former_codes(bigint[], text[])"}'::text[] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', signature, current_schema());
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', signature);
        FOR grantee IN
            SELECT acl.grantee FROM pg_proc AS callable, aclexplode(callable.proacl) AS acl
            WHERE callable.oid = 'lock_urls(bigint[])'::regprocedure AND acl.grantee <> 0
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', signature, grantee);
        END LOOP;
    END LOOP;
END $$;
