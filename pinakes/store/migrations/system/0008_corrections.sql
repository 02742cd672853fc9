-- What a window of tokens still has to hear about: each call is reserved at the most that it may count, and corrected when
-- its answer says what it did count. See pinakes.store.limit_statements.
ALTER TABLE limits
    ADD COLUMN given   bigint NOT NULL DEFAULT 0,         -- calls reserved so far: the number of the last of them
    ADD COLUMN settled float8 NOT NULL DEFAULT 0,         -- free_at before the calls that follow
    ADD COLUMN starts  float8[] NOT NULL DEFAULT '{{}}',  -- slots of the latest calls, in the order in which they were reserved
    ADD COLUMN steps   float8[] NOT NULL DEFAULT '{{}}';  -- seconds by which each of them moved the line on

UPDATE limits SET settled = free_at;

-- The regular time of the next slot, after calls that take so many seconds each in these slots.
CREATE FUNCTION free_after(since float8, starts float8[], steps float8[]) RETURNS float8 IMMUTABLE LANGUAGE sql AS $$
    SELECT greatest(since + coalesce(sum(step), 0), max(start + rest))
    FROM (
        SELECT start, step, sum(step) OVER (ORDER BY number DESC) AS rest
        FROM unnest(starts, steps) WITH ORDINALITY AS call (start, step, number)
    ) AS calls
$$;
