"""Opens embedders with credentials from the settings and a rate limit that all machines share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from pinakes.embedders.base import Embedder
from pinakes.embedders.declaration import Allow, Choice, Surroundings
from pinakes.embedders.imported import Absent, Imported
from pinakes.embedders.registry import EMBEDDERS, choice_for, open_embedder
from pinakes.embedders.remote.provider import AllowanceUsedUpError, Pacer, Unpaced
from pinakes.errors import EmbedderError, SettingsError, UsageError
from pinakes.rates import allowed, parse_rates
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.store.connection import connect
from pinakes.store.limits import change_limit, limits_address, limits_connection, rate_in_force

if TYPE_CHECKING:
    from pinakes.quota.limiter import Limiter

NO_RATE = "none"
"""`--rate none` lifts the limit, for a fake or for a provider without a quota."""


class Embedders:
    """Opens embedders. Those of spaces are kept, so that a second search does not open them again.

    Args:
        settings: credentials, and where limits are kept.
        dsn: the database that keeps the limits where the settings name no other.
    """

    def __init__(self, settings: Settings, dsn: str) -> None:
        self._settings = settings
        self._dsn, self._kept_by = limits_address(settings, dsn)
        self._of_spaces: dict[Space, Embedder] = {}
        self._opened: list[Embedder | Limiter] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close everything that was opened, the embedders before their limiters."""
        # In reverse: a limiter is opened before its embedder, and needed until the last requests in flight have ended.
        while self._opened:
            self._opened.pop().close()
        self._of_spaces.clear()

    def open(
        self,
        choice: Choice,
        *,
        rate: str | None = None,
        allow: Allow = lambda _price: None,
        stopping: Callable[[], bool] = lambda: False,
        dry: bool = False,
    ) -> Embedder:
        """An embedder for a run.

        Args:
            choice: which embedder.
            rate: replaces the limit in force for everybody who shares the quota; `none` lifts it for this run.
            allow: from the price of the embedder to what the run may pay for.
            stopping: whether the run is stopping.
            dry: the embedder will make no request, so no limit is stored or changed; `rate` is used only for the estimate.
        """

        def pace(quota: str, default: str) -> Pacer:
            if dry:
                return self._foreseen(quota, rate, default)
            return self._pacer(quota, rate or default, pinned=rate is not None, stopping=stopping)

        settings = self._settings
        around = Surroundings(settings.values, settings.home, pace, allow, stopping, settings.prices)
        embedder = open_embedder(choice, around)
        self._opened.append(embedder)
        return embedder

    def of(self, space: Space) -> Embedder:
        """The embedder whose vectors may be compared with those of `space`.

        For imported vectors, and where its settings are missing, this is a stand-in that makes no vectors and says why.
        Where it cannot be opened for another reason, or makes vectors of another space, it is a stand-in that raises that
        reason when it is asked for a vector. Stored images can be compared in all these cases.
        """
        # Locked while one is opened, too: loading a local model twice would take its memory twice.
        with self._lock:
            if space in self._of_spaces:
                return self._of_spaces[space]
            try:
                embedder = self._open_of(space)
            except (EmbedderError, UsageError) as exc:
                return Absent(space, exc)  # not kept: the next query tries again
            self._of_spaces[space] = embedder
            return embedder

    def _open_of(self, space: Space) -> Embedder:
        declaration = EMBEDDERS.get(space.provider)
        if declaration is None:
            return Imported(space)
        try:
            embedder = self.open(choice_for(space))
        except SettingsError as exc:
            # Kept, unlike other failures: the settings of a process do not change.
            return Imported(space, str(exc).rstrip("."))
        if embedder.facts.space != space:
            files = [setting.name for setting in declaration.settings if setting.is_path]
            own = f"set {files[0]} to that model, or " if files else ""
            other = EmbedderError(
                f"the space {space.name} was made by {space.model} {space.version} ({space.preprocessing}), and the"
                f" available one embeds into {embedder.facts.space.name}: {own}run pinakes ingest to embed the collection"
                f" again and pinakes activate {embedder.facts.space.name} to let searches use it, or name another space."
            )
            return Absent(space, other)
        return embedder

    def pacing(self, stopping: Callable[[], bool] = lambda: False) -> Callable[[str, str], Pacer]:
        """Opens the pacer of a quota that is no embedder's, by its name and the rate where nobody has set another."""
        return lambda quota, rate: self._pacer(quota, rate, pinned=False, stopping=stopping)

    def _foreseen(self, quota: str, rate: str | None, default: str) -> Pacer:
        """A pacer with the rate that a run would have."""
        if rate == NO_RATE:
            return Unpaced()
        found = None
        if rate is None:
            with connect(self._dsn, setting=self._kept_by) as conn:
                found = rate_in_force(conn, quota)
        return _Foreseen(found or allowed(parse_rates(rate or default)))

    def _pacer(self, quota: str, rate: str, *, pinned: bool, stopping: Callable[[], bool]) -> Pacer:
        if rate == NO_RATE:
            return Unpaced()
        rates = parse_rates(rate)
        if pinned:
            with limits_connection(self._dsn, self._kept_by) as conn:
                change_limit(conn, quota, rates)
        # Imported late: most commands open no embedder with a quota, and start faster without it.
        from pinakes.quota.limiter import Limiter

        limiter = Limiter(self._dsn, quota, rates, stopping, setting=self._kept_by)
        self._opened.append(limiter)
        return limiter


class _Foreseen(Unpaced):
    """The pacer of a dry run, which makes no calls."""

    def __init__(self, rate: float) -> None:
        self.rate = rate


class Budget:
    """`--max-cost` as an `Allowance`, in units of the price of one picture.

    Args:
        units: how many may be spent.
    """

    def __init__(self, units: int) -> None:
        self._left = units
        self._lock = threading.Lock()
        self.used_up = False
        """Whether a call was refused because too little was left."""

    @property
    def left(self) -> int:
        """Units that may still be spent."""
        return self._left

    def use_up(self) -> None:
        """Refuse all further calls: what is left does not pay for one."""
        self.used_up = True

    def take(self, units: int) -> None:
        """See `pinakes.embedders.remote.provider.Allowance.take`."""
        with self._lock:
            while self._left < units and (more := self._more()):
                self._left += more
            if self._left < units:
                self.used_up = True
                raise AllowanceUsedUpError("the run's --max-cost is used up")
            self._left -= units

    def give_back(self, units: int) -> None:
        """See `pinakes.embedders.remote.provider.Allowance.give_back`."""
        with self._lock:
            self._left += units

    def _more(self) -> int:
        """Additional units when too few are left; called while the budget is locked."""
        return 0
