-- What a space's index is searched with is measured after each build, so that a search is as quick as the wanted recall
-- allows although nobody has run `pinakes evaluate`; and an index may hold signs only.
--
-- ef_search_filtered: what a search with a filter needs; a scan that goes on until enough pass it looks less carefully.
-- ef_search_wanted: the recall that both are to reach; ef_search_rows and ef_search_built: the vectors there were when it
-- was measured, and when the index had been built that it was measured with.
ALTER TABLE spaces
    DROP CONSTRAINT spaces_index_kind_check,
    ADD CONSTRAINT spaces_index_kind_check CHECK (index_kind IN ('hnsw', 'binary', 'ivfflat')),
    ADD COLUMN ef_search_filtered integer CHECK (ef_search_filtered BETWEEN 1 AND 1000),
    ADD COLUMN ef_search_wanted real,
    ADD COLUMN ef_search_rows bigint,
    ADD COLUMN ef_search_built timestamptz;
