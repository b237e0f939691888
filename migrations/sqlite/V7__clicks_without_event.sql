-- Clicks beyond the budget of their network have no event. They are counted beside those that have one, as kinds 'B' and
-- 'R', so that kinds 'b' and 'r' stay the sums of the events.

ALTER TABLE click_journals ADD COLUMN without_event INTEGER NOT NULL DEFAULT 0;

-- The retention finds those that are old; the others go with their events.
CREATE INDEX click_counts_without_event ON click_counts (hour) WHERE kind IN ('B', 'R');
