"""What every embedder promises, whatever is behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pinakes.embedders.base import Embedder, Picture
from pinakes.embedders.registry import Choice, Surroundings, open_embedder
from pinakes.errors import SourceError, UnreadableQueryError, UsageError
from pinakes.types import Failure, Image
from tests.fakes.azure import AzureFake
from tests.fakes.gemini import GeminiFake
from tests.fakes.vertex import VertexFake
from tests.tiny_models import clip, vision

OPENED = ("palette", "azure", "vertex", "gemini", "clip", "onnx")


def picture(name: str, data: bytes) -> Picture:
    return Picture(Image(name, f"file:///{name}", f"md5:{name}", len(data)), lambda: data)


def jpeg(seed: int) -> bytes:
    out = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Pillow.fromarray(pixels).resize((320, 240)).save(out, format="JPEG")
    return out.getvalue()


def gone() -> bytes:
    raise SourceError("the file is gone")


@pytest.fixture(params=OPENED)
def embedder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Embedder]:
    with ExitStack() as stack:
        values: dict[str, str] = {}
        fakes: dict[str, Callable[[], AzureFake | GeminiFake | VertexFake]] = {
            "azure": AzureFake,
            "gemini": GeminiFake,
            "vertex": VertexFake,
        }
        if request.param in fakes:
            values = dict(stack.enter_context(fakes[request.param]()).environment)
        elif request.param == "clip":
            values = {"PINAKES_CLIP_PATH": str(clip(tmp_path / "clip"))}
        elif request.param == "onnx":
            values = {"PINAKES_ONNX_PATH": str(vision(tmp_path / "encoder" / "model.onnx", dimension=32))}
        yield open_embedder(Choice(request.param), Surroundings(values, tmp_path / "home"))


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


def test_a_text_is_a_vector_of_the_same_space_or_is_said_to_be_unreadable(embedder: Embedder) -> None:
    if embedder.facts.space.provider == "onnx":
        with pytest.raises(UnreadableQueryError, match="no text"):
            embedder.embed_text("a dark blue house")
        return
    reading = embedder.embed_text("a dark blue house")
    assert reading.vector.shape == (embedder.facts.space.dimension,)
    assert reading.vector.dtype == np.float32
    assert reading.vector.any()


def test_its_facts_are_complete(embedder: Embedder) -> None:
    space = embedder.facts.space
    assert space.provider in OPENED
    assert space.version not in ("", "latest")
    assert embedder.facts.description
    assert embedder.facts.workers >= 1
    if space.provider in {"azure", "vertex", "gemini"}:
        assert embedder.facts.price.per_image > 0
        assert embedder.facts.price.source


def values_of(folder: Path) -> dict[str, str]:
    """Settings with which every embedder opens; none of the services is there."""
    values = {"PINAKES_AZURE_ENDPOINT": "http://127.0.0.1:1", "PINAKES_AZURE_KEY": "0" * 32}
    values |= {"PINAKES_VERTEX_PROJECT": "p", "PINAKES_GEMINI_API_KEY": "k"}
    values |= {"PINAKES_CLIP_PATH": str(clip(folder / "clip"))}
    return values | {"PINAKES_ONNX_PATH": str(vision(folder / "encoder" / "model.onnx", dimension=32))}


@pytest.mark.parametrize("name", OPENED)
def test_a_dimension_that_it_does_not_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="77"):
        open_embedder(Choice(name, dimension=77), Surroundings(values_of(tmp_path), tmp_path / "home"))


@pytest.mark.parametrize("name", OPENED)
def test_a_model_that_it_does_not_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'no-such-model'"):
        open_embedder(Choice(name, model="no-such-model"), Surroundings(values_of(tmp_path), tmp_path / "home"))


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
    opened = open_embedder(Choice(name, model=model), Surroundings(values_of(tmp_path), tmp_path / "home"))
    assert opened.facts.space.model == model.partition("@")[0]
