"""Checks whether embedders have the settings that they need and, on request, calls one to see whether it works."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from PIL import Image as Pillow

from pinakes.embedders.base import Embedder, Picture
from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.registry import EMBEDDERS, open_embedder
from pinakes.errors import EmbedderError, PinakesError, UsageError
from pinakes.files import is_visible
from pinakes.operations.checks import Finding, State
from pinakes.quota.embedder_pool import Embedders
from pinakes.settings import Settings
from pinakes.store.database import open_database
from pinakes.store.health import Size
from pinakes.types import Failure, Image

GOOGLE_KEY_FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"


def embedders_meant(settings: Settings, sizes: Iterable[Size]) -> list[tuple[str, bool]]:
    """The embedders that are set up or whose spaces are stored, each with whether a space is stored."""
    stored = {size.space.provider for size in sizes}
    return [
        (declaration.name, declaration.name in stored)
        for declaration in EMBEDDERS.values()
        if declaration.settings and (declaration.name in stored or declaration.is_set_up(settings.values))
    ]


def ready_embedders() -> str:
    """The names of the embedders that need no settings."""
    return ", ".join(declaration.name for declaration in EMBEDDERS.values() if not declaration.settings)


def call_finding(settings: Settings, name: str) -> Finding:
    """Call an embedder once, for a text or a picture, whichever costs less, at the pace that all machines share."""
    try:
        # With the database, whose limits make this call wait for its turn next to a run that uses the whole quota.
        with open_database(settings) as database, closing(Embedders(settings, database.dsn)) as embedders:
            embedder = embedders.open(Choice(name))
            began = time.monotonic()
            sent, cost, size = _ask(embedder)
            seconds = time.monotonic() - began
    except UsageError as exc:
        return Finding(State.ERROR, str(exc), f"name one of {', '.join(EMBEDDERS)}", name)
    except PinakesError as exc:
        return Finding(State.ERROR, str(exc), _guide(name), name)
    expected = embedder.facts.space.dimension
    if size != expected:
        shown = f"the vector has {size} components instead of {expected}"
        return Finding(State.ERROR, shown, _guide(name), name)
    shown = f"{sent} was answered in {seconds:.2f} s, {size:,} components, USD {cost:g}"
    return Finding(State.OK, shown, what=name)


def embedder_finding(settings: Settings, name: str, stored: bool) -> Finding:
    """Whether an embedder has what it needs. No provider is called, and no model is loaded.

    Args:
        settings: the settings, which hold the credentials.
        name: the embedder's name.
        stored: whether a space of it is stored.
    """
    declaration, values = EMBEDDERS[name], settings.values
    # Without its settings a stored collection can still be searched by full text and by its own pictures.
    state = State.WARN if stored and not declaration.is_set_up(values) else State.ERROR
    try:
        declaration.check_packages()
    except PinakesError as exc:
        return Finding(state, str(exc), declaration.install, name)
    for setting in declaration.settings:
        path = setting.value(values)
        if setting.is_path and path and not is_visible(Path(path).expanduser()):
            shown = f"{setting.name} is {path}, which does not exist or is in a folder that this user may not enter"
            return Finding(state, shown, _guide(name), name)
    try:
        declaration.check_settings(values)
        # A client is made without a call, and checks its settings; a model of this machine would be loaded for seconds.
        if not declaration.packages:
            open_embedder(Choice(name), Surroundings(values, settings.home, prices=settings.prices)).close()
    except PinakesError as exc:
        return Finding(state, str(exc), _guide(name), name)
    if declaration.packages:
        paths = ", ".join(path for setting in declaration.settings if (path := setting.value(values)))
        where = paths or "the model is looked for where it was downloaded"
        return Finding(State.OK, f"{where}; not loaded now", what=name)
    # Only a warning: on machines of Google the credentials come from the machine, and there is no file.
    if declaration.uses_google(values) and not _google_file(settings):
        return Finding(
            State.WARN,
            "it has its settings, but there is no file with Google credentials",
            "on Google Cloud machines have their own, and all is well; elsewhere: gcloud auth application-default login",
            name,
        )
    return Finding(State.OK, f"it has its settings; --call {name} calls it once", what=name)


def _google_file(settings: Settings) -> bool:
    """Whether there is a file where Google's libraries look for application default credentials."""
    named = settings.values.get(GOOGLE_KEY_FILE)
    if named:
        return is_visible(Path(named))
    # Path.home() fails for a user without a home, as in a container; this leaves the "~", where nothing is found.
    folder = settings.values.get("CLOUDSDK_CONFIG") or os.path.expanduser("~/.config/gcloud")  # noqa: PTH111
    return is_visible(Path(folder) / "application_default_credentials.json")


def _ask(embedder: Embedder) -> tuple[str, float, int]:
    """What was sent, its price in US dollars, and the number of components of the vector."""
    price = embedder.facts.price
    declaration = EMBEDDERS[embedder.facts.space.provider]
    # At Vertex AI a text costs as much as two pictures.
    if price.per_image < price.of_text(declaration.example) or not declaration.reads_words:
        data = _plain_picture()
        picture = Picture(Image("doctor.png", "doctor.png", "", len(data)), lambda: data)
        vector = embedder.embed_query_picture(picture)
        if isinstance(vector, Failure):
            raise EmbedderError(f"{embedder.facts.space.provider} does not embed a plain picture: {vector.message}.")
        return "a picture", price.per_image, vector.shape[0]
    return "a word", price.of_text(declaration.example), embedder.embed_text(declaration.example).vector.shape[0]


def _guide(name: str) -> str:
    return f"see {EMBEDDERS[name].guide}"


def _plain_picture() -> bytes:
    """A PNG of one colour, with sides that every provider takes."""
    out = io.BytesIO()
    Pillow.new("RGB", (64, 64), (160, 40, 40)).save(out, "PNG")
    return out.getvalue()
