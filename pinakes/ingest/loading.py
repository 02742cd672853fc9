"""The stages that bring the table up to the checkpoint, and finally check that both agree with the account."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from pinakes.checkpoints.base import Rows
from pinakes.checkpoints.ledger import Ledger
from pinakes.checkpoints.textindex import digest_of, pair_keys, places
from pinakes.evaluation.recall import settle
from pinakes.ingest.account import Account
from pinakes.ingest.changes import as_stored_where_unread, compared, said_otherwise
from pinakes.ingest.listing import Planned
from pinakes.ingest.run import Ingestion
from pinakes.metadata.join import Join
from pinakes.metadata.report import JoinReport
from pinakes.spaces import RegionSpace
from pinakes.store.bulk_reads import current_vectors, stored_images
from pinakes.store.connection import Connection, ensure_pgvector, warn_of_old_pgvector
from pinakes.store.image_changes import Said, image_state
from pinakes.store.indexes import ensure_index
from pinakes.store.languages import (
    SAMPLED,
    TEXTS,
    Guess,
    finish_language,
    guess_language,
    language_of,
    set_language,
    texts_of,
)
from pinakes.store.load import Loader
from pinakes.store.reconnecting import Reconnecting
from pinakes.store.region_table import has_table, is_loaded
from pinakes.store.space_registry import resolve_space
from pinakes.store.staging import Written

ROWS_PER_PART = 5_000
"""Images that are joined with their metadata and loaded at once."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `load` hands on.

    Attributes:
        vanished: ids that are stored and were not listed any more; none where the listing was limited.
        join_report: how the metadata fits the pictures; None without metadata.
        language: of the words in full text.
        guessed: the guess that it is from, where this run has made it.
    """

    vanished: tuple[str, ...]
    join_report: JoinReport | None
    language: str
    guessed: Guess | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` hands on: why nothing was removed in spite of `--prune`, or None."""

    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Indexed:
    """What `build_index` hands on.

    Attributes:
        kind: of the index that there is now; None for exact search.
        active: whether searches use the space.
        falls_short: whether no setting of it finds enough, so that searches compare every vector.
    """

    kind: str | None
    active: bool
    falls_short: bool = False


def load(run: Ingestion, planned: Planned) -> Loaded:
    """Bring the table up to the checkpoint: images with their metadata, then the vectors that it lacks."""
    ledger = run.checkpoint.ledger()
    collection = run.request.collection
    listed, found = planned.plan.pictures(), planned.plan.found(ledger)
    join = said = None
    if run.metadata is not None:
        join = Join(run.metadata, listed["image_id"].to_pylist(), match=run.request.match)
        said = Said(run.metadata.digest(run.request.match), digest_of(listed["image_id"]))
    with run.database.reconnecting() as lasting:
        loader = Loader(lasting, collection, run.space, run.lease)
        # Before the texts are loaded: a change of language afterwards would rewrite the words of every image.
        guessed = lasting.do("guessing the language", lambda conn: _guess(conn, run))
        # Before the images are read: what others change from here on shows when the rows are counted again.
        since = lasting.do("looking for changes", lambda conn: image_state(conn, collection))
        stored = lasting.do("reading the stored images", lambda conn: stored_images(conn, collection))
        listed = as_stored_where_unread(listed, stored)
        differs, unlisted = compared(listed, stored)
        if join is not None and said is not None:
            differs |= said_otherwise(run, join, said, since.said, listed, stored)
        differing = listed.filter(pa.array(differs))
        rows = (lambda: _frames(differing)) if join is None else lambda: map(join.rows, _frames(differing))
        written = loader.load_images(rows, with_metadata=join is not None)
        del stored  # two columns of every image, while the vectors take memory of their own
        # A takedown that died after it had left its tombstones is finished here.
        gone = list(_pairs(unlisted.select(["image_id", "fingerprint"])))
        taken_down = [image_id for image_id, fingerprint in gone if planned.tombstones.cover(image_id, fingerprint)]
        removed = loader.remove(taken_down) if taken_down else 0
        kept = {image_id for image_id, _ in gone}.difference(taken_down)
        vanished = () if run.request.limit else tuple(sorted(kept))
        # After the images: a changed picture has lost its old vector by now, and a vector needs its image's row.
        current, lacking = lasting.do("comparing the vectors", lambda conn: _lacking(conn, run, listed, found, ledger))
        if len(lacking):
            written += loader.load_vectors(run.checkpoint.vectors_at(ledger, lacking), expected=len(lacking))
        written += _load_regions(run, planned, ledger, lasting)
        run.tally.add(vanished=len(vanished), rows_written=written.rows + removed)
        # A load that was killed may have left rows behind without having finished.
        entered = lasting.do("reading the space", lambda conn: resolve_space(conn, collection, run.space.name))
        if written.rows or removed or entered.loaded_at is None or entered.rows != current:
            loader.finish()
        loader.count_again(said, since)
        language = lasting.do("reading the language", lambda conn: language_of(conn, collection).name)
    return Loaded(vanished, None if join is None else join.report, language, guessed)


