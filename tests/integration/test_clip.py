"""Pairs of image and text models through fastembed: tiny real ONNX models in the real ones' folders."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fastembed import ImageEmbedding, TextEmbedding
from PIL import Image as Pillow

from pinakes.embedders.base import Embedder, Picture
from pinakes.embedders.local.clip import Clip
from pinakes.embedders.local.clip_models import PAIRS
from pinakes.embedders.local.preprocessing import MAX_ASPECT
from pinakes.errors import EmbedderError, SourceError, UnreadableQueryError, UsageError
from pinakes.types import ErrorClass, Failure, Image, Vector
from tests import tiny_models
from tests.pictures import photo, plain, rotated, saved, scene
from tests.trials import opened
from tests.waiting import PATIENCE

MODEL = "Qdrant/clip-ViT-B-32"
"""The pair that `tiny_models.clip` has the files of."""


def picture(data: bytes) -> Picture:
    return Picture(Image("a.jpg", "file:///a.jpg", "md5:0", len(data)), lambda: data)


def embedded(embedder: Embedder, files: Sequence[bytes]) -> list[Vector | Failure]:
    results = dict(embedder.embed_images([picture(data) for data in files]))
    return [results[index] for index in range(len(files))]


def vectors(embedder: Embedder, files: Sequence[bytes]) -> np.ndarray:
    found = embedded(embedder, files)
    assert not [one for one in found if isinstance(one, Failure)]
    return np.stack([one for one in found if not isinstance(one, Failure)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    return Clip(MODEL, path=folder, threads=1)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


SHAPES = [(300, 260), (224, 224), (225, 451), (100, 60), (640, 97), (1, 9)]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("Qdrant/clip-ViT-B-32", tiny_models.clip),
        ("google/siglip2-base-patch16-224", tiny_models.siglip),
        ("jinaai/jina-clip-v1", tiny_models.jina),
    ],
)
def test_pictures_get_the_vectors_that_fastembed_gives_them(name, make, tmp_path) -> None:
    folder = make(tmp_path)
    side = folder / "vision" if (folder / "vision").is_dir() else folder
    pair = next(pair for pair in PAIRS if pair.name == name)
    reference = ImageEmbedding(pair.vision.model, specific_model_path=str(side), cache_dir=str(tmp_path), cuda=False)
    pictures = [scene(size) for size in SHAPES]
    expected = np.stack(list(reference.embed(pictures)))
    found = vectors(Clip(name, path=folder, threads=1), [saved(one, "PNG") for one in pictures])
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize(("kind", "size"), [("JPEG", (800, 600)), ("JPEG", (2400, 1800))])
def test_jpegs_too_and_large_ones_that_are_decoded_at_a_reduced_scale_nearly(kind, size, clip, folder) -> None:
    data = saved(scene(size), kind, quality=90)
    reference = ImageEmbedding(
        "Qdrant/clip-ViT-B-32-vision", specific_model_path=str(folder / "vision"), cache_dir=str(folder), cuda=False
    )
    path = folder / "large.jpg"
    path.write_bytes(data)
    expected = next(iter(reference.embed([str(path)])))
    (found,) = vectors(clip, [data])
    assert np.abs(found - expected).max() < (1e-5 if size == (800, 600) else 1e-3)


def test_texts_get_fastembeds_vectors_at_length_one(clip, folder) -> None:
    reference = TextEmbedding(
        "Qdrant/clip-ViT-B-32-text", specific_model_path=str(folder / "text"), cache_dir=str(folder), cuda=False
    )
    raw = next(iter(reference.embed(["a painting of the red sea"])))
    found = clip.embed_text("a painting of the red sea").vector
    assert np.linalg.norm(raw) > 2
    assert np.abs(found - raw / np.linalg.norm(raw)).max() < 1e-5
    assert found.dtype == np.float32


def test_words_find_their_pictures(clip) -> None:
    names = list(tiny_models.WORDS)
    pictures = vectors(clip, [photo(colour, (300, 240), "PNG") for colour in tiny_models.WORDS.values()])
    words = np.stack([clip.embed_text(f"a painting of the {name} sea").vector for name in names])
    assert [names[best] for best in (words @ pictures.T).argmax(axis=1)] == names


def test_a_bad_picture_costs_only_itself(clip) -> None:
    good = [saved(scene((100 + 7 * number, 90)), "PNG") for number in range(40)]
    mixed = list(good)
    mixed[3], mixed[17], mixed[39] = b"", b"not a picture", saved(scene((300, 300)), "JPEG")[:2000]
    results = embedded(clip, mixed)
    expected = vectors(clip, good)
    assert [one.error_class for one in results if isinstance(one, Failure)] == [
        ErrorClass.EMPTY,
        ErrorClass.UNDECODABLE,
        ErrorClass.UNDECODABLE,
    ]
    for index, one in enumerate(results):
        if index not in (3, 17, 39):
            assert not isinstance(one, Failure)
            assert np.abs(one - expected[index]).max() < 1e-6


def test_a_picture_that_cannot_be_read_fails_as_unreadable(clip) -> None:
    def gone() -> bytes:
        raise SourceError("b.jpg is gone")

    batch = [picture(photo()), Picture(Image("b.jpg", "file:///b.jpg", "md5:1", 1), gone)]
    results = dict(clip.embed_images(batch))
    assert results[1] == Failure(ErrorClass.UNREADABLE, "b.jpg is gone")
    assert not isinstance(results[0], Failure)


def test_the_same_picture_gets_the_same_vector_again(clip, folder) -> None:
    data = saved(scene((300, 200)), "JPEG")
    first, again = vectors(clip, [data]), vectors(Clip(MODEL, path=folder, threads=1), [data])
    assert np.array_equal(first, again)


def test_calls_count_pictures_and_texts_that_were_embedded(folder) -> None:
    own = Clip(MODEL, path=folder, threads=1)
    embedded(own, [photo(), b"", photo()])
    own.embed_text("red")
    assert own.calls == 3


def test_an_upright_vector_comes_from_a_picture_that_lies_on_its_side(clip) -> None:
    upright, turned = vectors(clip, [rotated(1, "PNG"), rotated(6, "PNG")])
    assert np.abs(upright - turned).max() < 1e-5


def test_a_strip_of_pixels_does_not_fill_the_memory(clip) -> None:
    longest = []
    resize = Pillow.Image.resize

    def watched(self: Pillow.Image, size: tuple[int, int], *args: object) -> Pillow.Image:
        longest.append(max(size))
        return resize(self, size, *args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pillow.Image, "resize", watched)
        vectors(clip, [saved(plain(size=(60_000, 2)), "PNG"), saved(plain(size=(1, 50_000)), "PNG")])
    assert max(longest) <= MAX_ASPECT * tiny_models.SIDE


def test_a_model_of_a_fixed_batch_size_takes_any_number_of_pictures(tmp_path, clip) -> None:
    fixed = Clip(MODEL, path=tiny_models.clip(tmp_path, batch=4), threads=1)
    files = [saved(scene((90 + number, 80)), "PNG") for number in range(6)]
    assert np.abs(vectors(fixed, files) - vectors(clip, files)).max() < 1e-6


def test_words_beyond_the_last_token_are_named(folder, tmp_path) -> None:
    short = Clip(MODEL, path=tiny_models.clip(tmp_path, tokens=6), threads=1)
    text = "A painting, of the red (blue) sea!"  # the comma is a token too, so "the" is already the fifth
    reading = short.embed_text(text)
    assert (reading.read, reading.unread) == (("A", "painting", "of"), ("the", "red", "blue", "sea"))
    assert short.facts.limits.max_words == 2


def test_a_word_that_the_limit_cuts_in_two_is_named_too(tmp_path) -> None:
    folder = tiny_models.clip(tmp_path)
    tiny_models.text(folder / "text" / "model.onnx", rows=514)
    tiny_models.letters(folder / "text", tokens=14)  # two of them for the start and the end
    reading = Clip(MODEL, path=folder, threads=1).embed_text("Mère,  Sea «boat»  Étoile")
    assert (reading.read, reading.unread) == (("Mère", "Sea"), ("boat", "Étoile"))


def test_words_that_the_vocabulary_lacks_are_named(clip) -> None:
    reading = clip.embed_text("the red zebra")
    assert (reading.read, reading.unread) == (("the", "red"), ("zebra",))


@pytest.mark.parametrize("text", ["", "   ", "zebra"])
def test_a_text_without_a_readable_word_is_refused(clip, text) -> None:
    with pytest.raises(UnreadableQueryError, match="no word"):
        clip.embed_text(text)


def test_without_files_it_says_what_to_download_and_opens_no_socket(no_network, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FASTEMBED_CACHE_PATH", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(EmbedderError) as caught:
        Clip(MODEL)
    text = str(caught.value)
    assert "https://huggingface.co/Qdrant/clip-ViT-B-32-vision" in text
    assert "https://huggingface.co/Qdrant/clip-ViT-B-32-text" in text
    assert "model.onnx" in text
    assert "PINAKES_CLIP_PATH=" in text
    assert "PINAKES_CLIP_DOWNLOAD=1" in text
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_lacks_a_file_is_told_which(no_network, folder, tmp_path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "text" / "tokenizer.json").unlink()
    with pytest.raises(
        EmbedderError,
        match=r"text lacks tokenizer\.json: run pinakes models get clip-ViT-B-32 .* download .* into .*text\.",
    ):
        Clip(MODEL, path=copy)


def test_pictures_and_texts_are_embedded_without_a_socket(no_network, folder) -> None:
    own = Clip(MODEL, path=folder, threads=1)
    vectors(own, [photo()])
    own.embed_text("red")


def test_folders_with_the_names_of_the_repositories_are_found(folder, tmp_path) -> None:
    shutil.copytree(folder / "vision", tmp_path / "clip-ViT-B-32-vision")
    shutil.copytree(folder / "text", tmp_path / "clip-ViT-B-32-text")
    assert Clip(MODEL, path=tmp_path).facts.space == Clip(MODEL, path=folder).facts.space


def test_files_in_a_download_cache_make_the_same_space_without_a_socket(
    no_network, folder, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("FASTEMBED_CACHE_PATH", str(tmp_path))
    for role in ("vision", "text"):
        repository = tmp_path / f"models--Qdrant--clip-ViT-B-32-{role}"
        snapshot = repository / "snapshots" / "0123abc"
        shutil.copytree(folder / role, snapshot)
        weights = snapshot / "model.onnx"
        blob = repository / "blobs" / hashlib.sha256(weights.read_bytes()).hexdigest()
        blob.parent.mkdir()
        weights.rename(blob)
        weights.symlink_to(Path("../../blobs") / blob.name)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("0123abc")
    cached = Clip(MODEL, threads=1)
    assert cached.facts.space == Clip(MODEL, path=folder).facts.space
    vectors(cached, [photo()])
    monkeypatch.delenv("FASTEMBED_CACHE_PATH")
    assert Clip(MODEL, path=tmp_path, threads=1).facts.space == cached.facts.space


def test_other_weights_another_tokenizer_or_another_preprocessing_are_another_space(folder, tmp_path) -> None:
    others = [tiny_models.clip(tmp_path / str(number), seed=number) for number in range(3)]
    tiny_models.preprocessor(others[0] / "vision", resample=2)
    tiny_models.tokenizer(others[1] / "text", tokens=40)
    names = {Clip(MODEL, path=one).facts.space.name for one in [folder, *others]}
    assert len(names) == 4
    assert all(name.startswith("clip_clip_vit_b_32_") for name in names)
    assert all(name.endswith("_512_c1") for name in names)


def test_digests_are_remembered_and_a_damaged_memo_does_no_harm(folder, tmp_path) -> None:
    memo = tmp_path / "home" / "digests.json"
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    version = Clip(MODEL, path=copy, memo=memo).facts.space.version
    assert len(json.loads(memo.read_text())) == 2
    memo.write_text("{")
    assert Clip(MODEL, path=copy, memo=memo).facts.space.version == version


def test_a_memo_that_cannot_be_written_leaves_nothing_in_its_folder(folder, tmp_path) -> None:
    memo = tmp_path / "home" / "digests.json"
    memo.mkdir(parents=True)
    Clip(MODEL, path=Path(shutil.copytree(folder, tmp_path / "copy")), memo=memo)
    assert list(memo.parent.iterdir()) == [memo]


def test_a_dimension_that_is_not_the_models_is_refused(folder, tmp_path) -> None:
    values = {"PINAKES_CLIP_PATH": str(folder)}
    assert opened("clip", values, tmp_path, model=MODEL, dimension=512).facts.space.dimension == 512
    with pytest.raises(UsageError, match="has vectors of 512 dimensions, not 256"):
        opened("clip", values, tmp_path, model=MODEL, dimension=256)


def test_files_of_another_model_are_refused(tmp_path) -> None:
    wrong = Clip(MODEL, path=tiny_models.clip(tmp_path, dimension=64), threads=1)
    with pytest.raises(EmbedderError, match=r"gives vectors of 64 components .* has 512: choose the --model"):
        embedded(wrong, [photo()])
    with pytest.raises(EmbedderError, match="64 components"):
        wrong.embed_text("red")


def test_missing_files_are_told_before_anything_heavy_is_imported(tmp_path) -> None:
    script = f"""
