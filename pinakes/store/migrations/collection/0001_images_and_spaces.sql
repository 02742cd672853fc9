-- One collection: its images with their metadata, and the registry of its embedding spaces.
-- Vectors live in a table per space, made when the space is registered.

CREATE TABLE collection (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    source_root text NOT NULL,
    language    text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE images (
    image_id    text COLLATE "C" PRIMARY KEY,
    uri         text NOT NULL,
    fingerprint text NOT NULL,
    description text,
    author      text,
    title       text,
    technique   text,
    medium      text,
    size        text,
    date        text,
    type        text,
    school      text,
    timeframe   text,
    extra       jsonb NOT NULL DEFAULT '{{}}',
    folded      text NOT NULL DEFAULT '',
    words       tsvector GENERATED ALWAYS AS (to_tsvector({language}::regconfig, folded)) STORED
);

CREATE TABLE spaces (
    space          text COLLATE "C" PRIMARY KEY,
    provider       text NOT NULL,
    model          text NOT NULL,
    version        text NOT NULL,
    dimension      integer NOT NULL,
    preprocessing  text NOT NULL,
    active         boolean NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT now(),
    loaded_at      timestamptz,
    rows           bigint NOT NULL DEFAULT 0,
    index_kind     text CHECK (index_kind IN ('hnsw', 'ivfflat')),
    index_rows     bigint,
    index_built_at timestamptz
);
CREATE UNIQUE INDEX one_active_space ON spaces (active) WHERE active;
