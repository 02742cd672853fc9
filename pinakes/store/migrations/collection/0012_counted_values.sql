-- The values that pictures may be chosen by, kept so that they are counted without reading the images; and what the
-- metadata of the images was last written from.

-- Transactions that have changed images since then: as long as there is one, what is kept below is out of date.
CREATE TABLE image_changes (
    transaction bigint PRIMARY KEY
);

CREATE FUNCTION images_changed() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    -- The schema is named: a session may have any search_path.
    EXECUTE format('INSERT INTO %I.image_changes VALUES (txid_current()) ON CONFLICT DO NOTHING', TG_TABLE_SCHEMA);
    RETURN NULL;
END
$body$;

CREATE TRIGGER changed
    AFTER INSERT OR DELETE OR TRUNCATE OR UPDATE OF image_id, uri, fingerprint, description, author, title, technique,
        medium, size, date, type, school, timeframe, extra, foldings, several, dated
    ON images
    FOR EACH STATEMENT EXECUTE FUNCTION images_changed();

-- One column of all images, in the same order of images for each. `kind`: text, several (a cell may hold several values),
-- years (`first` and `last`), or hidden (whether a restriction, which is the name, takes the image out).
-- codes: little-endian numbers of 1, 2 or 4 bytes, 0 for none, else which of `known`, counted from 1; lengths: how many of
-- them each image has, where that may be several.
CREATE TABLE counted_values (
    kind    text COLLATE "C" NOT NULL,
    name    text COLLATE "C" NOT NULL,
    place   integer NOT NULL,
    known   text[] NOT NULL,
    codes   bytea NOT NULL,
    lengths bytea,
    PRIMARY KEY (kind, name)
);
ALTER TABLE counted_values ALTER COLUMN codes SET STORAGE EXTERNAL, ALTER COLUMN lengths SET STORAGE EXTERNAL;

-- When the values were counted; and by their digests the table of metadata that the images have been written from, and the
-- image_ids of the listing that it was joined with then.
ALTER TABLE collection
    ADD COLUMN counted_at timestamptz,
    ADD COLUMN metadata_digest bytea,
    ADD COLUMN listing_digest bytea;
