"""Pinakes makes a picture collection searchable by words and by pictures."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinakes.notebook.collection import Collection

__version__ = "0.1.0"

__all__ = ["Collection", "__version__"]


def __getattr__(name: str) -> Any:
    """`Collection`, imported when it is first used, since the command line and the flows do not need it."""
    if name == "Collection":
        from pinakes.notebook.collection import Collection

        return Collection
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), "Collection"]
