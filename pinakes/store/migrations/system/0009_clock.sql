-- What the clock showed at the latest reservation: where it shows less, it was set back, and with it goes all that is kept here
-- as a time. See pinakes.store.limit_statements.
ALTER TABLE limits ADD COLUMN seen_at float8 NOT NULL DEFAULT 0;
