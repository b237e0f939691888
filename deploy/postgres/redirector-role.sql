-- The role of redirectors: it reads links and the log of their changes, writes clicks and how far they are, and no more.
--
-- Run it in Tern's database, as the owner of its tables, after `tern-admin migrate`, the first time and each time:
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f deploy/postgres/redirector-role.sql
-- Then give the role a password once, with `redirector-password.sql` or as your server does such things, and tell
-- redirectors.

DO $$
BEGIN
    CREATE ROLE tern_redirector LOGIN NOINHERIT;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- Made before, or for another database of this server.
END $$;

BEGIN;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM tern_redirector;

-- Whether the schema is the one of its build, and what is served. Titles are for admins alone.
GRANT SELECT ON refinery_schema_history, replica_meta, url_changes, served_links TO tern_redirector;

-- Clicks; those that are there it may not read.
GRANT INSERT (url_id, user_id, event_type, timestamp, details, browser, referrer, client) ON events TO tern_redirector;
GRANT SELECT, INSERT, UPDATE ON click_journals TO tern_redirector;
GRANT EXECUTE ON FUNCTION lock_links(bigint[]), find_former_codes(bigint[], text[]) TO tern_redirector;
GRANT EXECUTE ON FUNCTION count_clicks(bigint[], timestamptz[], text[], text[], bigint[]) TO tern_redirector;

COMMIT;
