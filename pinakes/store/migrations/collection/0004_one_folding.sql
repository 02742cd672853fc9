-- Conditions, restrictions and years that mean the same in every database, whatever its locale.
--
-- What follows these statements is done in Python, batch by batch (`pinakes.store.folded_texts.fold_stored`), and the
-- migration is entered when that has ended. So each statement here may be carried out a second time.

-- The folded form of each value that is not ASCII, as Python folds it, under the MD5 of the value. The function `folded`
-- is asked by processes of an older version only.
ALTER TABLE images ADD COLUMN IF NOT EXISTS foldings jsonb;

-- As before, but in the collation "C": elsewhere 'CIRCA' is no 'circa' (Turkish), or digits of other scripts are found,
-- which are no integers to PostgreSQL.
CREATE OR REPLACE FUNCTION years_of(said text) RETURNS int4range LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $body$
    SELECT CASE WHEN lower_year BETWEEN 1 AND 2100
        THEN int4range(lower_year, CASE WHEN upper_year BETWEEN lower_year AND 2199 THEN upper_year ELSE lower_year END, '[]')
    END
    FROM (
        SELECT
            CASE WHEN century IS NOT NULL THEN (century[1]::int - 1) * 100 + 1 ELSE found[1]::int END AS lower_year,
            CASE
                WHEN century IS NOT NULL THEN coalesce(century[2], century[1]) || '00'
                WHEN found[3] IS NOT NULL THEN
                    left(found[1], greatest(length(found[1]) - length(found[3]), 0)) || found[3]
                WHEN found[2] <> '' AND found[1] LIKE '%00' THEN left(found[1], -2) || '99'
                WHEN found[2] <> '' THEN left(found[1], -1) || '9'
                ELSE found[1]
            END::int + CASE WHEN found[4] <> '' THEN 9 ELSE 0 END AS upper_year
        FROM (
            SELECT
                regexp_match(said COLLATE "C",
                    '(?:^|\D)(\d{{1,2}})(?:st|nd|rd|th)(?:\s*(?:-|–|/|or|and|to)\s*(\d{{1,2}})(?:st|nd|rd|th))?[ -]*cent', 'i'
                ) AS century,
                regexp_match(said COLLATE "C",
                    '(?:^|\D)(\d{{3,4}})(?!\d)(s?)(?:\s*(?:-|–|—|/|and|or|to|until)\s*(?:c(?:a|irca)?\.?\s*)?(\d{{1,4}})(?!\d)(s?))?',
                    'i'
                ) AS found
            WHERE said COLLATE "C" !~* '\mb\.?\s?c\.?(e\.?)?(\s|$|\))'
        ) AS matches
    ) AS read
$body$;
