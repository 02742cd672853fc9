"""From a name to the embedder that makes its vectors, with its settings and its pace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pinakes.embedders.base import Embedder, Price
from pinakes.embedders.remote.prices import price_of
from pinakes.embedders.remote.provider import Allowance, Pacer, Provider, Unpaced
from pinakes.errors import PinakesError, SettingsError, UsageError
from pinakes.spaces import Space, Spaces

Pace = Callable[[str, str], Pacer]
"""From the name of a quota and its default rate (`10/s`) to what paces the calls."""

Allow = Callable[[Price], Allowance | None]
"""From a price to what may be paid for; None: whatever it costs."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which embedder is wanted.

    Attributes:
        name: one of `EMBEDDERS`.
        dimension: components of a vector; None means the embedder's default.
        model: one of the embedder's models; None means its default.
        concurrency: most requests in flight; None lets the number be found.
        version: of the model, where the provider offers several; None: the one that is set.
    """

    name: str
    dimension: int | None = None
    model: str | None = None
    concurrency: int | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What embedders find around them.

    Attributes:
        values: settings by name; keys among them.
        home: Pinakes' own folder.
        pace: makes the pacer of a quota.
        allow: what the run may pay for.
        stopping: whether the run is stopping.
        prices: the path of a price list of one's own.
    """

    values: Mapping[str, str]
    home: Path
    pace: Pace = lambda _quota, _rate: Unpaced()
    allow: Allow = lambda _price: None
    stopping: Callable[[], bool] = lambda: False
    prices: str | None = None


Factory = Callable[[Choice, Surroundings], Embedder]
"""Raises UsageError for what the embedder does not have, SettingsError for what it lacks."""


def open_embedder(choice: Choice, around: Surroundings) -> Embedder:
    """The embedder of that name.

    Raises:
        UsageError: there is none, or it has no such dimension or model.
        SettingsError: a setting that it needs is missing.
    """
    factory = EMBEDDERS.get(choice.name)
    if factory is None:
        raise UsageError(f"there is no embedder {choice.name!r}; there are: {', '.join(EMBEDDERS)}.")
    return factory(choice, around)


def choice_for(space: Space) -> Choice:
    """The embedder that would make the vectors of `space`, if there is one."""
    local = space.provider in {"clip", "onnx"}  # their files decide
    return Choice(
        space.provider,
        None if local else space.dimension,
        space.model if space.provider == "clip" else None,
        version=space.version,
    )


def space_made(asked: Space, around: Surroundings) -> Space:
    """The space that an embedder makes, named with its preprocessing or without.

    Nothing is asked of a provider, and its credentials need not be there.

    Args:
        asked: of a provider in `EMBEDDERS`; an empty preprocessing means the one in force.
        around: settings.

    Raises:
        UsageError: the embedder makes no such space; the message says which it makes.
    """
    shown = f"{asked.provider}/{asked.model}/{asked.version}"
    try:
        made = _spaces_of(asked, around)
    except PinakesError as exc:
        raise UsageError(f"whether {asked.provider} makes the space {shown} cannot be told: {exc}") from exc
    found = asked if asked.preprocessing else replace(asked, preprocessing=made.preprocessing)
    if not made.holds(found):
        shown += f"/{asked.preprocessing}" if asked.preprocessing else ""
        its = f" and the preprocessing {made.preprocessing}" if asked.preprocessing else ""
        raise UsageError(
            f"no embedder makes the space {shown} with {asked.dimension} dimensions; {asked.provider} makes {made}{its}."
        )
    return found


def _spaces_of(asked: Space, around: Surroundings) -> Spaces:
    """All spaces of a paid provider and of palette; of any other embedder the one that it makes when opened as asked."""
    if asked.provider == "palette":
        from pinakes.embedders.palette import descriptor as palette

        return palette.SPACES
    if asked.provider == "azure":
        from pinakes.embedders.remote import azure

        return azure.spaces(around.values)
    if asked.provider == "vertex":
        from pinakes.embedders.remote import vertex

        return vertex.SPACES
    if asked.provider == "gemini":
        from pinakes.embedders.remote import gemini

        return gemini.SPACES
    space = open_embedder(choice_for(asked), around).facts.space
    return Spaces(space.provider, space.model, (space.version,), (space.dimension,), space.preprocessing)


# Each embedder costs its own imports only.


def _palette(choice: Choice, _around: Surroundings) -> Embedder:
    from pinakes.embedders.palette.descriptor import Palette

    _one_model(choice, "descriptor")
    return Palette() if choice.dimension is None else Palette(choice.dimension)


