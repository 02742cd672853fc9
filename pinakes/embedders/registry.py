"""All embedders by name, and the one way to open them."""

from __future__ import annotations

from dataclasses import replace

from pinakes.embedders.base import Embedder
from pinakes.embedders.declaration import Choice, Declaration, Model, Surroundings
from pinakes.embedders.local.declarations import CLIP, ONNX
from pinakes.embedders.palette.declaration import PALETTE
from pinakes.embedders.remote.azure_declaration import AZURE
from pinakes.embedders.remote.gemini_declaration import GEMINI
from pinakes.embedders.remote.vertex_declaration import VERTEX
from pinakes.errors import PinakesError, UsageError
from pinakes.spaces import Space, Spaces

BUILT_IN = (PALETTE, VERTEX, GEMINI, AZURE, CLIP, ONNX)
"""In the order in which they are listed. A new embedder of this project is added here and nowhere else."""

EMBEDDERS: dict[str, Declaration] = {declaration.name: declaration for declaration in BUILT_IN}
"""By the name given with `--embedder`, which a space remembers as its provider. A program may `register` its own."""


def register(declaration: Declaration) -> None:
    """Add an embedder to those of this process, or replace the one of its name."""
    EMBEDDERS[declaration.name] = declaration


def model_of(space: Space) -> Model | None:
    """The declared model of a space; None where there is none."""
    declaration = EMBEDDERS.get(space.provider)
    return None if declaration is None else declaration.model(space.model)


def open_embedder(choice: Choice, around: Surroundings) -> Embedder:
    """Open the embedder of that name, after checking the choice and the settings against its declaration.

    Raises:
        UsageError: there is none, or it has no such dimension or model.
        SettingsError: a setting that it needs is missing.
        EmbedderError: a package or a file that it needs is missing.
    """
    declaration = _declared(choice.name)
    # Before anything is imported: loading a model or a provider's client takes seconds, and its own error says less.
    declaration.check_packages()
    declaration.check_choice(choice)
    declaration.check_settings(around.values)
    embedder = declaration.open(choice, around)
    try:
        _check_space(choice, embedder.facts.space)
    except UsageError:
        embedder.close()  # the caller never gets it, and so cannot
        raise
    return embedder


def _declared(name: str) -> Declaration:
    """The declaration of that name.

    Raises:
        UsageError: there is none.
    """
    declaration = EMBEDDERS.get(name)
    if declaration is None:
        raise UsageError(f"there is no embedder {name!r}; there are: {', '.join(EMBEDDERS)}.")
    return declaration


def _check_space(choice: Choice, space: Space) -> None:
    """Check that the opened embedder is the chosen one; a model may be named with its publisher or its version.

    Raises:
        UsageError: it is another model, or has another dimension.
    """
    names = (space.model.lower(), f"{space.model}@{space.version}".lower())
    chosen = (choice.model or space.model).lower()
    if chosen not in names and chosen.rpartition("/")[2] not in names:
        raise UsageError(
            f"the embedder {choice.name} has the model {space.model}, version {space.version}, not {choice.model!r};"
            " leave --model out."
        )
    if choice.dimension not in (None, space.dimension):
        raise UsageError(
            f"the embedder {choice.name} has vectors of {space.dimension} dimensions, not {choice.dimension}; leave"
            " --dimension out."
        )


def choice_for(space: Space) -> Choice:
    """The choice that opens the embedder of a space; what files on this machine decide is left out of it.

    Args:
        space: of a provider in `EMBEDDERS`.
    """
    declaration = EMBEDDERS[space.provider]
    # Where a setting names the file, neither a model nor a dimension can be chosen.
    named = declaration.names_files or declaration.model(space.model) is not None
    return Choice(
        space.provider,
        space.dimension if declaration.models else None,
        space.model if named else None,
        version=space.version,
    )


def space_made(asked: Space, around: Surroundings) -> Space:
    """The space that `asked` names, complete with its preprocessing, if its embedder makes it.

    No provider is called, and its credentials need not be set.

    Args:
        asked: of a provider in `EMBEDDERS`; an empty preprocessing means the embedder's own.
        around: settings.

    Raises:
        UsageError: the embedder makes no such space; the message says which it makes.
    """
    shown = f"{asked.provider}/{asked.model}/{asked.version}"
    try:
        offered = _spaces_of(asked, around)
    except PinakesError as exc:
        raise UsageError(f"whether {asked.provider} makes the space {shown} cannot be told: {exc}") from exc
    # Where no model has the name, the first one is compared, so that the message can say what differs.
    made = next((spaces for spaces in offered if spaces.model == asked.model), offered[0])
    space = asked if asked.preprocessing else replace(asked, preprocessing=made.preprocessing)
    differing = [
        part
        for part, differs in (
            ("model", space.model != made.model),
            ("version", space.version not in made.versions),
            ("dimension", space.dimension not in made.dimensions),
            ("preprocessing", space.preprocessing != made.preprocessing),
        )
        if differs
    ]
    if differing:
        shown += f"/{asked.preprocessing}" if asked.preprocessing else ""
        its = f" and the preprocessing {made.preprocessing}" if asked.preprocessing else ""
        raise UsageError(
            f"no embedder makes the space {shown} with {asked.dimension} dimensions; {asked.provider} makes"
            f" {' or '.join(map(str, offered))}{its}; what differs: {', '.join(differing)}."
        )
    return space


def space_chosen(choice: Choice, around: Surroundings, dimension: int) -> Space:
    """The space of vectors of that dimension that `ingest` would use with this choice of an embedder and a model.

    No provider is called, and its credentials need not be set.

    Raises:
        UsageError: there is no such embedder or model, or none with that dimension.
        PinakesError: files on this machine decide, and cannot be read.
    """
    declaration = _declared(choice.name)
    model = declaration.check_choice(replace(choice, dimension=dimension))
    if model is not None:
        return declaration.spaces(model, model.version(around.values)).space(dimension)
    space = _space_of_files(choice, around)
    if space.dimension != dimension:
        raise UsageError(
            f"the embedder {choice.name} has vectors of {space.dimension} dimensions ({space.model}), not {dimension};"
            " another model made these."
        )
    return space


def _spaces_of(asked: Space, around: Surroundings) -> list[Spaces]:
    """The spaces of each declared model; where files on this machine decide, the one space that they make."""
    declaration = EMBEDDERS[asked.provider]
    if declaration.models:
        return [declaration.spaces(model, model.version(around.values)) for model in declaration.models]
    space = _space_of_files(choice_for(asked), around)
    return [Spaces(space.provider, space.model, (space.version,), (space.dimension,), space.preprocessing)]


def _space_of_files(choice: Choice, around: Surroundings) -> Space:
    """The space that the model files on this machine make, which is known only once they have been opened."""
    embedder = open_embedder(choice, around)
    embedder.close()
    return embedder.facts.space
