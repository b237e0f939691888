-- Functions that run in the name of their owner are for the roles that were granted them, and for no other role.
--
-- A restore without privileges (pg_restore --no-acl) makes them executable by every role again, and its history says that
-- this migration has run. So each `tern-admin migrate` calls this function, and each admin does once a minute.
-- Trigger functions are among them: a role could bind one to a table of its own, with rows of its own making.
--
-- Returns how many functions were open. Of two callers at once, one looks.
CREATE FUNCTION close_functions() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    open_function regprocedure;
    closed integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('tern close_functions', 0)) THEN
        RETURN 0;
    END IF;
    FOR open_function IN
        SELECT callable.oid FROM pg_proc AS callable
        WHERE callable.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'urls'::regclass)
            AND callable.proname IN
                ('lock_urls', 'lock_links', 'find_former_codes', 'count_clicks', 'events_came')
            AND callable.prosecdef
            AND pg_has_role(callable.proowner, 'USAGE')
            AND EXISTS (
                SELECT FROM aclexplode(coalesce(callable.proacl, acldefault('f', callable.proowner))) AS acl
                WHERE acl.grantee = 0 AND acl.privilege_type = 'EXECUTE'
            )
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', open_function);
        closed := closed + 1;
    END LOOP;
    RETURN closed;
END $$;

SELECT close_functions();
