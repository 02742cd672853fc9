-- A row for each window in which a provider counts a quota's calls. Times are seconds since 1970 on the database's clock.

CREATE TABLE limits (
    quota         text COLLATE "C" NOT NULL,
    seconds       float8 NOT NULL,                  -- the window's length
    count         float8 NOT NULL,                  -- calls allowed in it
    burst         integer NOT NULL,                 -- what the provider's token bucket holds
    pinned        boolean NOT NULL DEFAULT false,   -- set by a person; a program's default gives way to it
    -- How the burst is shared out: see pinakes.rates.
    spacing       float8 NOT NULL,
    head_start    float8 NOT NULL,
    lead          integer NOT NULL,
    lateness      float8 NOT NULL,
    -- Where the quota stands.
    free_at       float8 NOT NULL DEFAULT 0,        -- the regular time of the next slot
    owed          float8[] NOT NULL DEFAULT '{{}}', -- when interactive calls that ran ahead will have been paid back
    blocked_until float8 NOT NULL DEFAULT 0,        -- nobody calls before
    factor        float8 NOT NULL DEFAULT 1,        -- share of the rate that was in force at factor_at
    factor_at     float8 NOT NULL DEFAULT 0,
    generation    bigint NOT NULL DEFAULT 1,        -- a change voids what was reserved before
    throttled     bigint NOT NULL DEFAULT 0,        -- 429s seen
    throttled_at  float8,
    PRIMARY KEY (quota, seconds)
) WITH (fillfactor = 50);                           -- rewritten many times a second: room for it on the same page
