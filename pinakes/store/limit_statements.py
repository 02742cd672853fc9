"""The statements of the shared rate limits, and the figures in them. Each is one statement: nothing is held between two.

Every statement locks the quota's rows in one order and reads the clock after that. Regular times are `spacing` apart, over
the share of the rate that is in force; `head_start` lets a slot come before its regular time, so that a pause is made up
for. An interactive call gets its slot at once: its regular time is at the end of the line, and until then it is owed.

In a window of tokens a call takes as many units as it costs, in the slot of the last of them; in a window of calls, one.
What it costs is known only when it is answered. Until then it holds the most that it may cost; then `CORRECT` tells the
line of the latest calls again, each with what it is known to have cost, so that the line stands as if that had been
known from the start: nothing is given back that a full bucket would not have taken.
"""

from __future__ import annotations

from typing import LiteralString

from pinakes.rates import CALL_TOKENS

HORIZON = 1.0
"""Seconds ahead up to which slots are given out; past it everyone gets one at a time."""

TOKENS_HORIZON = 0.25
"""The same where tokens are counted, and past it nobody gets one: what answers give back would come too late for a call
that holds a slot far ahead."""

STALE_SECONDS = 0.5
"""A slot is used only by a process that has read the row so recently; by then a 429 or a new rate has reached everyone."""

LEAST_PAUSE = 1.0
"""Seconds of silence after a 429 at least, even if the provider asks for less: more than `STALE_SECONDS`."""

MOST_PAUSE = 3600.0
"""A mistaken Retry-After must not stop everyone for days."""

LEAST_FACTOR = 1 / 16
DECREASE = 0.7
"""After a 429 the rate falls to seven tenths, and then grows back evenly."""

LEAST_RECOVERY, MOST_RECOVERY = 20.0, 300.0
"""Seconds in which it would grow from nothing to all. The least is that after a lone 429, which costs 2 % of two minutes."""

CALM_SECONDS = 90.0
MOST_LENGTHENING = 3.0
"""429s that are closer together than 90 s lengthen the recovery, in proportion and up to three times each; those further
apart shorten it. So a quota that is really smaller than ours is tested once in 90 s, or at the pace of `MOST_RECOVERY`."""

MOST_OPEN = 512
"""Latest calls of a window that may still be corrected: more than are in flight on several machines."""

MOST_OPEN_SECONDS = 120.0
"""An answer that takes longer corrects nothing: its call was lost, or the process ended."""

SET_BACK_SECONDS = 1.0
"""If the database's clock goes back by less, everyone waits until it shows the same time again; otherwise see `REWIND`."""

FIGURES = {
    "horizon": HORIZON,
    "tokens_horizon": TOKENS_HORIZON,
    "stale": STALE_SECONDS,
    "least_pause": LEAST_PAUSE,
    "most_pause": MOST_PAUSE,
    "least": LEAST_FACTOR,
    "decrease": DECREASE,
    "least_recovery": LEAST_RECOVERY,
    "most_recovery": MOST_RECOVERY,
    "calm": CALM_SECONDS,
    "lengthening": MOST_LENGTHENING,
    "tokens": CALL_TOKENS,
    "most_open": MOST_OPEN,
    "most_open_seconds": MOST_OPEN_SECONDS,
    "set_back": SET_BACK_SECONDS,
}
"""The figures above as parameters: each statement is given all of them, and uses those that it names."""

# The beginning of every statement but `CORRECT`: locks the rows, reads the clock, and works out what is in force now.
_LOCKED = """
WITH held AS MATERIALIZED (
    SELECT *, CASE unit WHEN 'tokens' THEN least(greatest(1, %(tokens)s::float8), burst) ELSE 1 END AS units
    FROM pinakes.limits WHERE quota = %(quota)s ORDER BY unit, seconds FOR UPDATE
), clock AS MATERIALIZED (  -- read after the wait for the rows' locks
    SELECT extract(epoch FROM clock_timestamp())::float8 AS now, max(blocked_until) AS blocked FROM held
), paced AS MATERIALIZED (
    SELECT h.unit, h.seconds, h.settled, h.starts, h.steps, h.free_at, h.blocked_until,
        h.factor, h.factor_at, h.recovery, f.share, c.now,
        h.units * h.spacing / f.share AS step, h.head_start - (h.units - 1) * h.spacing AS head_start,
        CASE WHEN h.units <= h.lead_units THEN h.lead ELSE 0 END AS lead, greatest(c.now, c.blocked) AS open,
        ARRAY(SELECT due FROM unnest(h.owed) AS due WHERE due > c.now ORDER BY due) AS debts
    FROM held AS h CROSS JOIN clock AS c CROSS JOIN LATERAL (
        SELECT least(1, h.factor + greatest(0, c.now - h.factor_at) / h.recovery) AS share
    ) AS f
)"""

