-- The vectors of queries, so that asking again, or for the next page, costs no call and answers the same. A query is
-- kept by its hash alone.
CREATE TABLE query_vectors (
    space   text COLLATE "C" NOT NULL,
    query   bytea NOT NULL,
    vector  real[] NOT NULL,
    read    text[] NOT NULL,
    unread  text[] NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (space, query)
);
CREATE INDEX query_vectors_used ON query_vectors (used_at);
