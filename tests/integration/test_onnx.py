"""Any image encoder in one ONNX file: shapes, settings, outputs, and what is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fastembed.image.transform.operators import Compose
from onnx import TensorProto
from onnx.external_data_helper import convert_model_to_external_data
from onnxruntime.quantization import quantize_dynamic

from pinakes.embedders.base import Embedder, Picture
from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.local.lookahead import ahead
from pinakes.embedders.local.onnx import OnnxImage
from pinakes.embedders.local.onnx_files import external_data
from pinakes.embedders.local.preprocessing import Preprocessing, read_wishes
from pinakes.embedders.registry import open_embedder
from pinakes.errors import EmbedderError, SettingsError, UnreadableQueryError, UsageError
from pinakes.types import ErrorClass, Failure, Image, Vector
from tests import tiny_models
from tests.pictures import photo, saved, scene
from tests.trials import opened

ROUND = {"size": 224, "resize": "squash", "resample": "bicubic"}


def picture(data: bytes) -> Picture:
    return Picture(Image("a.jpg", "file:///a.jpg", "md5:0", len(data)), lambda: data)


def embedded(embedder: Embedder, files: Sequence[bytes]) -> list[Vector | Failure]:
    results = dict(embedder.embed_images([picture(data) for data in files]))
    return [results[index] for index in range(len(files))]


def vectors(embedder: Embedder, files: Sequence[bytes]) -> np.ndarray:
    found = embedded(embedder, files)
    assert not [one for one in found if isinstance(one, Failure)]
    return np.stack([one for one in found if not isinstance(one, Failure)])


def model(folder: Path, settings: dict[str, object] | None = None, **options: object) -> OnnxImage:
    tiny_models.vision(folder / "model.onnx", **({"dimension": 32} | options))  # type: ignore[arg-type]
    if settings is not None:
        (folder / "model.json").write_text(json.dumps(settings))
    return OnnxImage(folder, threads=1)


FILES = [saved(scene((240 + 10 * number, 230)), "PNG") for number in range(5)]


def test_nchw_and_nhwc_free_and_fixed_batches_and_sides_give_the_same_vectors(tmp_path) -> None:
    variants = [
        {},
        {"layout": "NHWC"},
        {"batch": 1},
        {"batch": 3},
        {"batch": 3, "layout": "NHWC"},
        {"side": "any"},
        {"side": "any", "layout": "NHWC"},
    ]
    found = [vectors(model(tmp_path / str(n), **options), FILES) for n, options in enumerate(variants)]
    for other in found[1:]:
        assert np.abs(other - found[0]).max() < 1e-5


def test_the_vector_is_what_the_network_computes(tmp_path) -> None:
    own = model(tmp_path, {"resize": "squash", "mean": [0.0], "std": [1.0]})
    (found,) = vectors(own, [photo((51, 102, 204), (224, 224), "PNG")])
    features = np.repeat(np.array([51, 102, 204]) / 255, tiny_models.GRID**2)
    # onnxruntime adds up 3,136 pixels in float32
    assert np.allclose(found, features @ tiny_models.projection(32), rtol=1e-4)
    assert found.dtype == np.float32


def test_the_pictures_of_two_batches_are_decoded_at_once_and_the_model_runs_for_one_at_a_time(tmp_path) -> None:
    own = model(tmp_path)
    assert own.facts.workers == 2
    both_read = threading.Barrier(2, timeout=60)
    session, at_work, sizes = own._session, threading.Lock(), []

    class Watched:
        def run_with_ort_values(self, names: list[str], given: dict[str, Any]) -> list[Any]:
            assert at_work.acquire(blocking=False), "two runs at once"
            try:
                sizes.extend(inputs.shape()[0] for inputs in given.values())
                return session.run_with_ort_values(names, given)
            finally:
                at_work.release()

    own._session = Watched()

    def waiting(data: bytes) -> bytes:
        both_read.wait()  # for a picture of the other batch
        return data

    batches = [[Picture(picture(data).image, lambda data=data: waiting(data)) for data in FILES] for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda batch: dict(own.embed_images(batch)), batches)
    assert sizes == [5, 5]
    assert all((one[index] == other[index]).all() for index in range(len(FILES)))


def test_the_batch_of_the_settings_counts_where_the_model_leaves_it_open(tmp_path) -> None:
    tiny_models.vision(tmp_path / "free" / "model.onnx", dimension=32)
    tiny_models.vision(tmp_path / "three" / "model.onnx", dimension=32, batch=3)

    def sizes(folder: str, wanted: str) -> list[int]:
        values = {"PINAKES_ONNX_PATH": str(tmp_path / folder), "PINAKES_MODEL_BATCH": wanted}
        own = open_embedder(Choice("onnx"), Surroundings(values, tmp_path))
        assert isinstance(own, OnnxImage)
        found, run = [], own._run
        own._run = lambda inputs: found.append(len(inputs)) or run(inputs)  # type: ignore[func-returns-value, method-assign]
        vectors(own, FILES)
        return found

    assert sizes("free", "2") == [2, 2, 1]
    assert sizes("three", "2") == [3, 3]
    with pytest.raises(SettingsError, match="PINAKES_MODEL_BATCH='many' must be a number of pictures, 1 to 1,024"):
        sizes("free", "many")


def test_half_precision_and_bytes_are_taken_too(tmp_path) -> None:
    settings = {"resize": "squash"}
    (full,) = vectors(model(tmp_path / "a", settings), FILES[:1])
    (half,) = vectors(model(tmp_path / "b", settings, dtype=TensorProto.FLOAT16), FILES[:1])
    assert np.abs(full - half).max() < 0.02 * np.abs(full).max()
    plain = {"resize": "squash", "mean": [0.0], "std": [1.0]}
    (floats,) = vectors(model(tmp_path / "c", plain), FILES[:1])
    (whole,) = vectors(model(tmp_path / "d", settings, dtype=TensorProto.UINT8), FILES[:1])
    assert np.abs(whole / 255 - floats).max() < 1e-4


def test_blue_first_is_red_first_turned_round(tmp_path) -> None:
    rgb = model(tmp_path / "a", {"mean": [0.5], "std": [0.5]})
    bgr = model(tmp_path / "b", {"mean": [0.5], "std": [0.5], "channels": "BGR"})
    (one,) = vectors(rgb, [photo((10, 100, 200), kind="PNG")])
    (other,) = vectors(bgr, [photo((200, 100, 10), kind="PNG")])
    assert np.abs(one - other).max() < 1e-5


@pytest.mark.parametrize(
    ("outputs", "settings", "same"),
    [
        ({"logits": "vector", "tokens": "tokens"}, {}, "vector"),
        ({"tokens": "tokens", "pooled": "vector"}, {}, "vector"),
        ({"tokens": "tokens"}, {}, "vector"),
        ({"tokens": "tokens"}, {"pooling": "mean"}, "mean"),
        ({"tokens": "tokens", "pooled": "vector"}, {"output": "tokens", "pooling": "mean"}, "mean"),
        ({"map": "map"}, {}, "map"),
        ({"pooled": "vector", "map": "map"}, {"output": "map"}, "map"),
    ],
)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_output_is_chosen_and_pooled(outputs, settings, same, layout, tmp_path) -> None:
    base = {"resize": "squash", "mean": [0.0], "std": [1.0]}
    own = model(tmp_path, base | settings, outputs=outputs, layout=layout)
    colour = np.array([51, 102, 204]) / 255
    (found,) = vectors(own, [photo((51, 102, 204), (224, 224), "PNG")])
    matrix = tiny_models.projection(32)
    vector = np.repeat(colour, tiny_models.GRID**2) @ matrix
    expected = {
        "vector": vector,
        "mean": vector + tiny_models.projection(32, 1)[: tiny_models.GRID**2].sum(axis=0) / (tiny_models.GRID**2 + 1),
        "map": colour @ matrix[:3],
    }[same]
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_bad_picture_costs_only_itself(tmp_path) -> None:
    own = model(tmp_path, batch=2)
    results = embedded(own, [FILES[0], b"GIF89a", FILES[1], b"", FILES[2]])
    failures = {n: one.error_class for n, one in enumerate(results) if isinstance(one, Failure)}
    assert failures == {1: ErrorClass.UNDECODABLE, 3: ErrorClass.EMPTY}
    good = np.stack([one for one in results if not isinstance(one, Failure)])
    assert np.abs(good - vectors(own, FILES[:3])).max() < 1e-6
    assert own.calls == 6


def test_a_vector_without_a_direction_is_a_failure(tmp_path) -> None:
    own = model(tmp_path, {"mean": [0.0], "std": [1.0]})
    (black,) = embedded(own, [photo((0, 0, 0), kind="PNG")])
    assert isinstance(black, Failure)
    assert black.error_class is ErrorClass.ZERO_VECTOR


def test_words_are_refused_because_there_is_no_text_side(tmp_path) -> None:
    with pytest.raises(UnreadableQueryError, match=r"has no text side, so it cannot read 'a horse'"):
        model(tmp_path).embed_text("a horse")


def test_the_space_names_the_model_and_its_content(tmp_path) -> None:
    first = model(tmp_path / "dinov2-small").facts.space
    assert first.name.startswith("onnx_dinov2_small_")
    assert (first.dimension, len(first.version)) == (32, 12)
    assert model(tmp_path / "again" / "dinov2-small").facts.space == first
    assert model(tmp_path / "x" / "dinov2-small", seed=5).facts.space != first
    assert model(tmp_path / "y" / "dinov2-small", {"resample": "lanczos"}).facts.space.version != first.version
    assert model(tmp_path / "z", {"name": "ours"}).facts.space.model == "ours"


def test_weights_in_files_of_their_own_are_part_of_the_version(tmp_path) -> None:
    path = tiny_models.vision(tmp_path / "m" / "model.onnx", dimension=32)
    assert external_data(path) == []
    loaded = onnx.load(path)
    convert_model_to_external_data(loaded, location="weights.bin", size_threshold=0)
    onnx.save(loaded, path)
    assert external_data(path) == ["weights.bin"]
    before = OnnxImage(path, threads=1)
    weights = path.parent / "weights.bin"
    values = np.frombuffer(weights.read_bytes(), np.float32).copy()
    values[0] += 1
    weights.write_bytes(values.tobytes())
    assert OnnxImage(path, threads=1).facts.space.version != before.facts.space.version


def test_a_dimension_that_is_not_the_models_is_refused(tmp_path) -> None:
    model(tmp_path)
    values = {"PINAKES_ONNX_PATH": str(tmp_path)}
    assert opened("onnx", values, tmp_path / "home", dimension=32).facts.space.dimension == 32
    with pytest.raises(UsageError, match="has vectors of 32 dimensions, not 512"):
        opened("onnx", values, tmp_path / "home", dimension=512)


@pytest.mark.parametrize("path", [None, "", "/nowhere/at/all"])
def test_without_a_model_it_says_what_to_put_where(path) -> None:
    with pytest.raises(EmbedderError, match=r"no image model was found.*PINAKES_ONNX_PATH"):
        OnnxImage(path)


@pytest.mark.parametrize(
    ("outputs", "chosen"),
    [
        (("logits", "pooled"), "pooled"),
        (("last_hidden_state", "class_scores", "pooler_output", "image_embeds"), "image_embeds"),
        (("probabilities",), "probabilities"),
        (("output_0", "output_1"), "output_0"),
    ],
)
def test_an_embedding_is_taken_rather_than_the_scores_of_classes(outputs, chosen, tmp_path) -> None:
    kinds = {name: "tokens" if name == "last_hidden_state" else "vector" for name in outputs}
    tiny_models.vision(tmp_path / "model.onnx", dimension=32, outputs=kinds)
    found = vectors(OnnxImage(tmp_path, threads=1), FILES[:1])
    (tmp_path / "model.json").write_text(json.dumps({"output": chosen}))
    named = OnnxImage(tmp_path, threads=1)
    assert OnnxImage(tmp_path, threads=1).facts.space == named.facts.space
    assert np.array_equal(found, vectors(named, FILES[:1]))


def test_a_model_for_one_picture_may_give_its_vector_without_a_batch(tmp_path) -> None:
    plain = vectors(model(tmp_path / "a", batch=1), FILES)
    tiny_models.vision(tmp_path / "b" / "model.onnx", dimension=32, batch=1, outputs={"image_embeds": "bare"})
    bare = OnnxImage(tmp_path / "b", threads=1)
    assert bare.facts.space.dimension == 32
    assert np.array_equal(vectors(bare, FILES), plain)


def test_in_a_quantised_model_a_vector_does_not_depend_on_its_neighbours(tmp_path) -> None:
    """What is scaled to 8 bits by its largest number would otherwise be scaled by the largest of all pictures."""
    tiny_models.vision(tmp_path / "whole.onnx", dimension=32)
    quantize_dynamic(tmp_path / "whole.onnx", tmp_path / "quantised.onnx")
    own = OnnxImage(tmp_path / "quantised.onnx", threads=1)
    dark, bright = photo((20, 25, 30), (224, 224), "PNG"), photo((255, 255, 250), (224, 224), "PNG")
    alone = vectors(own, [dark])
    assert np.array_equal(vectors(own, [bright, dark, bright])[1], alone[0])
    whole = vectors(OnnxImage(tmp_path / "whole.onnx", threads=1), [dark])
    assert np.abs(alone - whole).max() < 0.05 * np.abs(whole).max()


def test_several_models_in_one_folder_must_be_told_apart(tmp_path) -> None:
    for name in ("small.onnx", "large.onnx"):
        tiny_models.vision(tmp_path / name, dimension=32)
    with pytest.raises(EmbedderError, match=r"large\.onnx, small\.onnx.*\"file\""):
        OnnxImage(tmp_path)
    (tmp_path / "model.toml").write_text('file = "small.onnx"\n')
    assert OnnxImage(tmp_path).facts.space.model == "small"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sise": 224}, "'sise' cannot be used"),
        ({"size": 0}, "'size' cannot be used"),
        ({"crop": 256}, "takes pictures of height 224, and its settings make them 256"),
        ({"channels": "L"}, "takes 3 channels, and its settings say L"),
        ({"mean": [0.5, 0.5]}, "mean in its settings has 2 values"),
        ({"std": [0.0]}, "a std of 0 in its settings is not possible"),
        ({"output": "features"}, "no output 'features'; it has: image_embeds"),
        ({"batch": 8}, "takes 4 pictures at once, and its settings say a batch of 8"),
        ({"file": "gone.onnx"}, "name the file 'gone.onnx', which is not there"),
    ],
)
def test_settings_that_contradict_the_model_are_refused(settings, message, tmp_path) -> None:
    with pytest.raises(EmbedderError, match=message):
        model(tmp_path, settings, batch=4)


def test_a_text_model_is_not_an_image_model(tmp_path) -> None:
    tiny_models.text(tmp_path / "model.onnx", dimension=32)
    with pytest.raises(EmbedderError, match=r"takes 2 inputs \(input_ids, attention_mask\)"):
        OnnxImage(tmp_path)


def test_a_file_that_is_no_model_is_refused_by_name(tmp_path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(EmbedderError, match=r"onnxruntime cannot load .*model\.onnx"):
        OnnxImage(tmp_path)


def test_a_batch_that_the_network_refuses_stops_with_the_mend(tmp_path) -> None:
    own = model(tmp_path, {"size": 300, "crop": 300}, side="any")  # 5 x 5 cells do not fit the projection
    with pytest.raises(EmbedderError, match=r"failed on a batch of shape \(1, 3, 300, 300\)"):
        embedded(own, FILES[:1])


TRANSFORMERS = [
    {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "resample": 3},
    {"size": {"shortest_edge": 224}, "crop_size": 224, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    {"size": {"height": 224, "width": 224}, "do_center_crop": False, "resample": 2},
    {"size": {"shortest_edge": 200}, "crop_size": {"height": 224, "width": 224}},
    {"image_processor_type": "ConvNextFeatureExtractor", "size": {"shortest_edge": 224}, "crop_pct": 0.9},
    {"image_processor_type": "ConvNextFeatureExtractor", "size": {"shortest_edge": 384}},
]


@pytest.mark.parametrize("changes", TRANSFORMERS)
@pytest.mark.parametrize("size", [(300, 260), (261, 517), (90, 60), (640, 97)])
def test_a_preprocessor_config_is_followed_to_the_pixel(changes, size, tmp_path) -> None:
    tiny_models.preprocessor(tmp_path, **changes)
    config = tiny_models.PREPROCESSOR | changes
    (expected,) = Compose.from_config(config)([scene(size)])
    own = Preprocessing.of(
        read_wishes(tmp_path), fixed=(None, None), planes=3, layout="NCHW", dtype="float32", model="m"
    )
    found = own(scene(size))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5


def test_our_settings_win_over_the_preprocessor_config_key_by_key(tmp_path) -> None:
    tiny_models.preprocessor(tmp_path)
    (tmp_path / "model.json").write_text('{"resample": "lanczos"}')
    wishes = read_wishes(tmp_path)
    assert (wishes.resample, wishes.crop, wishes.mean) == ("lanczos", (224, 224), tiny_models.MEAN)


@pytest.mark.parametrize("key", ["rescale_offset", "include_top", "do_pad"])
def test_preprocessing_that_is_not_done_here_is_refused(key, tmp_path) -> None:
    tiny_models.preprocessor(tmp_path, **{key: True})
    with pytest.raises(EmbedderError, match=f"asks for '{key}'"):
        read_wishes(tmp_path)


def test_padding_keeps_the_whole_picture_on_the_mean_colour(tmp_path) -> None:
    (tmp_path / "model.json").write_text('{"resize": "pad", "size": 64, "mean": [0.2, 0.4, 0.6], "std": [1.0]}')
    own = Preprocessing.of(
        read_wishes(tmp_path), fixed=(None, None), planes=3, layout="NHWC", dtype="float32", model="m"
    )
    found = own(scene((200, 100)))
    assert found.shape == (64, 64, 3)
    assert np.abs(found[:16]).max() < 1e-6
    assert np.abs(found[16:48]).max() > 0.1


def test_the_lookahead_keeps_the_order_and_its_bound() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    taken = []
    for result in ahead(items(), lambda number: number * 2, threads=3, depth=8):
        taken.append(result)
        assert len(drawn) - len(taken) <= 8
    assert taken == [2 * number for number in range(100)]


def test_the_lookahead_raises_in_turn_and_stops_when_it_is_closed() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise OSError("three")
        return number

    stream = ahead(range(10), work, threads=2, depth=4)
    assert [next(stream), next(stream), next(stream)] == [0, 1, 2]
    with pytest.raises(OSError, match="three"):
        next(stream)
    before = threading.active_count()
    stream = ahead(range(1000), lambda number: number, threads=4, depth=4)
    next(stream)
    stream.close()
    assert threading.active_count() == before
