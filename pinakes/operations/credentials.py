"""Whether embedders have the settings that they need, and, on request, one call that shows that they work."""

from __future__ import annotations

import importlib.util
import io
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image as Pillow

from pinakes.embedders.base import Embedder, Picture
from pinakes.embedders.registry import EMBEDDERS, Choice, Surroundings, open_embedder
from pinakes.embedders.remote.client import Remote
from pinakes.errors import EmbedderError, PinakesError, UsageError, extra_install
from pinakes.operations.checks import Check, State
from pinakes.quota.embedder_pool import Embedders
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.store.database import open_database
from pinakes.types import Failure, Image

GOOGLE_KEY_FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"


@dataclass(frozen=True, slots=True)
class _Needs:
    """What shows that an embedder is meant to be used, and what it needs beside its settings.

    Attributes:
        any_of: settings, one of which shows it.
        google: whether it uses application default credentials, by its settings.
        package: what must be installed.
    """

    any_of: tuple[str, ...]
    google: Callable[[Mapping[str, str]], bool] = lambda _values: False
    package: str | None = None


NEEDS: Final = {
    "vertex": _Needs(("PINAKES_VERTEX_PROJECT",), google=lambda values: not values.get("PINAKES_VERTEX_ENDPOINT")),
    "gemini": _Needs(
        ("PINAKES_GEMINI_API_KEY",),
        google=lambda values: not (values.get("PINAKES_GEMINI_API_KEY") or values.get("PINAKES_GEMINI_ENDPOINT")),
    ),
    "azure": _Needs(("PINAKES_AZURE_KEY", "VISION_KEY", "PINAKES_AZURE_ENDPOINT", "VISION_ENDPOINT")),
    "clip": _Needs(("PINAKES_CLIP_PATH",), package="fastembed"),
    "onnx": _Needs(("PINAKES_ONNX_PATH",), package="onnxruntime"),
}
"""By embedder; those that are not named here need nothing."""


def embedder_checks(settings: Settings, spaces: Collection[Space] = ()) -> Iterator[Check]:
    """The embedders that the settings are made for, and those whose spaces are stored.

    Nothing is asked of any provider, and no model is loaded.

    Args:
        settings: credentials among them.
        spaces: those that are stored.
    """
    stored = {space.provider for space in spaces}
    meant = [n for n, need in NEEDS.items() if n in stored or any(settings.values.get(s) for s in need.any_of)]
    if not meant:
        yield Check("embedders", State.OK, "palette needs no settings; no other one is set up")
    for name in meant:
        yield _embedder(settings, name, stored=name in stored)


def call_check(settings: Settings, name: str) -> Check:
    """Ask an embedder once, for a text or a picture, whatever costs less, at the pace that all machines share."""
    what = f"call of {name}"
    try:
        with open_database(settings) as database:
            embedders = Embedders(settings, database.dsn)
            try:
                embedder = embedders.open(Choice(name))
                began = time.monotonic()
                asked, cost, size = _ask(embedder)
            finally:
                embedders.close()
    except UsageError as exc:
        return Check(what, State.ERROR, str(exc), f"name one of {', '.join(EMBEDDERS)}")
    except PinakesError as exc:
        return Check(what, State.ERROR, str(exc), _guide(name))
    seconds = time.monotonic() - began
    wanted = embedder.facts.space.dimension
    if size != wanted:
        return Check(what, State.ERROR, f"a vector of {size} components came, and {wanted} were expected", _guide(name))
    return Check(what, State.OK, f"{asked} was answered in {seconds:.2f} s, {size:,} components, USD {cost:g}")


def _embedder(settings: Settings, name: str, *, stored: bool) -> Check:
    what = f"embedder {name}"
    needs = NEEDS[name]
    # Without it a stored collection is still searched by full text and by its own pictures.
    state = State.WARN if stored and not any(settings.values.get(s) for s in needs.any_of) else State.ERROR
    if needs.package is not None:
        if importlib.util.find_spec(needs.package) is None:
            return Check(what, state, f"the package {needs.package} is not installed", extra_install("clip"))
        path = settings.values.get(needs.any_of[0])
        if path and not Path(path).expanduser().exists():
            return Check(what, state, f"{needs.any_of[0]} is {path}, which is not there", _guide(name))
        return Check(what, State.OK, f"{path or 'the model is looked for where it was downloaded'}; not loaded now")
    try:
        opened = open_embedder(Choice(name), Surroundings(settings.values, settings.home, prices=settings.prices))
    except PinakesError as exc:
        return Check(what, state, str(exc), _guide(name))
    if isinstance(opened, Remote):
        opened.close()
    if needs.google(settings.values) and not _google_file(settings):
        return Check(
            what,
            State.WARN,
            "its settings are there; credentials of Google are in no file",
            "fine on Google Cloud, whose machines have their own; elsewhere: gcloud auth application-default login",
        )
    return Check(what, State.OK, f"its settings are there; --call {name} asks it once")


def _google_file(settings: Settings) -> bool:
    """Whether there is a file where Google's libraries look for application default credentials."""
    named = settings.values.get(GOOGLE_KEY_FILE)
    if named:
        return Path(named).is_file()
    folder = settings.values.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud"
    return (Path(folder) / "application_default_credentials.json").is_file()


def _ask(embedder: Embedder) -> tuple[str, float, int]:
    """What was asked, its price, and the components of the answer.

    Raises:
        PinakesError: it was not answered.
    """
    price = embedder.facts.price
    if isinstance(embedder, Remote) and price.per_image < price.per_text:
        data = _plain_picture()
        picture = Picture(Image("doctor.png", "doctor.png", "", len(data)), lambda: data)
        vector = embedder.embed_query_picture(picture)
        if isinstance(vector, Failure):
            raise EmbedderError(f"{embedder.facts.space.provider} does not embed a plain picture: {vector.message}.")
        return "a picture", price.per_image, vector.shape[0]
    return "a word", price.per_text, embedder.embed_text("red").vector.shape[0]


def _guide(name: str) -> str:
    return f"see docs/{'local-models' if name in {'clip', 'onnx'} else name}.md"


def _plain_picture() -> bytes:
    """A PNG of one colour, with sides that every provider takes."""
    out = io.BytesIO()
    Pillow.new("RGB", (64, 64), (160, 40, 40)).save(out, "PNG")
    return out.getvalue()
