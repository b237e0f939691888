-- Creates the redirectors' role and grants its privileges. The role reads links and the log of their changes, and writes
-- clicks and the positions of journals. It has no other privilege.
--
-- Run this script in Tern's database, as the owner of its tables, after every `tern-admin migrate`, the first included:
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f deploy/postgres/redirector-role.sql
-- Then set the password of the role once, with `redirector-password.sql` or by the means of your server, and configure
-- the redirectors with it.

DO $$
BEGIN
    CREATE ROLE tern_redirector LOGIN NOINHERIT;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- The role exists, from an earlier run or for another database of this server.
END $$;

BEGIN;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM tern_redirector;

-- The history shows whether the schema is that of the build. The view served_links omits titles: only admins read them.
GRANT SELECT ON refinery_schema_history, replica_meta, failover_beats, url_changes, served_links, link_sums, link_sum_changes
    TO tern_redirector;
GRANT EXECUTE ON FUNCTION xor_all(bigint) TO tern_redirector;

-- The role writes clicks; it cannot read stored events.
GRANT INSERT (url_id, user_id, event_type, timestamp, details, visitor, referrer, source, target, client) ON events TO tern_redirector;
GRANT SELECT, INSERT, UPDATE ON click_journals TO tern_redirector;
GRANT EXECUTE ON FUNCTION lock_links(bigint[]), find_former_codes(bigint[], text[]) TO tern_redirector;
GRANT EXECUTE ON FUNCTION count_batch(
    bigint[], bigint[], bigint[], timestamptz[],
    bigint[], bigint[],
    bigint[], timestamptz[], "char"[], text[], bigint[],
    timestamptz[], "char"[], text[], bigint[],
    bigint[], timestamptz[], bigint[], bigint[]
) TO tern_redirector;
GRANT EXECUTE ON FUNCTION count_misses(text[], bigint[]) TO tern_redirector;
GRANT EXECUTE ON FUNCTION take_clicks(bigint[], bigint[], bigint[]), return_clicks(bigint[], bigint[]) TO tern_redirector;

COMMIT;