def _azure(choice: Choice, around: Surroundings) -> Embedder:
    from pinakes.embedders.remote import azure

    version = {"PINAKES_AZURE_MODEL_VERSION": choice.version} if choice.version else {}
    provider = azure.from_settings({**around.values, **version})
    _one_model(choice, provider.facts.space.model, provider.facts.space.version)
    _one_dimension(choice, provider)
    key = around.values.get("PINAKES_AZURE_KEY") or around.values.get("VISION_KEY") or ""
    endpoint = around.values.get("PINAKES_AZURE_ENDPOINT") or around.values.get("VISION_ENDPOINT") or ""
    return _remote(provider, f"azure:{urlsplit(endpoint).netloc}", azure.DEFAULT_RATE, choice, around, (key,))


def _vertex(choice: Choice, around: Surroundings) -> Embedder:
    from pinakes.embedders.remote import vertex

    provider = vertex.from_settings(around.values, dimension=choice.dimension)
    _one_model(choice, provider.facts.space.model, provider.facts.space.version)
    project = around.values.get("PINAKES_VERTEX_PROJECT", "")
    location = around.values.get("PINAKES_VERTEX_LOCATION") or "us-central1"
    return _remote(
        provider, f"vertex:{project}/{location}/{provider.facts.space.model}", vertex.DEFAULT_RATE, choice, around
    )


def _gemini(choice: Choice, around: Surroundings) -> Embedder:
    from pinakes.embedders.remote import gemini

    provider = gemini.from_settings(around.values, dimension=choice.dimension or gemini.DIMENSION)
    _one_model(choice, provider.facts.space.model, provider.facts.space.version)
    key = around.values.get("PINAKES_GEMINI_API_KEY", "")
    owner = around.values.get("PINAKES_VERTEX_PROJECT", "") if not key else "api-key"
    return _remote(
        provider, f"gemini:{owner}/{provider.facts.space.model}", gemini.DEFAULT_RATE, choice, around, (key,)
    )


def _clip(choice: Choice, around: Surroundings) -> Embedder:
    from pinakes.embedders.local.clip import Clip
    from pinakes.embedders.local.clip_files import DEFAULT_MODEL

    return Clip(
        choice.model or DEFAULT_MODEL,
        path=around.values.get("PINAKES_CLIP_PATH") or None,
        dimension=choice.dimension,
        download=around.values.get("PINAKES_CLIP_DOWNLOAD") == "1",
        device=_device(around),
        memo=around.home / "model-digests.json",
    )


def _onnx(choice: Choice, around: Surroundings) -> Embedder:
    from pinakes.embedders.local.onnx import OnnxImage

    path = around.values.get("PINAKES_ONNX_PATH")
    if not path:
        raise SettingsError(
            "the embedder onnx needs PINAKES_ONNX_PATH, the ONNX file of an image encoder; see docs/local-models.md."
        )
    embedder = OnnxImage(
        Path(path),
        dimension=choice.dimension,
        device=_device(around),
        memo=around.home / "model-digests.json",
    )
    _one_model(choice, embedder.facts.space.model, embedder.facts.space.version)
    return embedder


EMBEDDERS: dict[str, Factory] = {
    "palette": _palette,
    "vertex": _vertex,
    "gemini": _gemini,
    "azure": _azure,
    "clip": _clip,
    "onnx": _onnx,
}
"""By provider: the name given with `--embedder`, and the one that a space remembers. A program may add its own."""


def _remote(
    provider: Provider,
    quota: str,
    rate: str,
    choice: Choice,
    around: Surroundings,
    secrets: tuple[str, ...] = (),
) -> Embedder:
    """A paid provider behind the one layer of retries and limits, at the price of the list in force."""
    from pinakes.embedders.remote.client import Remote

    provider.facts = replace(provider.facts, price=price_of(provider.facts.space, around.prices))
    return Remote(
        provider,
        around.pace(quota, rate),
        allowance=around.allow(provider.facts.price),
        concurrency=choice.concurrency,
        stopping=around.stopping,
        secrets=[secret for secret in secrets if secret],
    )


def _device(around: Surroundings) -> Literal["cpu", "cuda"]:
    device = around.values.get("PINAKES_DEVICE") or "cpu"
    if device not in ("cpu", "cuda"):
        raise SettingsError(f"PINAKES_DEVICE={device!r} is neither cpu nor cuda.")
    return "cuda" if device == "cuda" else "cpu"


def _one_model(choice: Choice, model: str, version: str | None = None) -> None:
    """See that no other model is wanted; it may be named with its version, as providers write it."""
    if choice.model not in (None, model, f"{model}@{version}"):
        raise UsageError(f"the embedder {choice.name} has the model {model}, not {choice.model!r}; leave --model out.")


def _one_dimension(choice: Choice, provider: Provider) -> None:
    dimension = provider.facts.space.dimension
    if choice.dimension not in (None, dimension):
        raise UsageError(f"the embedder {choice.name} has {dimension} dimensions, not {choice.dimension}.")
