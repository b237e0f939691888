-- How far the journals of clicks are in the store. A row moves in the transaction that brings the clicks, so the two
-- agree whatever crashes or is restored.
CREATE TABLE click_journals (
    -- 32 hexadecimal digits, as they stand in the journal's files.
    journal TEXT PRIMARY KEY,
    -- Everything before this place is here, nothing from it on.
    segment INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    -- Clicks that were written to the journal before this place.
    sequence INTEGER NOT NULL,
    -- Those of them that became events, whose link was gone, and that were put aside.
    recorded INTEGER NOT NULL,
    orphaned INTEGER NOT NULL,
    parked INTEGER NOT NULL,
    shipped_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
