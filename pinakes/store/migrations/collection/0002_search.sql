-- What searching needs: years as a range, text without case and accents for one column, restricted pictures, and the
-- index setting that was measured for a space.

-- The years that a museum's date means, or NULL: '1661', 'c. 1530-35', 'between 1508 and 1512', '1880s', '16th century',
-- '1651-1700'. 'Before' and 'after' are read as the year itself; years before Christ are not read.
CREATE FUNCTION years_of(said text) RETURNS int4range LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $body$
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
                regexp_match(said,
                    '(?:^|\D)(\d{{1,2}})(?:st|nd|rd|th)(?:\s*(?:-|–|/|or|and|to)\s*(\d{{1,2}})(?:st|nd|rd|th))?[ -]*cent', 'i'
                ) AS century,
                regexp_match(said,
                    '(?:^|\D)(\d{{3,4}})(?!\d)(s?)(?:\s*(?:-|–|—|/|and|or|to|until)\s*(?:c(?:a|irca)?\.?\s*)?(\d{{1,4}})(?!\d)(s?))?',
                    'i'
                ) AS found
            WHERE said !~* '\mb\.?\s?c\.?(e\.?)?(\s|$|\))'
        ) AS matches
    ) AS read
$body$;

-- One column's text without case and accents; the same as Python's `pinakes.metadata.folding.fold` for Latin script.
CREATE FUNCTION folded(said text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $body$
    SELECT lower(translate(
        replace(replace(replace(replace(replace(replace(replace(replace(
            regexp_replace(normalize(said, NFKD), '[\u0300-\u036f]', '', 'g'),
        'ß', 'ss'), 'æ', 'ae'), 'Æ', 'ae'), 'œ', 'oe'), 'Œ', 'oe'), 'þ', 'th'), 'Þ', 'th'), 'ẞ', 'ss'),
        'øØđĐðÐłŁħĦŧŦıŋŊĸƒ‘’ʼ“”‐‑‒–—―−',
        'ooddddllhhttinnkf''''''""-------'
    ))
$body$;

ALTER TABLE images ADD COLUMN years int4range
    GENERATED ALWAYS AS (coalesce(years_of(date), years_of(timeframe))) STORED;

-- An image that meets any of these is in no search, facet or thumbnail. The condition is kept as it was typed.
CREATE TABLE hidden (
    condition  text COLLATE "C" PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE spaces
    ADD COLUMN ef_search integer CHECK (ef_search BETWEEN 1 AND 1000),
    ADD COLUMN ef_search_recall real;
