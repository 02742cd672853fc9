"""What every embedder promises, whatever is behind it. A new embedder is tested here as soon as it is in the registry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pinakes.embedders.base import Embedder, Picture
from pinakes.embedders.declaration import Declaration, Surroundings
from pinakes.embedders.registry import BUILT_IN, EMBEDDERS, choice_for, open_embedder, space_made
from pinakes.errors import SettingsError, SourceError, UnreadableQueryError, UsageError
from pinakes.rates import parse_rates
from pinakes.types import Failure, Image
from tests.trials import opened, trial

NAMES = [declaration.name for declaration in BUILT_IN]


def picture(name: str, data: bytes) -> Picture:
    return Picture(Image(name, f"file:///{name}", f"md5:{name}", len(data)), lambda: data)


def jpeg(seed: int) -> bytes:
    out = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Pillow.fromarray(pixels).resize((320, 240)).save(out, format="JPEG")
    return out.getvalue()


def gone() -> bytes:
    raise SourceError("the file is gone")


@pytest.fixture(params=NAMES)
def declaration(request: pytest.FixtureRequest) -> Declaration:
    return EMBEDDERS[request.param]


@pytest.fixture
def embedder(declaration: Declaration, tmp_path: Path) -> Iterator[Embedder]:
    with trial(declaration.name, tmp_path) as values:
        embedder = opened(declaration.name, values, tmp_path / "home")
        yield embedder
        embedder.close()


def test_every_picture_gets_one_vector_of_its_space_or_one_failure(embedder: Embedder) -> None:
    batch = [picture("a", jpeg(1)), picture("torn", jpeg(2)[:300]), picture("b", jpeg(3)), picture("empty", b"")]
    batch.append(Picture(Image("gone", "file:///gone", "md5:gone", 9), gone))
    outcomes = dict(embedder.embed_images(batch))
    assert set(outcomes) == set(range(5))
    dimension = embedder.facts.space.dimension
    for index in (0, 2):
        vector = outcomes[index]
        assert not isinstance(vector, Failure)
        assert (vector.shape, vector.dtype) == ((dimension,), np.float32)
        assert np.isfinite(vector).all()
        assert vector.any()
    for index in (1, 3, 4):
        failure = outcomes[index]
        assert isinstance(failure, Failure)
        assert failure.message


def test_equal_bytes_have_equal_vectors_and_others_do_not(embedder: Embedder) -> None:
    outcomes = dict(embedder.embed_images([picture("a", jpeg(1)), picture("b", jpeg(1)), picture("c", jpeg(2))]))
    first, second, third = (outcomes[index] for index in range(3))
    np.testing.assert_allclose(first, second, atol=1e-5)  # type: ignore[arg-type]  # a failure would not compare
    assert not np.allclose(first, third, atol=1e-3)  # type: ignore[arg-type]


def test_an_empty_batch_is_no_call(embedder: Embedder) -> None:
    before = embedder.calls
    assert list(embedder.embed_images([])) == []
    assert embedder.calls == before


def test_calls_are_counted(embedder: Embedder) -> None:
    list(embedder.embed_images([picture("a", jpeg(1)), picture("b", jpeg(2))]))
    assert embedder.calls == 2


def test_a_text_is_a_vector_of_the_same_space_or_is_said_to_be_unreadable(
    declaration: Declaration, embedder: Embedder
) -> None:
    if not declaration.reads_words:
        with pytest.raises(UnreadableQueryError, match="no text"):
            embedder.embed_text("a dark blue house")
        return
    reading = embedder.embed_text(f"a dark blue house, {declaration.example}")
    assert reading.vector.shape == (embedder.facts.space.dimension,)
    assert reading.vector.dtype == np.float32
    assert reading.vector.any()
    assert embedder.embed_text(declaration.example).vector.any()


def test_a_query_picture_has_the_vector_of_its_picture(embedder: Embedder) -> None:
    ((_, vector),) = embedder.embed_images([picture("a", jpeg(1))])
    np.testing.assert_allclose(embedder.embed_query_picture(picture("a", jpeg(1))), vector, atol=1e-5)  # type: ignore[arg-type]
    assert isinstance(embedder.embed_query_picture(picture("empty", b"")), Failure)


def test_its_facts_are_complete_and_as_declared(declaration: Declaration, embedder: Embedder) -> None:
    facts = embedder.facts
    assert facts.space.provider == declaration.name
    assert facts.space.version not in ("", "latest")
    assert facts.description
    assert facts.workers >= 1
    if declaration.models:
        model = declaration.models[0]
        assert (facts.space.model, facts.space.dimension) == (model.name, model.default_dimension)
        assert facts.retires == model.retires
        assert facts.price.per_image == (model.price.per_image if model.price else 0)
    if embedder.paid:
        assert facts.price.per_image > 0
        assert facts.price.source


def test_its_spaces_are_known_without_its_credentials(
    declaration: Declaration, embedder: Embedder, tmp_path: Path
) -> None:
    """`pinakes import --space` names a space before anything is set up; where files decide, they have to be there."""
    space = embedder.facts.space
    with trial(declaration.name, tmp_path / "files") as values:
        around = Surroundings({} if declaration.models else values, tmp_path / "home")
        assert space_made(space, around) == space
        assert space_made(replace(space, preprocessing=""), around) == space
        for model in declaration.models:
            for dimension in {model.dimensions[0], model.dimensions[-1]}:
                other = declaration.spaces(model).space(dimension)
                assert space_made(other, around) == other
        for wrong in (replace(space, preprocessing="another"), replace(space, version="another")):
            with pytest.raises(UsageError, match=rf"no embedder makes the space .*another.*{declaration.name} makes"):
                space_made(wrong, around)


def test_each_of_its_spaces_is_opened_as_it_is(declaration: Declaration, tmp_path: Path) -> None:
    for model in declaration.models:
        for dimension in {model.dimensions[0], model.dimensions[-1]}:
            space = declaration.spaces(model).space(dimension)
            with trial(declaration.name, tmp_path / str(dimension)) as values:
                embedder = open_embedder(choice_for(space), Surroundings(values, tmp_path / "home"))
                embedder.close()
            assert embedder.facts.space == space


def test_its_check_makes_the_calls_that_it_takes_from_an_allowance_and_only_then(embedder: Embedder) -> None:
    embedder.check()
    assert embedder.calls == (2 if embedder.paid else 0)
    assert (embedder.check_units > 0) is embedder.paid
    statistics = embedder.statistics()
    assert statistics.calls == embedder.calls
    assert (statistics.in_flight is not None) is embedder.paid


def test_its_declaration_is_complete(declaration: Declaration) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*", declaration.name)
    assert declaration.title
    assert (Path(__file__).parents[2] / declaration.guide).is_file()
    assert declaration.default_rate is None or parse_rates(declaration.default_rate)
    assert bool(declaration.packages) is (declaration.extra is not None)
    for model in declaration.models:
        assert model.default_dimension in model.dimensions
        assert model.price is None or (model.price.as_of and model.price.source)


def test_it_says_which_of_its_settings_is_missing(declaration: Declaration, tmp_path: Path) -> None:
    for setting in declaration.settings:
        with trial(declaration.name, tmp_path / setting.name) as values:
            without = {name: value for name, value in values.items() if name != setting.name}
            if not setting.required:
                continue
            with pytest.raises(SettingsError, match=rf"the embedder {declaration.name} needs {setting.name}\b"):
                opened(declaration.name, without, tmp_path / "home")


def test_a_dimension_that_it_does_not_have_is_refused(declaration: Declaration, tmp_path: Path) -> None:
    known = [dimension for model in declaration.models for dimension in model.dimensions]
    other = next(dimension for dimension in count(77) if dimension not in known)
    with trial(declaration.name, tmp_path) as values, pytest.raises(UsageError, match=f"{other}"):
        opened(declaration.name, values, tmp_path / "home", dimension=other)


def test_a_model_that_it_does_not_have_is_refused(declaration: Declaration, tmp_path: Path) -> None:
    with trial(declaration.name, tmp_path) as values, pytest.raises(UsageError, match="'no-such-model'"):
        opened(declaration.name, values, tmp_path / "home", model="no-such-model")


def test_its_model_is_taken_by_the_name_that_its_space_remembers_with_and_without_version(
    declaration: Declaration, embedder: Embedder, tmp_path: Path
) -> None:
    space = embedder.facts.space
    names = [space.model] if declaration.names_files else [space.model, f"{space.model}@{space.version}"]
    with trial(declaration.name, tmp_path / "again") as values:
        for name in names:
            again = opened(declaration.name, values, tmp_path / "home", model=name, dimension=space.dimension)
            again.close()
            assert again.facts.space == space


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("vertex", "multimodalembedding@001"),
        ("vertex", "multimodalembedding"),
        ("gemini", "gemini-embedding-2"),
        ("azure", "vision-multimodal@2023-04-15"),
        ("onnx", "encoder"),
    ],
)
def test_a_model_is_taken_by_the_name_that_its_provider_gives_it(name: str, model: str, tmp_path: Path) -> None:
    with trial(name, tmp_path) as values:
        embedder = opened(name, values, tmp_path / "home", model=model)
        embedder.close()
    assert embedder.facts.space.model == model.partition("@")[0]


def test_another_version_of_a_model_is_refused(tmp_path: Path) -> None:
    with trial("vertex", tmp_path) as values, pytest.raises(UsageError, match=r"version 001, not .*@002"):
        opened("vertex", values, model="multimodalembedding@002")
