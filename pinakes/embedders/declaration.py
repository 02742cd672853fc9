"""What is known about each embedder before it is opened, declared once.

The command line, `pinakes doctor`, the price list, the README's table and the contract test all go over these
declarations. A module with a declaration therefore imports nothing heavy; `open` imports what the embedder needs.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pinakes.embedders.base import Embedder, Price
from pinakes.embedders.remote.provider import Allowance, Pacer, Unpaced
from pinakes.errors import EmbedderError, SettingsError, UsageError, extra_install
from pinakes.settings import BLOCK
from pinakes.spaces import Spaces, listed

Values = Mapping[str, str]
"""Settings by name, from the environment and from .env."""

Pace = Callable[[str, str], Pacer]
"""From the name of a quota and its default rate (`10/s`) to the pacer of its calls."""

Allow = Callable[[Price], Allowance | None]
"""From a price to what may be spent; None: there is no cap."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which embedder the user chose.

    Attributes:
        name: of a declared embedder.
        dimension: components of a vector; None means the embedder's default.
        model: one of the embedder's models; None means its default.
        concurrency: most requests in flight; None finds the number automatically.
        version: of the model, where the provider offers several; None: the one in the settings.
    """

    name: str
    dimension: int | None = None
    model: str | None = None
    concurrency: int | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an embedder is opened with.

    Attributes:
        values: settings by name, keys among them; never shown.
        home: Pinakes' own folder.
        pace: makes the pacer of a quota.
        allow: how much the run may spend.
        stopping: whether the run is stopping.
        prices: the path of the user's own price list.
    """

    values: Values = field(repr=False)
    home: Path
    pace: Pace = lambda _quota, _rate: Unpaced()
    allow: Allow = lambda _price: None
    stopping: Callable[[], bool] = lambda: False
    prices: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model about which everything is known before it is opened.

    Attributes:
        name: the provider's name of the model, which the embedding space keeps.
        versions: the versions of the model, the default first.
        dimensions: how many components its vectors may have, ascending.
        default_dimension: how many they have unless the user chooses another number.
        preprocessing: the version of what is done to a picture before the model sees it. Raise it by hand with every
            change to that, so that new vectors are not compared with old ones.
        version_setting: the variable that may name another version; None: there is none.
        price: with its date and source; None: it costs nothing.
        retires: the ISO date on which the provider retires it; None: none was announced.
        nested: where the provider says that the first components of its vectors are its vectors of fewer dimensions
            (Matryoshka representation learning, arXiv:2205.13147); None: it does not say so.
    """

    name: str
    versions: tuple[str, ...]
    dimensions: tuple[int, ...] | range
    default_dimension: int
    preprocessing: str
    version_setting: str | None = None
    price: Price | None = None
    retires: str | None = None
    nested: str | None = None

    def version(self, values: Values) -> str:
        """The version that is used with these settings.

        Raises:
            UsageError: as `check_version`.
        """
        version = values.get(self.version_setting or "") or self.versions[0]
        self.check_version(version)
        return version

    def check_version(self, version: str) -> None:
        """Check that `version` names one version.

        Raises:
            UsageError: it is `latest`, or empty.
        """
        # "latest" would mean another model one day, in the same space as the vectors of today's.
        if version.strip().lower() in ("latest", ""):
            example = f", e.g. {self.version_setting}={self.versions[0]}" if self.version_setting else ""
            raise UsageError(
                f"the model version {version!r} cannot be used: vectors may be compared only inside one version,"
                f" so name it{example}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting that an embedder needs.

    Attributes:
        name: of the variable.
        meaning: what it holds, as a noun phrase.
        aliases: other names of the variable; `name` takes precedence.
        instead: other variables that replace it: where one of them is set, this one is not needed.
        required: whether the embedder cannot be opened without it.
        secret: whether no message may show its value.
        is_path: whether it names a file or folder on this machine.
    """

    name: str
    meaning: str
    aliases: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    required: bool = True
    secret: bool = False
    is_path: bool = False

    def value(self, values: Values) -> str:
        """Its value; empty where it is not set."""
        return next((values[name] for name in (self.name, *self.aliases) if values.get(name)), "")

    def is_missing(self, values: Values) -> bool:
        """Whether it is needed and neither set nor replaced by another."""
        return self.required and not self.value(values) and not any(values.get(name) for name in self.instead)


