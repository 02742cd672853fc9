"""The files of an ONNX model: which there are, whether they are complete, and the version that their content makes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import re
import threading
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pinakes.errors import EmbedderError
from pinakes.files import private_folder, private_opener

VERSION_DIGITS: Final = 12
"""Hexadecimal digits of a version: 48 bits distinguish the models of one collection."""

_BLOB: Final = re.compile(r"[0-9a-f]{64}\Z")
_LFS: Final = b"version https://git-lfs"

_REMEMBERING: Final = threading.Lock()
"""Both models of a pair are hashed at once, and each adds its line to the memo."""


def external_data(model: Path) -> list[str]:
    """The names of the other files in which `model` keeps weights, relative to its folder; sorted.

    Only the fields that name them are read: ModelProto.graph (7), GraphProto.initializer (5), TensorProto.external_data (13)
    of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.

    Raises:
        EmbedderError: the file is missing or not an ONNX model.
    """
    names: set[str] = set()
    try:
        with _reading(model), model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            # What a clone without Git LFS leaves in place of a large file.
            if data[: len(_LFS)] == _LFS:
                raise EmbedderError(
                    f"{model} is a Git LFS pointer and not the model itself: run git lfs pull in its folder, or"
                    " download the file from the model's page."
                )
            for graph in _parts(data, 0, len(data), 7):
                for tensor in _parts(data, *graph, 5):
                    for entry in _parts(data, *tensor, 13):
                        pair = [data[slice(*part)] for key in (1, 2) for part in _parts(data, *entry, key)]
                        if pair[0] == b"location":
                            names.add(pair[1].decode("utf-8"))
    except (ValueError, IndexError) as exc:
        raise EmbedderError(f"{model} is not an ONNX model, or it is incomplete: download it again.") from exc
    return sorted(names)


def quantised_as_it_runs(model: Path) -> bool:
    """Whether a model quantises to 8 bits by the largest number in its whole batch of pictures.

    Such a model has an operator DynamicQuantizeLinear (of ONNX) or DynamicQuantizeMatMul (of onnxruntime).
    """
    # Names of operators are plain text in the file. Weights that hold this text by chance would only make it slower.
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"DynamicQuantize") >= 0


def content_version(models: Mapping[str, Path], settings: Mapping[str, Any], *, memo: Path | None = None) -> str:
    """The first 12 hexadecimal digits of a SHA-256 over everything that determines the vectors.

    Args:
        models: from the role of each model to its ONNX file. Weights in other files count too; paths do not.
        settings: everything else that determines a vector (preprocessing, the tokenizer); must be JSON.
        memo: a small file that stores the digests of large files by path, size and time, because hashing a CLIP takes
            about 2 s on a CPU without SHA instructions.

    Raises:
        EmbedderError: a file is missing or not an ONNX model.
    """
    files = {
        f"{role}/{number}": path
        for role, model in models.items()
        for number, path in enumerate([model, *(model.parent / name for name in external_data(model))])
    }
    with ThreadPoolExecutor(max_workers=2) as pool:
        digests = dict(zip(files, pool.map(lambda path: _digest(path, memo), files.values()), strict=True))
    # Whatever changes in these bytes changes the version of every local model, whose collections are then embedded again.
    whole = json.dumps([digests, settings], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(whole.encode()).hexdigest()[:VERSION_DIGITS]


def read_object(path: Path) -> dict[str, Any]:
    """The object in a file of a model: TOML if it is named so, otherwise JSON.

    Raises:
        EmbedderError: it cannot be read, or is not an object.
    """
    kind, parse = ("TOML", tomllib.loads) if path.suffix == ".toml" else ("JSON", json.loads)
    try:
        content = parse(path.read_text("utf-8"))
    except OSError as exc:
        raise EmbedderError(f"{path} cannot be read: {exc.strerror}.") from exc
    except ValueError as exc:
        raise EmbedderError(f"{path} is not {kind}: {exc}.") from exc
    if not isinstance(content, dict):
        raise EmbedderError(f"{path} must hold a JSON object ({{…}}).")
    return content


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn an error of reading into one that names the model file.

    Raises:
        EmbedderError: the file cannot be read.
    """
    try:
        yield
    except OSError as exc:
        raise EmbedderError(f"the model file {path} cannot be read: {exc.strerror}.") from exc


def _parts(data: mmap.mmap, start: int, end: int, number: int) -> Iterator[tuple[int, int]]:
    """Where the length-delimited fields of this number begin and end in the message data[start:end].

    See https://protobuf.dev/programming-guides/encoding.
    """
    at = start
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7  # 0: a number of variable length; 1, 5: 8 and 4 bytes; 2: a length and as many bytes
        if kind == 2:
            length, at = _varint(data, at)
            if at + length > end:
                raise ValueError("a field reaches beyond its message")
            if tag >> 3 == number:
                yield at, at + length
            at += length
        elif kind == 0:
            _, at = _varint(data, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number of more than 10 bytes")


def _digest(path: Path, memo: Path | None) -> str:
    """The SHA-256 of a file in hexadecimal; in Hugging Face's download cache, large files are named by it."""
    with _reading(path):
        real = path.resolve(strict=True)
        stat = real.stat()
    if path.is_symlink() and _BLOB.match(real.name):
        return real.name
    return _hashed(real, stat.st_size, stat.st_mtime_ns, memo)


@lru_cache(maxsize=64)
def _hashed(path: Path, size: int, modified: int, memo: Path | None) -> str:
    key = f"{path}|{size}|{modified}"
    if memo is not None and (known := _remembered(memo).get(key)):
        return known
    with _reading(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if memo is not None:
        _remember(memo, key, digest)
    return digest


def _remembered(memo: Path) -> dict[str, str]:
    try:
        content = json.loads(memo.read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # without the memo, the files are hashed again
    return {k: v for k, v in content.items() if isinstance(v, str)} if isinstance(content, dict) else {}


def _remember(memo: Path, key: str, digest: str) -> None:
    partial = memo.with_name(f".{memo.name}.{os.getpid()}")  # other processes may write theirs at the same time
    with _REMEMBERING, contextlib.suppress(OSError):  # where nothing can be written, the next start hashes again
        content = json.dumps(_remembered(memo) | {key: digest}, indent=1)
        private_folder(memo.parent)
        try:
            with open(partial, "w", encoding="utf-8", opener=private_opener) as new:
                new.write(content)
            partial.replace(memo)
        finally:
            partial.unlink(missing_ok=True)
