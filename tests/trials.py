"""What tests open each embedder with: a fake of its service, or a tiny model.

The contract test goes over all embedders of the registry. One that has settings needs an entry in `TRIALS`; one without
is opened as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from pinakes.embedders.base import Embedder
from pinakes.embedders.declaration import Choice, Pace, Surroundings
from pinakes.embedders.registry import EMBEDDERS, open_embedder
from pinakes.embedders.remote.provider import Unpaced
from tests.fakes.azure import AzureFake
from tests.fakes.gemini import GeminiFake
from tests.fakes.vertex import VertexFake
from tests.tiny_models import siglip, vision

Trial = AbstractContextManager[Mapping[str, str]]
"""The settings to open an embedder with, while what they point at is there."""


@contextmanager
def _service(fake: AzureFake | GeminiFake | VertexFake) -> Iterator[Mapping[str, str]]:
    with fake as started:
        yield started.environment


def _clip(folder: Path) -> Trial:
    return nullcontext({"PINAKES_CLIP_PATH": str(siglip(folder / "clip"))})


def _onnx(folder: Path) -> Trial:
    return nullcontext({"PINAKES_ONNX_PATH": str(vision(folder / "encoder" / "model.onnx", dimension=32))})


TRIALS: dict[str, Callable[[Path], Trial]] = {
    "azure": lambda _folder: _service(AzureFake()),
    "gemini": lambda _folder: _service(GeminiFake()),
    "vertex": lambda _folder: _service(VertexFake()),
    "clip": _clip,
    "onnx": _onnx,
}
"""By name: from an empty folder to the settings."""


def trial(name: str, folder: Path) -> Trial:
    """The settings that open the embedder of that name."""
    if name in TRIALS:
        return TRIALS[name](folder)
    settings = [setting.name for setting in EMBEDDERS[name].settings if setting.required]
    assert not settings, f"the embedder {name} needs {', '.join(settings)}: enter in TRIALS of {__file__} what to set"
    return nullcontext({})


def opened(
    name: str,
    values: Mapping[str, str],
    home: Path = Path(),
    pace: Pace = lambda _quota, _rate: Unpaced(),
    **choice: object,
) -> Embedder:
    """The embedder of that name, opened as every command opens it.

    Args:
        name: of the embedder.
        values: settings.
        home: where local models remember their digests.
        pace: makes the pacer of a quota.
        choice: dimension, model, version.
    """
    return open_embedder(Choice(name, **choice), Surroundings(values, home, pace))  # type: ignore[arg-type]