def _lacking(conn: Connection, run: Ingestion, listed: pa.Table, found: Rows, ledger: Ledger) -> tuple[int, Rows]:
    """How many vectors the table has, and the ledger's positions of those that it lacks, ascending."""
    current = current_vectors(conn, run.request.collection, run.space.name)
    ok = ledger.ok_at(found)
    is_current = places(pair_keys(listed["image_id"], listed["fingerprint"]), pair_keys(*current.columns)) >= 0
    # Ascending, so that each part of the checkpoint is opened once.
    return current.num_rows, np.sort(found[ok & ~is_current])


def _pairs(table: pa.Table) -> Iterator[tuple[str, str]]:
    """The rows of a table of image_id and fingerprint."""
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _load_regions(run: Ingestion, planned: Planned, ledger: Ledger, lasting: Reconnecting) -> Written:
    """Bring the table of regions up to the checkpoint: regions of another kind go, those that it lacks are loaded."""
    collection, space = run.request.collection, RegionSpace.of(run.space)
    if not lasting.do("reading the regions", lambda conn: has_table(conn, collection, run.space)):
        return Written()
    loader = Loader(lasting, collection, space, run.lease)
    dropped = loader.drop_regions(run.regions)
    lacking = planned.regions_with_vector(ledger, run.regions)

    def subtract(conn: Connection) -> None:
        lacking.difference_update(_pairs(current_vectors(conn, collection, space.name)))

    lasting.do("counting the regions", subtract)
    written = Written(updated=dropped)
    if lacking:
        written += loader.load_vectors(run.checkpoint.vectors(lacking), expected=len(lacking))
    if written.rows or not lasting.do("reading the regions", lambda conn: is_loaded(conn, collection, run.space)):
        loader.finish()
    return written


