-- How large pictures are, so that a page can reserve their room without reading any. They are known once the bytes have
-- been read for embedding, which is before there is a row in `images`; so they stand under the fingerprint of the bytes.
CREATE TABLE pixels (
    fingerprint text COLLATE "C" PRIMARY KEY,
    width       integer NOT NULL,
    height      integer NOT NULL
);
