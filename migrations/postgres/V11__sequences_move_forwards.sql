-- Moves a sequence past an id that was given and not drawn. It never moves one back, whatever is drawn meanwhile.
--
-- nextval() takes no lock that anything else could wait for, so setval() after a look at the sequence could undo what
-- was drawn in between. Drawing never moves backwards; and who draws an id has the table locked to insert into it.
CREATE OR REPLACE FUNCTION move_past(sequence regclass, id bigint) RETURNS void LANGUAGE plpgsql
SET lock_timeout = '1200ms' AS $$
DECLARE
    -- Takes some 50 ms to draw.
    few CONSTANT bigint := 100000;
    missing CONSTANT bigint := id - coalesce(pg_sequence_last_value(sequence), 0);
    drawn_for CONSTANT regclass := (
        SELECT refobjid::regclass FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND objid = sequence AND refclassid = 'pg_class'::regclass
            AND deptype IN ('a', 'i')
    );
BEGIN
    IF missing <= 0 THEN
        RETURN;
    END IF;
    IF missing <= few THEN
        EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', drawn_for);
        PERFORM nextval(sequence) FROM generate_series(1, missing);
        RETURN;
    END IF;
    -- Waits for those who are inserting, and lets nobody begin to.
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', drawn_for);
    IF coalesce(pg_sequence_last_value(sequence), 0) < id THEN
        PERFORM setval(sequence, id);
    END IF;
END $$;
