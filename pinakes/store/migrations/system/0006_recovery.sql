-- How fast the rate grows back after a 429; see pinakes.store.limit_statements. Rows that are growing back continue as before.
ALTER TABLE limits
    ADD COLUMN recovery float8 NOT NULL DEFAULT 300;   -- seconds from nothing to all of the rate