Factory = Callable[[Choice, Surroundings], Embedder]
"""Makes the embedder. Its name, settings, packages, model and dimension have already been checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """Everything that is known about an embedder before it is opened.

    Attributes:
        name: given with `--embedder`; the provider of its embedding spaces.
        title: what it is, in a few words, for the table of embedders.
        guide: the document that says how to set it up.
        open: makes the embedder.
        models: its models, the default first. Empty: files on this machine decide, and are read when it is opened.
        names_files: for an embedder without declared `models`, whether `--model` chooses the files.
        settings: the settings that it uses.
        default_rate: allowed requests where no limit has been set, e.g. `10/s`; None: there is no quota.
        reads_words: whether it makes vectors from text.
        example: a word that it reads, for `pinakes doctor --call` and the contract test.
        examples: three texts that it reads, shown in the fields of the page: what to look for, what to add to that, and
            what to take away.
        extra: the optional dependencies of this project that it needs.
        packages: modules that must be installed, which is checked before it is opened. `pinakes doctor` does not open an
            embedder that lists any, because loading a model takes long.
        uses_google: whether, with these settings, it needs Google's application default credentials.
    """

    name: str
    title: str
    guide: str
    open: Factory
    models: tuple[Model, ...] = ()
    names_files: bool = False
    settings: tuple[Setting, ...] = ()
    default_rate: str | None = None
    reads_words: bool = True
    example: str = "red"
    examples: tuple[str, str, str] = ("a ship at sea", "at night", "people")
    extra: str | None = None
    packages: tuple[str, ...] = ()
    uses_google: Callable[[Values], bool] = lambda _values: False

    def model(self, name: str) -> Model | None:
        """The declared model of that name."""
        return next((model for model in self.models if model.name == name), None)

    def spaces(self, model: Model, version: str | None = None) -> Spaces:
        """The embedding spaces of a model, which are known without credentials.

        Args:
            model: one of `models`.
            version: the default one of these spaces; None: the model's own default.
        """
        # A setting may name a version that is not declared; of those that are, each stands here once.
        versions = tuple(dict.fromkeys([version or model.versions[0], *model.versions]))
        return Spaces(self.name, model.name, versions, model.dimensions, model.preprocessing)

    def is_set_up(self, values: Values) -> bool:
        """Whether the user means to use it, which any of its settings shows."""
        return any(setting.value(values) for setting in self.settings)

    def secrets(self, values: Values) -> list[str]:
        """The values that no message may show."""
        return [setting.value(values) for setting in self.settings if setting.secret and setting.value(values)]

    def check_packages(self) -> None:
        """Check that its packages are installed, without importing them.

        Raises:
            EmbedderError: one is not installed.
        """
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                raise EmbedderError(
                    f"the embedder {self.name} needs the package {package}, which is not installed: {self.install}"
                )

    def check_choice(self, choice: Choice) -> Model | None:
        """Check that it has the chosen model and dimension.

        Returns:
            The chosen model; None where files decide, since these are known only after opening.

        Raises:
            UsageError: there is no such model, or it has no such dimension.
        """
        if not self.models:
            return None
        model = self.models[0] if choice.model is None else self.model(choice.model.partition("@")[0])
        if model is None:
            names = " or ".join(known.name for known in self.models)
            raise UsageError(f"the embedder {self.name} has the model {names}, not {choice.model!r}.")
        if choice.dimension is not None and choice.dimension not in model.dimensions:
            raise UsageError(
                f"the embedder {self.name} has no vectors of {choice.dimension} dimensions; choose"
                f" {listed(model.dimensions)}."
            )
        return model

    def check_settings(self, values: Values) -> None:
        """Check that all required settings are set.

        Raises:
            SettingsError: one is missing, or names a block that only a Prefect run reads.
        """
        # Before what is missing: a reference to a block counts as a value, and would be sent to the provider as a key.
        blocks = [setting.name for setting in self.settings if setting.value(values).startswith(BLOCK)]
        if blocks:
            raise SettingsError(
                f"{' and '.join(blocks)} of the embedder {self.name} names a block of Prefect's server, which only a run of"
                " Prefect reads: set PREFECT_API_URL for pinakes ingest, or set the value itself."
            )
        missing = [setting for setting in self.settings if setting.is_missing(values)]
        if missing:
            names = " and ".join(" or ".join((setting.name, *setting.instead)) for setting in missing)
            meanings = ", ".join(f"{setting.name} is {setting.meaning}" for setting in missing)
            raise SettingsError(
                f"the embedder {self.name} needs {names}, in the environment or in .env. {meanings}; see {self.guide}."
            )

    @property
    def install(self) -> str:
        """The command that installs its packages."""
        return extra_install(self.extra) if self.extra else f"pip install {' '.join(self.packages)}"