RESERVE: LiteralString = (
    _LOCKED  # noqa: S608 - constants of this module
    + """, turn AS MATERIALIZED (  -- the first moment that suits every window
    SELECT min(now) AS now, bool_or(unit = 'tokens') AS tokens,
        CASE WHEN bool_or(unit = 'tokens') THEN %(tokens_horizon)s ELSE %(horizon)s END AS horizon,
        greatest(max(open), max(
            CASE WHEN NOT %(interactive)s OR lead = 0 THEN free_at - head_start
                 WHEN cardinality(debts) < lead THEN open
                 ELSE least(free_at - head_start, debts[cardinality(debts) - lead + 1]) END)) AS slot,
        greatest(0, max(step - head_start)) AS gap
    FROM paced
), grid AS MATERIALIZED (
    SELECT p.*, t.slot, t.gap, t.tokens, t.horizon, greatest(p.free_at, t.slot) AS place,
        greatest(p.free_at, t.slot) - p.head_start AS base
    FROM paced AS p CROSS JOIN turn AS t
), given AS MATERIALIZED (  -- as many slots as asked for, of those up to the horizon
    SELECT CASE WHEN bool_or(tokens AND NOT %(interactive)s AND slot > now + horizon) THEN 0
        ELSE greatest(1, least(%(asked)s, min(floor((now + horizon - base) / step) + 1),
            min(floor((now + horizon - slot) / nullif(gap, 0)) + 1))) END AS slots
    FROM grid
), times AS MATERIALIZED (
    SELECT coalesce(array_agg(at ORDER BY k), '{}') AS slots
    FROM (
        SELECT k, CASE WHEN %(interactive)s THEN min(slot)
            ELSE greatest(min(slot) + k * min(gap), max(base + k * step)) END AS at
        FROM grid CROSS JOIN given CROSS JOIN generate_series(0, given.slots::integer - 1) AS k
        GROUP BY k
    ) AS each
), line AS MATERIALIZED (  -- of the latest calls, with these
    SELECT g.unit, g.seconds, g.settled, g.starts || t.slots AS starts,
        g.steps || array_fill(g.step, ARRAY[cardinality(t.slots)]) AS steps,
        greatest(cardinality(g.starts) + cardinality(t.slots) - %(most_open)s, (
            SELECT min(number) - 1 FROM unnest(g.starts || t.slots) WITH ORDINALITY AS call (start, number)
            WHERE start > g.now - %(most_open_seconds)s))::integer AS past
    FROM grid AS g CROSS JOIN times AS t
    WHERE g.tokens
), moved AS (
UPDATE pinakes.limits AS l
SET free_at = greatest(g.place + n.slots * g.step, t.slots[n.slots::integer] + g.step),
    -- An interactive call that came before its regular time is owed until then.
    owed = CASE WHEN %(interactive)s AND g.base > g.slot THEN g.debts || g.base ELSE g.debts END,
    given = o.number + n.slots::integer,
    seen_at = greatest(l.seen_at, g.now),
    settled = coalesce(pinakes.free_after(e.settled, e.starts[:e.past], e.steps[:e.past]), l.settled),
    starts = coalesce(e.starts[e.past + 1:], l.starts),
    steps = coalesce(e.steps[e.past + 1:], l.steps)
FROM grid AS g LEFT JOIN line AS e USING (unit, seconds) CROSS JOIN given AS n CROSS JOIN times AS t
    CROSS JOIN (SELECT max(given) AS number FROM held) AS o
WHERE l.quota = %(quota)s AND l.unit = g.unit AND l.seconds = g.seconds AND n.slots > 0
)
SELECT now, times.slots, slot, step, lateness, generation, tokens,
    max(given) OVER () + 1,  -- as it was before the update: the number of the first of these calls
    max(seen_at) OVER () > now + %(set_back)s
FROM grid JOIN held USING (unit, seconds) CROSS JOIN times"""
)
"""Reserves slots for calls of so many tokens each. Takes quota, asked, interactive and tokens; a row for each window.

Where tokens are counted, no slot is given that is further ahead than `TOKENS_HORIZON`; the caller asks again. The last
column says whether the clock was set back: then these slots are far ahead, and `REWIND` comes before others are reserved.
"""

