-- ef_search_far: the distance at which the nearest picture found makes it likely that the index led to the wrong place, so
-- that it is looked for a second time and farther.
ALTER TABLE spaces ADD COLUMN IF NOT EXISTS ef_search_far real;
