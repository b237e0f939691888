-- A long log of changes is read in parts, and the log holds whatever role a session replicates in.

-- Of a transaction with many changes, those behind a code are found without a look at those before it.
CREATE INDEX url_changes_xid_short_code ON url_changes (xid, short_code);
DROP INDEX url_changes_xid;

-- A session with session_replication_role = replica fires no other triggers than these.
DO $$
DECLARE
    fired record;
BEGIN
    FOR fired IN
        SELECT tgrelid::regclass AS of_table, tgname AS name FROM pg_trigger
        WHERE NOT tgisinternal AND tgrelid IN ('users'::regclass, 'urls'::regclass, 'events'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', fired.of_table, fired.name);
    END LOOP;
END $$;