import sys
from pathlib import Path
from pinakes.embedders.local.clip import Clip
from pinakes.errors import EmbedderError
try:
    Clip("Qdrant/clip-ViT-B-32", path=Path({str(tmp_path)!r}))
except EmbedderError as exc:
    print(sorted({{"fastembed", "onnxruntime", "tokenizers"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout == "[]\n"


def test_a_pair_is_found_by_the_name_that_its_space_remembers(folder, tmp_path) -> None:
    space = Clip(MODEL, path=folder).facts.space
    values = {"PINAKES_CLIP_PATH": str(folder)}
    for name in (space.model, "Qdrant/clip-ViT-B-32", "CLIP-vit-b-32"):
        assert opened("clip", values, tmp_path, model=name, dimension=space.dimension).facts.space == space


def test_a_truncated_model_file_is_refused_by_name(folder, tmp_path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    weights = copy / "vision" / "model.onnx"
    weights.write_bytes(weights.read_bytes()[:-50])
    with pytest.raises(EmbedderError, match=r"vision/model\.onnx is not an ONNX model, or it is incomplete"):
        Clip(MODEL, path=copy)


def test_a_git_lfs_pointer_is_told_from_a_model(folder, tmp_path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "text" / "model.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(EmbedderError, match="Git LFS pointer"):
        Clip(MODEL, path=copy)


@pytest.mark.parametrize("module", ["fastembed", "onnxruntime"])
def test_a_missing_extra_names_the_install(module, folder, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    if module == "onnxruntime":
        monkeypatch.delitem(sys.modules, "onnxruntime.capi.onnxruntime_pybind11_state", raising=False)
    with pytest.raises(EmbedderError, match=r"\.venv/bin/python -m pip install -e '\.\[clip\]'"):
        embedded(Clip(MODEL, path=folder, device="cuda" if module == "onnxruntime" else "cpu"), [photo()])


def test_cuda_that_is_not_there_is_refused(folder) -> None:
    with pytest.raises(EmbedderError, match="onnxruntime-gpu"):
        Clip(MODEL, path=folder, device="cuda")
