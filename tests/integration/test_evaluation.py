"""Evaluations of collections in a real PostgreSQL, against cases worked out by hand and against brute force."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from pinakes.checkpoints.base import VectorChunk
from pinakes.embedders.base import Embedder, Facts, Limits, Picture, Price, TextReading
from pinakes.embedders.declaration import Declaration, Factory, Model
from pinakes.embedders.palette.descriptor import Palette
from pinakes.embedders.registry import EMBEDDERS
from pinakes.embedders.remote.client import Remote
from pinakes.embedders.remote.provider import CredentialsRefusedError, Prepared, Unpaced
from pinakes.errors import MetadataError, UnreadableQueryError, UsageError
from pinakes.evaluation.evaluation import evaluate_indexes, evaluate_recall, evaluate_retrieval
from pinakes.evaluation.index_choice import IndexComparison
from pinakes.evaluation.request import EvaluationRequest
from pinakes.evaluation.retrieval import RetrievalReport
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.store.collections import ensure_collection
from pinakes.store.database import Database
from pinakes.store.indexes import built_settings, ensure_index
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.restrictions import hide
from pinakes.store.search_plan import searched_with
from pinakes.store.space_registry import register_space, spaces
from pinakes.types import Failure, Vector
from tests.programs import ended

DIMENSION = 24
KNOWN = Space("known", "words", "1", 2, "")
PAID = Space("paid", "words", "1", 2, "")


def store(
    database: Database,
    space: Space,
    vectors: np.ndarray,
    index: str = "none",
    *,
    ids: Sequence[str] | None = None,
    fingerprints: Sequence[str] | None = None,
    **columns: Sequence[Any],
) -> list[str]:
    """Images with vectors, through the store as a run would write them; columns are written when any is given."""
    ids = ids or [f"i{n:05}" for n in range(len(vectors))]
    frame = pd.DataFrame({"image_id": ids, "uri": ids, "fingerprint": fingerprints or ids, **columns})
    with database.connection() as (conn, pgvector):
        ensure_collection(conn, "pictures", "file:///x/")
        register_space(conn, "pictures", space)
        with Lease(database.dsn, "x", seconds=60) as lease, database.reconnecting() as lasting:
            loader = Loader(lasting, "pictures", space, lease)
            loader.load_images(lambda: [frame], with_metadata=bool(columns))
            loader.load_vectors([VectorChunk(list(ids), list(frame["fingerprint"]), vectors.astype(np.float32))])
            loader.finish()
            ensure_index(conn, "pictures", space, index, lease, pgvector)  # type: ignore[arg-type]  # one of the kinds
    return list(ids)


def clustered(rows: int) -> np.ndarray:
    """Vectors in clusters, as embeddings are; the last twenty are all the same."""
    rng = np.random.default_rng(3)
    made = rng.standard_normal((40, DIMENSION))[rng.integers(40, size=rows)] + 0.3 * rng.standard_normal(
        (rows, DIMENSION)
    )
    made[-20:] = made[-20]
    return made


class Words(Embedder):
    """Reads a text that it was told the vector of."""

    calls = 0

    def __init__(self, space: Space, vectors: dict[str, Sequence[float]]) -> None:
        self.facts = Facts(space, "A list of texts, for tests.")
        self._vectors = vectors

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        raise AssertionError("no picture is asked for")

    def embed_text(self, text: str) -> TextReading:
        if text not in self._vectors:
            raise UnreadableQueryError(f"the list has no text {text!r}.")
        return TextReading(np.array(self._vectors[text], dtype=np.float32))


class PaidWords:
    """A provider that counts the texts it is asked for."""

    def __init__(self) -> None:
        self.facts = Facts(
            PAID, "Counts, for tests.", Limits(max_words=2), Price(per_text=0.25, as_of="2026-11-01", source="a test")
        )
        self.asked: list[str] = []

    def reads_itself(self, uri: str) -> bool:
        return False

    def image(self, picture: Prepared, *, timeout: float) -> tuple[Vector, str]:
        raise AssertionError("no picture is asked for")

    def text(self, text: str, *, timeout: float) -> tuple[Vector, str]:
        self.asked.append(text)
        return np.array([len(text), 1], dtype=np.float32), "1"

    def close(self) -> None:
        pass


def known(monkeypatch: pytest.MonkeyPatch, vectors: dict[str, Sequence[float]]) -> None:
    monkeypatch.setitem(EMBEDDERS, "known", declared(KNOWN, lambda _choice, _around: Words(KNOWN, vectors)))


def declared(space: Space, factory: Factory) -> Declaration:
    model = Model(
        name=space.model,
        versions=(space.version,),
        dimensions=(space.dimension,),
        default_dimension=space.dimension,
        preprocessing=space.preprocessing,
    )
    return Declaration(name=space.provider, title="for tests", guide="", open=factory, models=(model,))


def retrieval(database: Database, settings: Settings, said: list[str] | None = None, **options: Any) -> RetrievalReport:
    request = EvaluationRequest("pictures", **({"k": 2} | options))
    return evaluate_retrieval(database, settings, request, (said if said is not None else []).append)


# -- index against exact -----------------------------------------------------------------------------------------------


@pytest.fixture
def indexed(database: Database) -> np.ndarray:
    vectors = clustered(1500)
    store(database, Space("made", "up", "1", DIMENSION, ""), vectors, "hnsw")
    return vectors


def test_recall_grows_with_ef_search_and_the_smallest_setting_that_is_enough_is_stored(
    database: Database, indexed: np.ndarray
) -> None:
    (report,) = evaluate_recall(database, EvaluationRequest("pictures", queries=200, recall=0.95))
    assert (report.index, report.rows, report.queries, report.before) == ("hnsw", 1500, 200, None)
    recalls = [level.recall for level in report.levels]
    assert recalls[-1] > 0.99
    assert all(later >= earlier - 0.005 for earlier, later in itertools.pairwise(recalls))
    enough = [level.setting for level in report.levels if level.at_least >= 0.95]
    assert report.recommended == min(enough)
    assert report.stored
    with database.connection() as (conn, _):
        (space,) = spaces(conn, "pictures")
    chosen = next(level for level in report.levels if level.setting == report.recommended)
    assert space.ef_search == report.recommended
    assert space.ef_search_recall == pytest.approx(chosen.recall)
    again = evaluate_recall(database, EvaluationRequest("pictures", queries=200, recall=0.95, store=False))
    assert (again[0].before, again[0].stored) == (report.recommended, False)
    assert [level.recall for level in again[0].levels] == recalls


def test_the_exact_answer_of_postgresql_has_a_recall_of_one_by_our_own_brute_force(
    database: Database, indexed: np.ndarray
) -> None:
    from pinakes.evaluation.measures import KthNearest, recall_at_k, unit
    from pinakes.store.bulk_reads import one_state, sampled_vectors, vector_blocks
    from pinakes.store.index_trial import IndexTrial

    with database.connection() as (conn, pgvector):
        (space,) = spaces(conn, "pictures")
        with one_state(conn):
            ids, vectors = sampled_vectors(conn, "pictures", space.name, 200, 1)
            stored = {
                i: v
                for block_ids, block in vector_blocks(conn, "pictures", space.name)
                for i, v in zip(block_ids, block, strict=True)
            }
            answered = IndexTrial(conn, pgvector, "pictures", space, 10).scan(ids, vectors)
    assert len(stored) == 1500
    everything = unit(np.array(list(stored.values())))
    distances = 1 - unit(vectors) @ everything.T
    for row, image_id in enumerate(ids):
        distances[row, list(stored).index(image_id)] = np.inf
    nearest = KthNearest(len(ids), 10)
    nearest.add(distances)
    assert recall_at_k(answered.distances, nearest.distances).min() == 1
    np.testing.assert_allclose(answered.distances, np.sort(distances, axis=1)[:, :10], atol=1e-6)
    assert len(set(ids)) == 200


def test_too_few_queries_are_told_apart_from_an_index_that_misses(database: Database, indexed: np.ndarray) -> None:
    (report,) = evaluate_recall(database, EvaluationRequest("pictures", queries=20, recall=0.99))
    assert (report.recommended, report.stored) == (None, False)
    assert "20 queries are too few to show a recall of 0.99; use --queries 268" in report.notes[0]
    with database.connection() as (conn, _):
        assert spaces(conn, "pictures")[0].ef_search is None


def test_the_probes_of_an_ivfflat_index_are_measured_up_to_all_lists_and_stored(database: Database) -> None:
    store(database, Space("made", "up", "1", DIMENSION, ""), clustered(5000), "ivfflat")
    (report,) = evaluate_recall(database, EvaluationRequest("pictures", queries=100, recall=0.9))
    assert report.setting_name == "probes"
    assert [level.setting for level in report.levels] == [1, 2, 4, 5][: len(report.levels)]
    assert report.levels[-1].recall == pytest.approx(1)
    assert report.stored
    with database.connection() as (conn, _):
        assert searched_with(spaces(conn, "pictures")[0]) == {"probes": report.recommended}


def test_the_quickest_index_that_finds_enough_is_kept_and_without_storing_the_one_before(
    database: Database, settings: Settings
) -> None:
    space = Space("made", "up", "1", 64, "")
    rng = np.random.default_rng(5)
    made = rng.standard_normal((100, 64))[rng.integers(100, size=2000)] + 0.5 * rng.standard_normal((2000, 64))
    store(database, space, made, "none")

    def compared(*kinds: Any, **options: Any) -> IndexComparison:
        request = EvaluationRequest("pictures", "recall", indexes=kinds, **options)
        ((comparison,), reports) = evaluate_indexes(database, settings, request)
        assert [report.index for report in reports] == [kind.index for kind in comparison.kinds if kind.index != "none"]
        with database.connection() as (conn, _):
            (registered,) = spaces(conn, "pictures")
            kind = registered.index_kind
            assert (kind or "none") == comparison.kept
            assert built_settings(conn, "pictures", space, comparison.kept) == kept.get(comparison.kept)
            if kind is not None:
                assert registered.ef_search_built == registered.index_built_at, "what is kept has been measured"
                name = "probes" if kind == "ivfflat" else "ef_search"
                assert searched_with(registered) == {name: registered.ef_search}
        return comparison

    kept: dict[str, dict[str, int]] = {}
    # What is not stored leaves things as they were: here no index at all.
    first = compared("hnsw", "none", "binary", recall=0.9, queries=150, store=False)
    assert (first.before, first.kept) == ("none", "none")
    assert [kind.index for kind in first.kinds] == ["hnsw", "binary", "none"]
    enough = [kind for kind in first.kinds if kind.enough]
    assert first.quickest == min(enough, key=lambda kind: kind.p50_ms).index
    hnsw, binary, none = first.kinds
    assert hnsw.bytes > binary.bytes > none.bytes == 0
    assert (hnsw.build_seconds or 0) > 0
    assert none.recall == 1

    # The setting that is stored is the one of the table, and the settings of the index that was there come back.
    kept["hnsw"] = {"m": 16, "ef_construction": 200}
    second = compared("hnsw", recall=0.9, queries=150)
    assert (second.before, second.kept, second.quickest) == ("none", "hnsw", "hnsw")
    with database.connection() as (conn, pgvector), Lease(database.dsn, "x", seconds=60) as lease:
        assert spaces(conn, "pictures")[0].ef_search == second.kinds[0].setting
        kept["hnsw"] = {"m": 10, "ef_construction": 50}
        ensure_index(conn, "pictures", space, "hnsw", lease, pgvector, kept["hnsw"])
    third = compared("ivfflat", "hnsw", recall=0.9, queries=150, store=False)
    assert [(kind.index, kind.build_seconds is None) for kind in third.kinds] == [("hnsw", True), ("ivfflat", False)]
    assert (third.before, third.kept) == ("hnsw", "hnsw")

    with pytest.raises(UsageError, match="--index compares kinds of index, which belongs to pinakes evaluate recall"):
        EvaluationRequest("pictures", indexes=("none",))


def test_without_an_index_searches_are_exact_and_it_is_said_what_an_index_would_give(database: Database) -> None:
    store(database, KNOWN, clustered(50)[:, :2])
    (report,) = evaluate_recall(database, EvaluationRequest("pictures"))
    assert (report.index, report.levels, report.recommended) == (None, (), None)
    assert report.exact_ms > 0
    assert "recall is 1; an HNSW index" in report.notes[0]


def test_a_space_with_too_few_vectors_is_named(database: Database) -> None:
    store(database, KNOWN, np.eye(2))
    with pytest.raises(UsageError, match="known_words_1_2 holds 2 vectors, too few for the 10 neighbours"):
        evaluate_recall(database, EvaluationRequest("pictures"))


# -- retrieval ---------------------------------------------------------------------------------------------------------


def degrees(*angles: float) -> np.ndarray:
    return np.array([[np.cos(np.radians(a)), np.sin(np.radians(a))] for a in angles])


def test_text2art_of_a_case_worked_out_by_hand(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pictures at 0, 40, 80 and 120 degrees; the texts point to 5, 15, 130 and 118.
    known(monkeypatch, {"a": (1, 0.0875), "b": (1, 0.268), "c": (-0.643, 0.766), "d": (-0.469, 0.883)})
    split = [{"split": "test"}] * 4 + [{"split": "train"}]
    store(database, KNOWN, degrees(0, 40, 80, 120, 200), description=[*"abcd", "e"], extra=split)
    report = retrieval(database, settings, k=1)
    assert (report.images, report.pairs) == (5, 4)
    assert report.protocol == "description of the test split (Text2Art)"
    (space,) = report.spaces
    assert space.texts_read == 4
    # a: own 5 away: 1st. b: own 25 away, 0 is 15 away: 2nd. c: own 50, 120 is 10 away: 2nd. d: own 2 away: 1st.
    assert space.to_picture is not None
    assert space.to_picture.recall == pytest.approx({1: 0.5, 5: 1, 10: 1})
    assert space.to_picture.median_rank == 1.5
    # 0: a is 5 away: 1st. 40: b is 25 away: 1st. 80: d 38, c 50, b 65: 2nd. 120: d 2: 1st.
    assert space.to_text is not None
    assert space.to_text.recall == pytest.approx({1: 0.75, 5: 1, 10: 1})
    assert space.to_text.median_rank == 1.0
    assert report.chance is not None
    assert (report.chance.recall, report.chance.median_rank) == ({1: 0.25, 5: 1, 10: 1}, 2.5)


def test_precision_of_a_case_worked_out_by_hand(database: Database, settings: Settings) -> None:
    # Two nearest of each of five pictures, and of a copy of the first that is no neighbour of it.
    store(
        database,
        KNOWN,
        degrees(0, 10, 25, 100, 111, 0),
        fingerprints=["a", "b", "c", "d", "e", "a"],
        author=["X", "X", "Y", "Y", "Y", "X"],
        school=["S", None, "S", None, "S", ""],
        extra=[{"room": "1"}] * 5 + [{}],
    )
    report = retrieval(database, settings, columns=("author", "school", "room"))
    author, school, room = report.precision
    # 0 (X): 10 X, 25 Y: 1/2; the copy likewise. 10 (X): the two at 0: 1. 25 (Y): 10, and one of the two at 0: 0.
    # 100 (Y): 111, 25: 1. 111 (Y): 100, 25: 1.
    assert author.precision == pytest.approx((1 / 2 + 1 / 2 + 1 + 0 + 1 + 1) / 6)
    # X: 1 of 4 candidates for both copies, 2 of 5 for 10. Y: 2 of 5.
    assert author.chance == pytest.approx((1 / 4 + 1 / 4 + 2 / 5 * 4) / 6)
    # 0: 10 –, 25 S: 1/2. 25: 10 –, and one of the two at 0, of which one has S: 1/4. 111: 100 –, 25 S: 1/2.
    assert school.queries == 3
    assert school.precision == pytest.approx((1 / 2 + 1 / 4 + 1 / 2) / 3)
    assert school.chance == pytest.approx((2 / 4 + 2 / 5 + 2 / 5) / 3)
    assert (room.column, room.queries) == ("room", 5)
    assert report.pairs == 0
    assert "no picture has a description" in report.notes[0]


def test_spaces_are_compared_over_the_images_that_all_of_them_hold(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch, {"a": (1, 0), "b": (0, 1), "c": (-1, 0)})
    store(database, KNOWN, degrees(0, 90, 180, 270), description=[*"abcd"], author=["X", "X", "Y", "Y"])
    other = Space("elsewhere", "made", "1", 2, "")
    store(database, other, degrees(10, 20, 30), ids=["i00000", "i00001", "i00002"])
    report = retrieval(database, settings)
    assert (report.images, report.pairs) == (3, 3)
    assert {p.space for p in report.precision} == {KNOWN.name, other.name}
    assert len({p.chance for p in report.precision}) == 1
    first, second = report.spaces
    assert first.to_picture is not None
    assert first.to_picture.recall[1] == 1
    assert second.to_picture is None
    assert "its vectors were imported, and no available model makes more" in second.notes[0]
    assert any("there is no test split" in str(report.protocol) for _ in report.notes)
    assert any("1 of 4 images are left out" in note for note in report.notes)
    alone = retrieval(database, settings, spaces=(KNOWN.name,))
    assert (alone.images, alone.pairs, alone.spaces[0].texts_read) == (4, 4, 3)
    assert "1 texts could not be read" in alone.spaces[0].notes[0]


def test_restricted_pictures_are_in_no_retrieval(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch, {"a": (1, 0), "b": (0, 1), "c": (-1, 0)})
    store(database, KNOWN, degrees(0, 90, 180, 270), description=[*"abcd"], author=["X", "X", "Y", "Z"])
    with database.connection() as (conn, _):
        hide(conn, "pictures", "author=Z")
    report = retrieval(database, settings)
    assert (report.images, report.pairs) == (3, 3)


def test_the_texts_of_a_file_are_matched_to_the_pictures(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known(monkeypatch, {"One. alpha": (1, 0), "Two. beta": (0, 1)})
    store(database, KNOWN, degrees(0, 90, 180), ids=["a.jpg", "in/b.jpg", "c.jpg"], author=["X", "X", "X"])
    file = tmp_path / "semart_test.csv"
    header = ["IMAGE_FILE", "DESCRIPTION", "AUTHOR", "TITLE", "TECHNIQUE", "DATE", "TYPE", "SCHOOL", "TIMEFRAME"]
    rows = [["a.jpg", "alpha", "X", "One"], ["b.jpg", "beta", "X", "Two"], ["gone.jpg", "gamma", "X", "Three"]]
    rows.append(["c.jpg", "", "X", "Four"])
    file.write_text("\n".join("\t".join(row + [""] * (9 - len(row))) for row in [header, *rows]), "cp1252")
    report = retrieval(database, settings, test=file, with_title=True)
    assert report.pairs == 2
    assert report.protocol == "title and description of the rows of semart_test.csv (Text2Art)"
    assert report.spaces[0].to_picture is not None
    assert report.spaces[0].to_picture.recall[1] == 1
    assert report.notes[0] == "2 rows of semart_test.csv describe no picture that all spaces hold"
    with pytest.raises(MetadataError, match="cannot be read"):
        retrieval(database, settings, test=tmp_path / "missing.csv")
    file.write_text("\n".join("\t".join(row + [""] * (9 - len(row))) for row in [header, rows[2]]), "cp1252")
    with pytest.raises(UsageError, match=r"semart_test\.csv describes 0 of the collection's pictures"):
        retrieval(database, settings, test=file)


def test_paid_texts_are_announced_capped_and_paid_for_once(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    providers: list[PaidWords] = []

    def opened(_choice: object, _around: object) -> Remote:
        providers.append(PaidWords())
        return Remote(providers[-1], Unpaced())

    monkeypatch.setitem(EMBEDDERS, "paid", declared(PAID, opened))
    texts = ["one two three", "one two four", "five", "six", "seven"]
    store(database, PAID, degrees(0, 30, 60, 90, 120), description=texts)
    said: list[str] = []
    capped = retrieval(database, settings, said, max_cost=0.9)
    assert (
        "4 texts would cost USD 1.00 (0.25 each, read 2026-11-01), and --max-cost is 0.9" in capped.spaces[0].notes[0]
    )
    assert (said, providers[0].asked) == ([], [])

    report = retrieval(database, settings, said)
    assert said == ["paid: 4 texts in as many calls, USD 1.0000 (0 known already)"]
    assert sorted(providers[1].asked) == ["five", "one two", "seven", "six"]
    (space,) = report.spaces
    assert (space.texts_read, space.calls, space.cost) == (5, 4, 1.0)
    assert "2 texts are longer than the 2 words that paid reads" in space.notes[0]

    again = retrieval(database, settings, said, max_cost=0)
    assert (again.spaces[0].calls, again.spaces[0].cost, providers[2].asked) == (0, 0.0, [])
    assert again.spaces[0].to_picture == space.to_picture
    assert len(said) == 1


def test_texts_that_were_answered_next_to_one_that_was_refused_are_not_paid_for_again(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(PaidWords):
        def text(self, text: str, *, timeout: float) -> tuple[Vector, str]:
            if text == "six":
                raise CredentialsRefusedError("the key was refused.")
            return super().text(text, timeout=timeout)

    providers: list[PaidWords] = [Refusing(), PaidWords()]
    opened = iter(providers)
    monkeypatch.setitem(EMBEDDERS, "paid", declared(PAID, lambda *_: Remote(next(opened), Unpaced())))
    store(database, PAID, degrees(0, 30, 60), description=["six", "seven", "eight"])
    refused, again = retrieval(database, settings), retrieval(database, settings)
    assert refused.spaces[0].notes == ("the key was refused",)
    assert (refused.spaces[0].calls, refused.spaces[0].cost) == (2, 0.5)
    assert sorted(providers[0].asked) == ["eight", "seven"]
    assert (providers[1].asked, again.spaces[0].calls) == (["six"], 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spaces": ("nobody",)}, "has no space 'nobody'; there are: known_words_1_2"),
        ({"columns": ("colour",)}, "the column 'colour' .* there are: description, .*, timeframe, room"),
        ({"k": 3}, "have 3 different pictures in common, too few for the 3 neighbours"),
    ],
)
def test_what_cannot_be_compared_is_named(
    database: Database, settings: Settings, options: dict[str, Any], message: str
) -> None:
    store(database, KNOWN, degrees(0, 90, 180), author=["X", "X", "Y"], extra=[{"room": "1"}] * 3)
    with pytest.raises(UsageError, match=message):
        retrieval(database, settings, **options)


def test_a_collection_that_is_not_there_is_named(database: Database, settings: Settings) -> None:
    with pytest.raises(UsageError, match="no collection 'pictures' yet"):
        retrieval(database, settings)


# -- the command and the flow ------------------------------------------------------------------------------------------


@pytest.fixture
def two_spaces(database: Database) -> None:
    """An indexed space and a copy of it without an index, with a long name each."""
    vectors = np.hstack([clustered(600)] * 11)[:, :256]
    columns = {"author": [f"a{n % 7}" for n in range(600)], "description": ["red", "words"] * 300}
    store(database, Palette(256).facts.space, vectors, "hnsw", **columns)
    store(database, Space("elsewhere", "a-model-of-a-very-long-name", "20261101", 256, ""), vectors)


def evaluate(environment: dict[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ended("pinakes.cli.main", "evaluate", *arguments, env=environment, cwd=folder)


def test_the_tables_fit_80_columns_and_the_plot_is_a_picture(
    two_spaces: None, environment: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the plot needs the extra notebook")
    from PIL import Image

    done = evaluate(environment, tmp_path, "--queries", "300", "--plot", "plot.png")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80, done.stdout
    assert "stored with the space" in done.stdout
    assert "plot: plot.png" in done.stdout
    with Image.open(tmp_path / "plot.png") as plot:
        assert plot.width > 800
    assert (tmp_path / "plot.png").stat().st_size < 700_000


def test_what_was_measured_is_printed_although_the_plot_cannot_be_written(
    two_spaces: None, environment: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the plot needs the extra notebook")
    (tmp_path / "plot.png").mkdir()
    recall = ("recall", "--queries", "50", "--no-store", "--plot", "plot.png")
    table, document = evaluate(environment, tmp_path, *recall), evaluate(environment, tmp_path, *recall, "--json")
    for done in (table, document):
        assert done.returncode == 1, done.stderr
        assert "the plot 'plot.png' cannot be written: Is a directory" in done.stderr
    assert "recall@10" in table.stdout
    assert "plot: " not in table.stdout
    assert len(json.loads(document.stdout)["recall"]) == 2
    assert [path.name for path in tmp_path.iterdir() if "plot" in path.name] == ["plot.png"]


def test_json_is_one_document(two_spaces: None, environment: dict[str, str], tmp_path: Path) -> None:
    done = evaluate(environment, tmp_path, "recall", "--json", "--queries", "300", "--recall", "0.95", "--no-store")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["collection"], document["retrieval"]) == ("pictures", None)
    with_index = document["recall"][0]
    assert with_index["recommended"] in {level["setting"] for level in with_index["levels"]}
    done = evaluate(environment, tmp_path, "retrieval", "--json", "--column", "author", "-k", "5")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["recall"] == []
    assert {(p["column"], p["queries"]) for p in document["retrieval"]["precision"]} == {("author", 500)}


def test_bad_options_end_with_2_and_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    for arguments in (["--recall", "2"], ["recall", "--test", "x.csv"]):
        done = evaluate(environment, tmp_path, *arguments)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("prefect_api")
def test_the_flow_leaves_tables_and_a_plot_under_a_megabyte(
    two_spaces: None, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    from flows.evaluate import evaluate as flow

    monkeypatch.setenv("PINAKES_HOME", str(settings.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", settings.database_url or "")
    monkeypatch.chdir(tmp_path)
    state = flow(queries=300, columns=["author"], return_state=True)
    document = state.result()
    assert json.loads(json.dumps(document))["recall"][0]["stored"]
    written = f"pictures/{Palette(256).facts.space.name}"
    with Lease(settings.database_url or "", written, seconds=settings.lease_seconds):
        refused = flow(queries=300, return_state=True)
    assert refused.is_cancelled()
    assert f"{written} is being written by process" in str(refused.message)
    run_id = state.state_details.flow_run_id
    assert isinstance(run_id, UUID)
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(run_id).name.endswith("evaluate pictures")
        artifacts = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        )
    found = {artifact.key: str(artifact.data) for artifact in artifacts}
    assert set(found) == {"recall", "retrieval", "precision", "evaluation"}
    assert all(len(data) < 1_000_000 for data in found.values())
    assert {row["column"] for row in json.loads(found["precision"])} == {"author"}
    assert any(row["recommended"] == "yes" for row in json.loads(found["recall"]))
    assert {tuple(row) for row in json.loads(found["recall"])} == {
        ("space", "index", "setting", "recall@10", "at least (95 %)", "p50 ms", "p95 ms", "recommended")
    }
    assert "data:image/png;base64," in found["evaluation"]
    assert "stored with the space" in found["evaluation"]


def test_without_matplotlib_the_flow_says_how_to_get_the_plot(
    two_spaces: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pinakes.evaluation.evaluation import Evaluation
    from tasks import evaluation as stages

    monkeypatch.setattr(stages, "drawable", lambda: False)
    report = evaluate_recall(Database(settings.database_url or ""), EvaluationRequest("pictures", queries=50))
    page = stages._page(Evaluation("pictures", report))
    assert ".venv/bin/python -m pip install -e '.[notebook]'" in page
