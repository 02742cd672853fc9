"""Page-locked memory: against NVIDIA's own bindings, on machines with and without a card."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

from pinakes.embedders.base import Picture
from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.local.onnx import OnnxImage
from pinakes.embedders.local.pinned import PinnedMemory, page_locked
from pinakes.embedders.registry import open_embedder
from pinakes.errors import EmbedderError, SettingsError
from pinakes.types import Failure, Image
from tests import tiny_models
from tests.pictures import saved, scene

runtime = pytest.importorskip("cuda.bindings.runtime")


class Locking:
    """Stands for CUDA on a machine without a card: which memory is locked, by address."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.locked: dict[int, int] = {}
        monkeypatch.setattr(runtime, "cudaHostRegister", self._lock)
        monkeypatch.setattr(runtime, "cudaHostUnregister", self._unlock)

    def _lock(self, address: int, size: int, _flags: int) -> tuple[object]:
        self.locked[address] = size
        return (runtime.cudaError_t.cudaSuccess,)

    def _unlock(self, address: int) -> tuple[object]:
        del self.locked[address]
        return (runtime.cudaError_t.cudaSuccess,)


def test_memory_is_locked_where_there_is_a_driver_and_otherwise_the_reason_is_given() -> None:
    status, _ = runtime.cudaGetDeviceCount()
    if status == runtime.cudaError_t.cudaSuccess:
        arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)]
        assert (PinnedMemory().stack(arrays) == np.stack(arrays)).all()
    else:
        with pytest.raises(EmbedderError, match=rf"CUDA cannot lock 1 bytes of memory: .+ \({status.name}\)"):
            PinnedMemory()


def test_vectors_are_the_same_and_one_buffer_serves_every_batch(tmp_path, monkeypatch) -> None:
    cuda = Locking(monkeypatch)
    tiny_models.vision(tmp_path / "model.onnx", dimension=32)
    files = [saved(scene((240 + 10 * number, 230)), "PNG") for number in range(6)]
    batch = [Picture(Image("a.png", "file:///a.png", "md5:0", len(data)), lambda data=data: data) for data in files]
    usual, pinned = (OnnxImage(tmp_path, batch=4, pinned=pinned) for pinned in (False, True))
    expected, found = dict(usual.embed_images(batch)), dict(pinned.embed_images(batch))
    assert len(found) == 6
    for index, vector in expected.items():
        assert not isinstance(vector, Failure)
        assert (found[index] == vector).all()
    inputs = 4 * 3 * usual._prepare.height * usual._prepare.width * 4
    assert sorted(cuda.locked.values()) == [inputs]
    before = dict(cuda.locked)
    list(pinned.embed_images(batch))
    assert cuda.locked == before, "memory was locked again for a later batch"


def test_it_stays_locked_as_long_as_something_uses_it(monkeypatch) -> None:
    cuda = Locking(monkeypatch)
    view = page_locked(64)[8:]
    gc.collect()
    assert list(cuda.locked.values()) == [64]
    del view
    gc.collect()
    assert not cuda.locked


def test_the_setting_is_for_cuda(tmp_path) -> None:
    tiny_models.vision(tmp_path / "model.onnx", dimension=32)
    values = {"PINAKES_ONNX_PATH": str(tmp_path), "PINAKES_PINNED_MEMORY": "1"}
    with pytest.raises(SettingsError, match="PINAKES_PINNED_MEMORY=1 is for copies to a CUDA card"):
        open_embedder(Choice("onnx"), Surroundings(values, tmp_path))


def test_the_message_names_the_package_that_is_missing(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(EmbedderError, match=r'pip install "cuda-bindings==12\.\*"'):
        PinnedMemory()
