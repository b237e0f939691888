-- How far the journals of clicks are in the store. A row moves in the transaction that brings the clicks, so the two
-- agree whatever crashes, fails over or is restored.
CREATE TABLE click_journals (
    -- 32 hexadecimal digits, as they stand in the journal's files.
    journal text COLLATE "C" NOT NULL,
    -- Everything before this place is here, nothing from it on.
    segment bigint NOT NULL,
    "offset" bigint NOT NULL,
    -- Clicks that were written to the journal before this place.
    sequence bigint NOT NULL,
    -- Those of them that became events, whose link was gone, and that were put aside.
    recorded bigint NOT NULL DEFAULT 0,
    orphaned bigint NOT NULL DEFAULT 0,
    parked bigint NOT NULL DEFAULT 0,
    shipped_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT click_journals_pkey PRIMARY KEY (journal)
);
