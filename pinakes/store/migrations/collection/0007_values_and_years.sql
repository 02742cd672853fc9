-- What a table of metadata says in more than text: single values of cells that hold several, and years in columns of their
-- own. Each statement may be carried out a second time.

-- For a column whose cells hold several values those of the image, under the column's name: {{"Tags": ["Flowers", "Tulips"]}}.
-- The text as the file has it stays where it is.
ALTER TABLE images ADD COLUMN IF NOT EXISTS several jsonb;

-- The first and the last year as the file's columns say them; they count before what `date` and `timeframe` say.
ALTER TABLE images ADD COLUMN IF NOT EXISTS dated int4range;

CREATE INDEX IF NOT EXISTS images_several ON images USING gin (several jsonb_path_ops);
