-- Pictures that were taken down, which re-indexing must not bring back: by id and, with a fingerprint, by bytes. The
-- checkpoint keeps the same list in a file, so that it outlives this schema.
CREATE TABLE forgotten (
    image_id     text COLLATE "C" NOT NULL,
    fingerprint  text COLLATE "C" NOT NULL DEFAULT '',
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (image_id, fingerprint)
);

-- How large the index was when it was built: what tells later how much of it is bloat.
ALTER TABLE spaces ADD COLUMN index_bytes bigint;
