-- A window counts calls, or the tokens of calls; see pinakes.rates.
ALTER TABLE limits
    ADD COLUMN unit text COLLATE "C" NOT NULL DEFAULT 'calls' CHECK (unit IN ('calls', 'tokens')),
    ADD COLUMN lead_units integer NOT NULL DEFAULT 1,   -- most units of an interactive call that runs ahead
    DROP CONSTRAINT limits_pkey,
    ADD PRIMARY KEY (quota, unit, seconds);
