"""Whether embedders have the settings that they need, and, on request, one call that shows that they work."""

from __future__ import annotations

import io
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from PIL import Image as Pillow

from pinakes.embedders.base import Embedder, Picture
from pinakes.embedders.declaration import Choice, Declaration, Surroundings
from pinakes.embedders.registry import EMBEDDERS, open_embedder
from pinakes.errors import EmbedderError, PinakesError, UsageError
from pinakes.operations.checks import Check, State
from pinakes.quota.embedder_pool import Embedders
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.store.database import open_database
from pinakes.types import Failure, Image

GOOGLE_KEY_FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"


def embedder_checks(settings: Settings, spaces: Collection[Space] = ()) -> Iterator[Check]:
    """The embedders that the settings are made for, and those whose spaces are stored.

    Nothing is asked of any provider, and no model is loaded.

    Args:
        settings: credentials among them.
        spaces: those that are stored.
    """
    stored = {space.provider for space in spaces}
    meant = [
        declaration
        for declaration in EMBEDDERS.values()
        if declaration.settings and (declaration.name in stored or declaration.is_set_up(settings.values))
    ]
    if not meant:
        ready = ", ".join(declaration.name for declaration in EMBEDDERS.values() if not declaration.settings)
        yield Check("embedders", State.OK, f"ready without settings: {ready}; no other one is set up")
    for declaration in meant:
        yield _embedder(settings, declaration, stored=declaration.name in stored)


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


def _embedder(settings: Settings, declaration: Declaration, *, stored: bool) -> Check:
    what = f"embedder {declaration.name}"
    values = settings.values
    # Without it a stored collection is still searched by full text and by its own pictures.
    state = State.WARN if stored and not declaration.is_set_up(values) else State.ERROR
    try:
        declaration.check_packages()
    except PinakesError as exc:
        return Check(what, state, str(exc), declaration.install)
    for setting in declaration.settings:
        path = setting.value(values)
        if setting.is_path and path and not Path(path).expanduser().exists():
            return Check(what, state, f"{setting.name} is {path}, which is not there", _guide(declaration.name))
    try:
        declaration.check_settings(values)
        if not declaration.packages:
            around = Surroundings(values, settings.home, prices=settings.prices)
            open_embedder(Choice(declaration.name), around).close()
    except PinakesError as exc:
        return Check(what, state, str(exc), _guide(declaration.name))
    if declaration.packages:
        paths = ", ".join(path for setting in declaration.settings if (path := setting.value(values)))
        return Check(what, State.OK, f"{paths or 'the model is looked for where it was downloaded'}; not loaded now")
    if declaration.uses_google(values) and not _google_file(settings):
        return Check(
            what,
            State.WARN,
            "its settings are there; credentials of Google are in no file",
            "fine on Google Cloud, whose machines have their own; elsewhere: gcloud auth application-default login",
        )
    return Check(what, State.OK, f"its settings are there; --call {declaration.name} asks it once")


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
    declaration = EMBEDDERS[embedder.facts.space.provider]
    if price.per_image < price.per_text or not declaration.reads_words:
        data = _plain_picture()
        picture = Picture(Image("doctor.png", "doctor.png", "", len(data)), lambda: data)
        vector = embedder.embed_query_picture(picture)
        if isinstance(vector, Failure):
            raise EmbedderError(f"{embedder.facts.space.provider} does not embed a plain picture: {vector.message}.")
        return "a picture", price.per_image, vector.shape[0]
    return "a word", price.per_text, embedder.embed_text(declaration.example).vector.shape[0]


def _guide(name: str) -> str:
    return f"see {EMBEDDERS[name].guide}"


def _plain_picture() -> bytes:
    """A PNG of one colour, with sides that every provider takes."""
    out = io.BytesIO()
    Pillow.new("RGB", (64, 64), (160, 40, 40)).save(out, "PNG")
    return out.getvalue()
