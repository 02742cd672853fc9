"""The declarations of `clip` and `onnx`, whose models are files on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pinakes.embedders.base import Embedder
from pinakes.embedders.declaration import Choice, Declaration, Setting, Surroundings
from pinakes.embedders.local.session import usable_batch
from pinakes.errors import SettingsError

GUIDE = "docs/local-models.md"

CLIP_PATH = Setting(
    name="PINAKES_CLIP_PATH", meaning="the folder with the files of both models", required=False, is_path=True
)
ONNX_PATH = Setting(name="PINAKES_ONNX_PATH", meaning="the ONNX file of an image encoder", is_path=True)


def _clip(choice: Choice, around: Surroundings) -> Embedder:
    from pinakes.embedders.local.clip import Clip
    from pinakes.embedders.local.clip_models import DEFAULT_PAIR

    return Clip(
        choice.model or DEFAULT_PAIR.name,
        path=CLIP_PATH.value(around.values) or None,
        download=around.values.get("PINAKES_CLIP_DOWNLOAD") == "1",
        **_runtime(around),
    )


def _onnx(_choice: Choice, around: Surroundings) -> Embedder:
    from pinakes.embedders.local.onnx import OnnxImage

    return OnnxImage(Path(ONNX_PATH.value(around.values)), **_runtime(around))


def _runtime(around: Surroundings) -> dict[str, Any]:
    """The arguments that `Clip` and `OnnxImage` have in common: device, memory, batch, and memo of digests."""
    device = around.values.get("PINAKES_DEVICE") or "cpu"
    if device not in ("cpu", "cuda"):
        raise SettingsError(f"PINAKES_DEVICE={device!r} must be cpu or cuda.")
    pinned = around.values.get("PINAKES_PINNED_MEMORY") == "1"
    if pinned and device != "cuda":
        raise SettingsError(
            "PINAKES_PINNED_MEMORY=1 is for copies to a CUDA card: set PINAKES_DEVICE=cuda, or leave it out."
        )
    return {
        "device": device,
        "pinned": pinned,
        "batch": usable_batch(around.values.get("PINAKES_MODEL_BATCH")),
        "memo": around.home / "model-digests.json",
    }


CLIP = Declaration(
    name="clip",
    title="CLIP, SigLIP, Jina on this machine",
    guide=GUIDE,
    open=_clip,
    names_files=True,
    settings=(CLIP_PATH,),
    extra="clip",
    packages=("fastembed",),
)

ONNX = Declaration(
    name="onnx",
    title="any image encoder in ONNX",
    guide=GUIDE,
    open=_onnx,
    settings=(ONNX_PATH,),
    reads_words=False,
    extra="clip",
    packages=("onnxruntime",),
)