def _guess(conn: Connection, run: Ingestion) -> Guess | None:
    """Guess the language of the new texts if nobody has chosen one, before they are loaded."""
    collection = run.request.collection
    finish_language(conn, collection)  # a change that was interrupted
    if run.metadata is None or not language_of(conn, collection).open:
        return None
    texts = run.metadata.frame[list(TEXTS)]
    guess = guess_language(conn, texts_of(texts[:: max(1, len(texts) // SAMPLED)].itertuples(index=False)))
    if guess is not None:
        set_language(conn, collection, guess.language)
    return guess


def prune(run: Ingestion, planned: Planned, loaded: Loaded) -> Pruned:
    """With `--prune`, remove what is stored and was not listed.

    Nothing is removed where the listing is not whole or too much would go. The answer says so then, for the end of the
    run: what it has loaded is indexed and accounted for all the same.
    """
    if not run.request.prune:
        return Pruned()
    refused = _why_not_to_prune(run, planned, loaded)
    if refused is not None:
        return Pruned(refused)
    with run.database.reconnecting() as lasting:
        loader = Loader(lasting, run.request.collection, run.space, run.lease)
        removed = loader.remove(loaded.vanished)
        if removed:
            loader.finish()
            loader.count_again()
    run.tally.add(pruned=removed, rows_written=removed)
    return Pruned()


def build_index(run: Ingestion) -> Indexed:
    """Build, keep or drop the index of the space, see whether searches use the space, and compact the checkpoint."""
    collection, wanted = run.request.collection, run.request.wanted_index

    def build(conn: Connection) -> Indexed:
        pgvector = ensure_pgvector(conn)
        warn_of_old_pgvector(pgvector)
        kind = ensure_index(conn, collection, run.space, wanted.choice, run.lease, pgvector, wanted.settings)
        settled = settle(conn, pgvector, collection, run.space)
        return Indexed(kind, resolve_space(conn, collection).name == run.space.name, settled.falls_short)

    def build_regions(conn: Connection) -> None:
        if has_table(conn, collection, run.space):
            space = RegionSpace.of(run.space)
            ensure_index(conn, collection, space, wanted.choice, run.lease, ensure_pgvector(conn), wanted.settings)

    # Apart from the wholes: a lost connection then repeats one build, not both.
    indexed = run.database.do("building the index", build)
    run.database.do("building the index of the regions", build_regions)
    if run.checkpoint.needs_compaction():
        run.lease.check()  # a merge deletes parts, and unlike `write` it does not check
        run.checkpoint.compact()
    return indexed


def close_account(run: Ingestion, planned: Planned) -> Account:
    """Balance the account against the listing, the checkpoint and the table.

    Raises:
        AccountError: it does not balance.
    """
    ledger = run.checkpoint.ledger()
    found = planned.plan.found(ledger)
    has_vector = ledger.ok_at(found)
    with_vector = int(has_vector.sum())
    if run.checkpoint.damages:
        _enter_losses(run, planned, ledger, with_vector)
    account = run.tally.close()
    account.check_sum()
    failed = int((found >= 0).sum()) - with_vector
    # A deferred retry is still a failure in the ledger, and not yet one of this run.
    account.check_against("the checkpoint", ok=with_vector, failed=None if account.deferred else failed)

    def stored(conn: Connection) -> int:
        vectors = current_vectors(conn, run.request.collection, run.space.name)
        expected = planned.plan.pictures().filter(pa.array(has_vector))
        keys = pair_keys(expected["image_id"], expected["fingerprint"])
        return int((places(pair_keys(*vectors.columns), keys) >= 0).sum())

    account.check_against("the table", ok=run.database.do("comparing the table", stored))
    if run.regions != "none":
        _check_regions(run, planned, ledger, account)
    # Only when every picture and region was reached has all that the damaged parts may have held been paid for again.
    if run.request.pay_again and not run.request.limit and not account.unreached:
        run.checkpoint.accept_losses()
    return account


def _check_regions(run: Ingestion, planned: Planned, ledger: Ledger, account: Account) -> None:
    """Balance the regions. What damaged parts have lost of them is found by the next run, which says so before it pays."""
    if run.checkpoint.damages:
        return
    expected = planned.regions_with_vector(ledger, run.regions)
    account.check_against("the checkpoint", ok=len(expected), regions=True)

    def stored(conn: Connection) -> int:
        table = RegionSpace.of(run.space).name
        return sum(pair in expected for pair in _pairs(current_vectors(conn, run.request.collection, table)))

    account.check_against("the table", ok=run.database.do("comparing the regions", stored), regions=True)


def _enter_losses(run: Ingestion, planned: Planned, ledger: Ledger, with_vector: int) -> None:
    """Count pictures whose answers damaged parts have lost as failed, or as deferred where the ledger has no row of them."""
    account = run.tally.account()
    lost = account.embedded + account.reused - with_vector
    if lost > 0:
        # From `reused` first: how many of them were embedded in this run is not known, and the sum is right either way.
        reused = min(lost, account.reused)
        listed = planned.plan.pictures()
        pairs = zip(listed["image_id"].to_pylist(), listed["fingerprint"].to_pylist(), strict=True)
        known = min(lost, sum(pair in ledger.lost for pair in pairs))
        run.tally.add(
            reused=-reused,
            embedded=reused - lost,
            failed=known,
            new_failures=known,
            deferred=lost - known,
            lost=lost,
        )


def _frames(listed: pa.Table) -> Iterator[pd.DataFrame]:
    for start in range(0, listed.num_rows, ROWS_PER_PART):
        yield pd.DataFrame(listed.slice(start, ROWS_PER_PART).to_pydict())


def _why_not_to_prune(run: Ingestion, planned: Planned, loaded: Loaded) -> str | None:
    if run.source.problems:
        return (
            f"nothing was pruned: the listing is not complete ({run.source.problems[0]}), so a picture that is not"
            " listed may still be there."
        )
    gone, share = len(loaded.vanished), run.request.prune_share
    total = len(planned.plan.images) + len(planned.plan.rejected) + gone
    if gone > share * total:
        return (
            f"nothing was pruned: {gone} of {total} pictures are not listed any more, and --prune removes at most"
            f" {share:.0%}; if that is right, raise --prune-share."
        )
    return None