REWIND: LiteralString = """
WITH held AS MATERIALIZED (
    SELECT seen_at FROM pinakes.limits WHERE quota = %(quota)s ORDER BY unit, seconds FOR UPDATE
), clock AS MATERIALIZED (
    SELECT now, max(seen_at) - now AS back
    FROM held CROSS JOIN (SELECT extract(epoch FROM clock_timestamp())::float8 AS now) AS here
    GROUP BY now
)
UPDATE pinakes.limits AS l
SET seen_at = now,
    free_at = free_at - back,
    settled = settled - back,
    starts = ARRAY(SELECT start - back FROM unnest(starts) WITH ORDINALITY AS call (start, number) ORDER BY number),
    owed = ARRAY(SELECT due - back FROM unnest(owed) AS due),
    blocked_until = blocked_until - back,
    factor_at = factor_at - back,
    throttled_at = throttled_at - back
FROM clock
WHERE l.quota = %(quota)s AND back > %(set_back)s"""
"""Moves all times of a quota back by as much as the clock was set back since the latest reservation. Takes quota.

Without it nobody would be given a slot before the clock shows again what it showed then. No quota is exceeded: the time that
has passed since that reservation counts as if it had not.
"""

CORRECT: LiteralString = """
WITH answer AS MATERIALIZED (
    SELECT number, slot, greatest(1, reserved) AS reserved, greatest(0, counted) AS counted
    FROM unnest(%(numbers)s::bigint[], %(slots)s::float8[], %(reserved)s::float8[], %(counted)s::float8[])
        AS answer (number, slot, reserved, counted)
), held AS MATERIALIZED (
    SELECT * FROM pinakes.limits WHERE quota = %(quota)s ORDER BY unit, seconds FOR UPDATE
), found AS MATERIALIZED (  -- each answer's place in the line of a window, or null where its call is no longer there
    SELECT h.unit, h.seconds, h.spacing, a.counted > 0 AS made,
        CASE WHEN h.unit = 'tokens' THEN least(a.reserved, h.burst) ELSE 1 END AS reserved,
        CASE WHEN h.unit = 'tokens' THEN least(a.counted, h.burst) ELSE least(a.counted, 1) END AS counted,
        -- By its slot too: the numbers of a quota that was removed and entered again begin at 1 again.
        CASE WHEN abs(h.starts[p.place] - a.slot) < 0.001 THEN p.place END AS place
    FROM held AS h CROSS JOIN answer AS a
        CROSS JOIN LATERAL (SELECT (a.number - h.given + cardinality(h.starts))::integer) AS p (place)
), late AS MATERIALIZED (
    SELECT unit, seconds, coalesce(sum(greatest(0, counted - reserved) * spacing) FILTER (WHERE place IS NULL), 0) AS step
    FROM found
    GROUP BY unit, seconds
), line AS MATERIALIZED (
    SELECT h.unit, h.seconds, h.settled + CASE WHEN h.starts = '{}' THEN late.step ELSE 0 END AS settled, c.starts, c.steps
    FROM held AS h JOIN late USING (unit, seconds) CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(CASE WHEN f.made IS NOT FALSE THEN start ELSE 0 END ORDER BY call.place), '{}'),
            coalesce(array_agg(call.step * coalesce(f.counted / f.reserved, 1)
                + CASE WHEN call.place = cardinality(h.starts) THEN late.step ELSE 0 END ORDER BY call.place), '{}')
        FROM unnest(h.starts, h.steps) WITH ORDINALITY AS call (start, step, place)
            LEFT JOIN found AS f ON (f.unit, f.seconds, f.place) = (h.unit, h.seconds, call.place)
    ) AS c (starts, steps)
)
UPDATE pinakes.limits AS l
SET settled = e.settled, starts = e.starts, steps = e.steps, free_at = pinakes.free_after(e.settled, e.starts, e.steps)
FROM line AS e
WHERE l.quota = %(quota)s AND l.unit = e.unit AND l.seconds = e.seconds"""
"""Corrects calls by the tokens that they counted. Takes quota, and of each answer number, slot, reserved and counted.

A call that is no longer in the line is charged what it counted beyond its reservation, and gets nothing back.
"""

