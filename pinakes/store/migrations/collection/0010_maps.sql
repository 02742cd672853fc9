-- Where pictures lie on a map of the collection, for each space that has one: pictures that look alike lie near each other.

CREATE TABLE IF NOT EXISTS maps (
    space    text COLLATE "C" PRIMARY KEY REFERENCES spaces ON DELETE CASCADE,
    method   text NOT NULL,
    seed     integer NOT NULL,
    images   bigint NOT NULL,
    made_at  timestamptz NOT NULL DEFAULT now()
);

-- The fingerprint is that of the vector that was laid out: once the picture has another, the place is out of date.
CREATE TABLE IF NOT EXISTS map_points (
    space       text COLLATE "C" NOT NULL REFERENCES maps ON DELETE CASCADE,
    image_id    text COLLATE "C" NOT NULL REFERENCES images ON DELETE CASCADE,
    fingerprint text NOT NULL,
    x           real NOT NULL,
    y           real NOT NULL,
    region      smallint NOT NULL,
    PRIMARY KEY (image_id, space)
);
