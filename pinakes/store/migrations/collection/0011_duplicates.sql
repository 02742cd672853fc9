-- Which pictures are the same. Each statement may be carried out a second time.

-- What a picture looks like, under the fingerprint of its bytes: as a small JPEG, with the number of pixels of the file; and
-- where light and dark are in it, NULL where there is next to nothing to see. `compared` says how it was compared with the
-- others; a run continues with those that were compared otherwise or not at all.
CREATE TABLE IF NOT EXISTS sketches (
    fingerprint text COLLATE "C" PRIMARY KEY,
    picture     bytea NOT NULL,
    pixels      bigint NOT NULL,
    shape       halfvec(63),
    compared    text COLLATE "C"
);
CREATE INDEX IF NOT EXISTS sketches_shape ON sketches USING hnsw (shape halfvec_cosine_ops);

-- Two pictures of which one is a copy of the other, by the fingerprints of their bytes, the smaller one first.
CREATE TABLE IF NOT EXISTS alike (
    first      text COLLATE "C" NOT NULL,
    second     text COLLATE "C" NOT NULL,
    kind       text NOT NULL,
    difference real NOT NULL,
    PRIMARY KEY (first, second)
);

-- What people decided about two images, or about one (`other` is empty). The checkpoint keeps the same list in a file, so
-- that it outlives this schema.
CREATE TABLE IF NOT EXISTS decisions (
    image_id   text COLLATE "C" NOT NULL,
    other      text COLLATE "C" NOT NULL DEFAULT '',
    verdict    text NOT NULL,
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (image_id, other)
);

-- The groups that came of it: `work` is the image_id of the first image of a group.
CREATE TABLE IF NOT EXISTS duplicates (
    image_id  text COLLATE "C" NOT NULL REFERENCES images ON DELETE CASCADE,
    work      text COLLATE "C" NOT NULL,
    kind      text NOT NULL,
    preferred boolean NOT NULL,
    pair      boolean NOT NULL,
    PRIMARY KEY (image_id, pair)
);
CREATE INDEX IF NOT EXISTS duplicates_work ON duplicates (work, pair);
