-- Each sketch is rewritten once it has been compared. Where its page has room for that, no index learns of it: an entry in
-- the one of the shapes costs as much as the first, and makes it larger.
ALTER TABLE IF EXISTS sketches SET (fillfactor = 40);

-- Built when all sketches are there, for a quarter of what entering each takes.
DROP INDEX IF EXISTS sketches_shape;