THROTTLE: LiteralString = (
    _LOCKED  # noqa: S608 - constants of this module
    + """, answer AS MATERIALIZED (
    SELECT p.*, n.factor AS lowered, n.recovery AS slowed, u.until,
        greatest(u.until, least(p.free_at, p.now + %(stale)s + (1 + cardinality(p.debts)) * p.step)) AS line
    FROM paced AS p CROSS JOIN LATERAL (
        SELECT greatest(%(least)s, p.share * %(decrease)s),
            least(%(most_recovery)s, greatest(%(least_recovery)s,
                p.recovery * %(calm)s / greatest(p.now - p.factor_at, %(calm)s / %(lengthening)s)))
        WHERE p.now >= p.blocked_until
        UNION ALL  -- 429s to calls that were under way when the first one came say nothing new
        SELECT p.factor, p.recovery WHERE p.now < p.blocked_until
    ) AS n (factor, recovery) CROSS JOIN LATERAL (
        SELECT p.now + least(greatest(coalesce(%(retry_after)s::float8, 1 / n.factor), %(least_pause)s), %(most_pause)s)
    ) AS u (until)
)
UPDATE pinakes.limits AS l
SET throttled = l.throttled + 1,
    throttled_at = a.now,
    factor = a.lowered,
    recovery = a.slowed,
    factor_at = greatest(a.blocked_until, a.until),
    blocked_until = greatest(a.blocked_until, a.until),
    free_at = CASE WHEN a.until > a.blocked_until THEN a.line ELSE a.free_at END,
    settled = CASE WHEN a.until > a.blocked_until THEN a.line ELSE a.settled END,
    starts = CASE WHEN a.until > a.blocked_until THEN '{}' ELSE a.starts END,
    steps = CASE WHEN a.until > a.blocked_until THEN '{}' ELSE a.steps END,
    generation = l.generation + (a.until > a.blocked_until)::integer
FROM answer AS a
WHERE l.quota = %(quota)s AND l.unit = a.unit AND l.seconds = a.seconds
RETURNING l.generation"""
)
"""Enters a 429. Takes quota and retry_after; the new generation for each window."""

ENTER: LiteralString = (
    _LOCKED  # noqa: S608 - constants of this module
    + """
INSERT INTO pinakes.limits AS l (
    quota, unit, seconds, count, burst, pinned, spacing, head_start, lead, lead_units, lateness, generation)
SELECT %(quota)s, %(unit)s, %(seconds)s, %(count)s, %(burst)s, %(pinned)s, %(spacing)s, %(head_start)s, %(lead)s,
    %(lead_units)s, %(lateness)s, 1 + coalesce((SELECT max(generation) FROM held), 0)
ON CONFLICT (quota, unit, seconds) DO UPDATE
SET count = excluded.count, burst = excluded.burst, pinned = excluded.pinned, spacing = excluded.spacing,
    head_start = excluded.head_start, lead = excluded.lead, lead_units = excluded.lead_units, lateness = excluded.lateness,
    generation = excluded.generation, factor = 1,
    (free_at, settled, starts, steps) = (
        SELECT line, line, '{}'::float8[], '{}'::float8[]
        FROM paced AS p CROSS JOIN LATERAL least(p.free_at, p.now + %(stale)s + (1 + cardinality(p.debts)) * p.step) AS line
        WHERE p.unit = l.unit AND p.seconds = l.seconds)"""
)
"""Enters or changes one window; a new rate is in force at once, a pause that the provider asked for stays."""
