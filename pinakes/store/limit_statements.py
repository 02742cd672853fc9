"""The statements of the shared rate limits, and the figures in them. Each is one statement: nothing is held between two.

Every statement locks the quota's rows in one order and reads the clock after that. Regular times are `spacing` apart, over
the share of the rate that is in force; `head_start` lets a slot come before its regular time, so that a pause is made up
for. An interactive call gets its slot at once: its regular time is at the end of the line, and until then it is owed.

In a window of tokens a call takes as many units as it costs, in the slot of the last of them; in a window of calls, one.
"""

from __future__ import annotations

from typing import LiteralString

from pinakes.rates import CALL_TOKENS

HORIZON = 1.0
"""Seconds ahead up to which slots are given out; past it everyone gets one at a time."""

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

FIGURES = {
    "horizon": HORIZON,
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
}
"""The figures above as parameters: each statement is given all of them, and uses those that it names."""

_LOCKED = """
WITH held AS MATERIALIZED (
    SELECT *, CASE unit WHEN 'tokens' THEN least(greatest(1, %(tokens)s::float8), burst) ELSE 1 END AS units
    FROM pinakes.limits WHERE quota = %(quota)s ORDER BY unit, seconds FOR UPDATE
), clock AS MATERIALIZED (  -- read after the wait for the rows' locks
    SELECT extract(epoch FROM clock_timestamp())::float8 AS now, max(blocked_until) AS blocked FROM held
), paced AS MATERIALIZED (
    SELECT h.unit, h.seconds, h.free_at, h.blocked_until, h.factor, h.factor_at, h.recovery, f.share, c.now,
        h.units * h.spacing / f.share AS step, h.head_start - (h.units - 1) * h.spacing AS head_start,
        CASE WHEN h.units <= h.lead_units THEN h.lead ELSE 0 END AS lead, greatest(c.now, c.blocked) AS open,
        ARRAY(SELECT due FROM unnest(h.owed) AS due WHERE due > c.now ORDER BY due) AS debts
    FROM held AS h CROSS JOIN clock AS c CROSS JOIN LATERAL (
        SELECT least(1, h.factor + greatest(0, c.now - h.factor_at) / h.recovery) AS share
    ) AS f
)"""

RESERVE: LiteralString = (
    _LOCKED  # noqa: S608 - constants of this module
    + """, turn AS MATERIALIZED (
    SELECT min(now) AS now, greatest(max(open), max(
            CASE WHEN NOT %(interactive)s OR lead = 0 THEN free_at - head_start
                 WHEN cardinality(debts) < lead THEN open
                 ELSE least(free_at - head_start, debts[cardinality(debts) - lead + 1]) END)) AS slot,
        greatest(0, max(step - head_start)) AS gap
    FROM paced
), grid AS MATERIALIZED (
    SELECT p.*, t.slot, t.gap, greatest(p.free_at, t.slot) AS place, greatest(p.free_at, t.slot) - p.head_start AS base
    FROM paced AS p CROSS JOIN turn AS t
), given AS MATERIALIZED (
    SELECT greatest(1, least(%(asked)s, min(floor((now + %(horizon)s - base) / step) + 1),
        min(floor((now + %(horizon)s - slot) / nullif(gap, 0)) + 1))) AS slots
    FROM grid
), last AS MATERIALIZED (
    SELECT CASE WHEN %(interactive)s THEN min(slot)
        ELSE greatest(min(slot) + (min(slots) - 1) * min(gap), max(base + (slots - 1) * step)) END AS slot
    FROM grid CROSS JOIN given
)
UPDATE pinakes.limits AS l
SET free_at = greatest(g.place + n.slots * g.step, last.slot + g.step),
    owed = CASE WHEN %(interactive)s AND g.base > g.slot THEN g.debts || g.base ELSE g.debts END
FROM grid AS g CROSS JOIN given AS n CROSS JOIN last
WHERE l.quota = %(quota)s AND l.unit = g.unit AND l.seconds = g.seconds
RETURNING g.now, g.slot, g.gap, g.base, g.step, n.slots::integer, l.lateness, l.generation"""
)
"""Reserves slots for calls of so many tokens each. Takes quota, asked, interactive and tokens; a row for each window."""

CHARGE: LiteralString = """
UPDATE pinakes.limits SET free_at = free_at + %(extra)s * spacing WHERE quota = %(quota)s AND unit = 'tokens'"""
"""Charges tokens that calls counted beyond those reserved for them. Takes quota and extra."""

THROTTLE: LiteralString = (
    _LOCKED  # noqa: S608 - constants of this module
    + """, answer AS MATERIALIZED (
    SELECT p.*, n.factor AS lowered, n.recovery AS slowed,
        p.now + least(greatest(coalesce(%(retry_after)s::float8, 1 / n.factor), %(least_pause)s), %(most_pause)s) AS until
    FROM paced AS p CROSS JOIN LATERAL (
        SELECT greatest(%(least)s, p.share * %(decrease)s),
            least(%(most_recovery)s, greatest(%(least_recovery)s,
                p.recovery * %(calm)s / greatest(p.now - p.factor_at, %(calm)s / %(lengthening)s)))
        WHERE p.now >= p.blocked_until
        UNION ALL  -- 429s to calls that were under way when the first one came say nothing new
        SELECT p.factor, p.recovery WHERE p.now < p.blocked_until
    ) AS n (factor, recovery)
)
UPDATE pinakes.limits AS l
SET throttled = l.throttled + 1,
    throttled_at = a.now,
    factor = a.lowered,
    recovery = a.slowed,
    factor_at = greatest(a.blocked_until, a.until),
    blocked_until = greatest(a.blocked_until, a.until),
    free_at = CASE WHEN a.until > a.blocked_until
        THEN greatest(a.until, least(a.free_at, a.now + %(stale)s + (1 + cardinality(a.debts)) * a.step))
        ELSE a.free_at END,
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
    free_at = (SELECT least(p.free_at, p.now + %(stale)s + (1 + cardinality(p.debts)) * p.step)
               FROM paced AS p WHERE p.unit = l.unit AND p.seconds = l.seconds)"""
)
"""Enters or changes one window; a new rate is in force at once, a pause that the provider asked for stays."""
