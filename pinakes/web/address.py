"""A search as an address: it holds the whole query, so that the link reproduces the search."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, get_args

from starlette.datastructures import ImmutableMultiDict

from pinakes.errors import UsageError
from pinakes.query.filters import YEARS
from pinakes.query.query import Crop, Metric, Mode, Query, ask
from pinakes.web.place import link
from pinakes.web.uploads import Uploads

PAGE_SIZE = 24
"""The number of hits on a page unless the address names another: it fills rows of two, three, four and six."""

MODES: tuple[str, ...] = get_args(Mode)
METRICS: tuple[str, ...] = get_args(Metric)

LISTS = ("plus", "minus", "where")
"""Parameters that may be repeated."""

SIDES = ("left", "top", "width", "height")
"""The form's fields for a crop, in percent."""

FORM_FIELDS = ("add", "less", "column", "has", "from", "to", *SIDES, "picture")
"""The form's fields that an address has under another name or joined: more words, years, a text in a column, a crop."""

DEFAULTS = {"k": str(PAGE_SIZE), "mode": MODES[0], "metric": METRICS[0]}
"""Values that an address leaves out."""


@dataclass(frozen=True, slots=True)
class Address:
    """The parameters of a search, as text; an empty one has no effect.

    Attributes:
        q: words.
        like: the image_id of a stored image.
        upload: the token of an uploaded picture.
        crop: ``x,y,w,h``, fractions of the picture of `upload`, or else of `like`.
        plus, minus: more parts, as `pinakes.query.query.ask` reads them.
        where: conditions on the metadata, as `pinakes.query.filters` reads them.
        group_by, max_distance, k, mode, space, hybrid, metric: see `pinakes.query.query.Query`.
        exclude_query: `1` leaves out the stored picture that is the very file of `upload`.
        collapse_duplicates: `1` shows one of each group of copies.
        after: the cursor of the page before.
    """

    q: str = ""
    like: str = ""
    upload: str = ""
    crop: str = ""
    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    group_by: str = ""
    max_distance: str = ""
    k: str = ""
    mode: str = ""
    space: str = ""
    hybrid: str = ""
    metric: str = ""
    exclude_query: str = ""
    collapse_duplicates: str = ""
    after: str = ""

    @classmethod
    def read(cls, sent: ImmutableMultiDict[str, Any]) -> Address:
        """The search in an address or in the form's fields; other parameters are ignored."""
        texts = ImmutableMultiDict([(name, value) for name, value in sent.multi_items() if isinstance(value, str)])
        values: dict[str, Any] = {}
        for field in fields(cls):
            if field.name in LISTS:
                found = (value.strip() for value in texts.getlist(field.name))
                values[field.name] = tuple(dict.fromkeys(value for value in found if value))
            else:
                value = texts.get(field.name, "").strip()
                values[field.name] = "" if value == DEFAULTS.get(field.name) else value
        address = cls(**values)
        return replace(address, **_joined(address, texts)).pruned()

    def pruned(self) -> Address:
        """Without options that have nothing to act on: a crop without a picture, a share of words without words."""
        # The library refuses them, and a visitor who takes a picture away has not asked for an error.
        return replace(
            self,
            crop=self.crop if self.upload or self.like else "",
            exclude_query=self.exclude_query if self.upload or self.like else "",
            hybrid=self.hybrid if self.q or self.plus else "",
            max_distance=self.max_distance if self.looks else "",
        )

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The parameters of the address."""
        return [
            (field.name, value)
            for field in fields(self)
            for value in (getattr(self, field.name) if field.name in LISTS else (getattr(self, field.name),))
            if value
        ]

    @property
    def url(self) -> str:
        """The address, from the root of the site, with the shortlist."""
        return link("/", self.pairs)

    @property
    def iiif(self) -> str:
        """Where the same answer is for viewers of IIIF."""
        return link("/iiif/search", self.pairs if self.k else [*self.pairs, ("k", str(PAGE_SIZE))], ())

    def but(self, **changes: Any) -> Address:
        """The same search from its first page, with changes."""
        return replace(self, **({"after": ""} | changes)).pruned()

    def without(self, name: str, value: str) -> Address:
        """The same search from its first page, without one value of a repeated parameter."""
        return self.but(**{name: tuple(item for item in getattr(self, name) if item != value)})

    @property
    def looks(self) -> bool:
        """Whether the search has words or pictures, and not only filters."""
        return bool(self.q or self.like or self.upload or self.plus or self.minus)

    @property
    def years(self) -> tuple[str, str]:
        """The years from and to, as the form shows them."""
        # Written by hand, the range may have a dash, as in the catalogue; one year stands for both.
        for condition in self.where:
            found = re.fullmatch(rf"\s*{YEARS}\s*=\s*(\d*)\s*(\.\.|-|–)?\s*(\d*)\s*", condition, re.IGNORECASE)
            if found:
                return found[1], found[3] if found[2] else found[1]
        return "", ""

    @property
    def sides(self) -> tuple[str, str, str, str]:
        """Left, top, width and height of the crop in percent, as the form shows them."""
        try:
            crop = Crop.parse(self.crop)
        except UsageError:
            return "", "", "", ""
        left, top, width, height = (f"{round(100 * v, 1):g}" for v in (crop.x, crop.y, crop.width, crop.height))
        return left, top, width, height

    def query(self, picture: Callable[[str], bytes]) -> Query:
        """The query.

        Args:
            picture: from the token of an upload to its bytes.

        Raises:
            UsageError: a value is invalid.
        """
        # Forms cannot send it, but anybody can write it into an address; PostgreSQL's text cannot hold it.
        if any("\0" in value for _, value in self.pairs):
            raise UsageError("a query may not contain the character NUL.")
        # Without `read_picture`, so that `image:` in `plus` cannot make the server read a file of its own, or an address.
        return ask(
            self.q or None,
            image=picture(self.upload) if self.upload else None,
            fingerprint=Uploads.fingerprint(self.upload) if self.upload else "",
            like=self.like or None,
            plus=self.plus,
            minus=self.minus,
            crop=self.crop or None,
            where=self.where,
            k=_number(self.k or str(PAGE_SIZE), "the number of pictures on a page", int),
            group_by=self.group_by or None,
            max_distance=_number(self.max_distance, "the largest distance", float),
            after=self.after or None,
            mode=self.mode or MODES[0],
            space=self.space or None,
            hybrid=_number(self.hybrid, "the share of the words", float),
            metric=self.metric or METRICS[0],
            exclude_query=bool(self.exclude_query),
            collapse_duplicates=bool(self.collapse_duplicates),
        )


def is_tidy(sent: ImmutableMultiDict[str, str]) -> bool:
    """Whether an address is as `Address.url` writes it: no empty values, no defaults, no fields of the form."""
    names = {field.name for field in fields(Address)}
    return all(
        name not in FORM_FIELDS and not (name in names and value.strip() in ("", DEFAULTS.get(name)))
        for name, value in sent.multi_items()
    )


def _joined(address: Address, texts: ImmutableMultiDict[str, str]) -> dict[str, Any]:
    """The values that result from the form's own fields; a field that was not sent changes nothing."""
    changes: dict[str, Any] = {}
    where = address.where
    # The form sends both years even if they are empty, and so removes them; a link to a search has neither.
    if "from" in texts or "to" in texts:
        first, last = texts.get("from", "").strip(), texts.get("to", "").strip()
        where = tuple(item for item in where if not re.match(rf"\s*{YEARS}\s*=", item, re.IGNORECASE))
        where += (f"{YEARS}={first}..{last}",) if first or last else ()
    if texts.get("has", "").strip():
        where += (f"{texts.get('column', 'title')}~{texts['has'].strip()}",)
    changes["where"] = tuple(dict.fromkeys(where))
    for name, target in (("add", "plus"), ("less", "minus")):
        if texts.get(name, "").strip():
            changes[target] = tuple(dict.fromkeys((*getattr(address, target), texts[name].strip())))
    if any(name in texts for name in SIDES):
        changes["crop"] = _crop([texts.get(name, "").strip() for name in SIDES])
    return changes


def _crop(sides: list[str]) -> str:
    """``x,y,w,h`` of percentages; a width or height that is left out reaches to the edge."""
    if not any(sides):
        return ""
    try:
        left, top = (float(side or 0) for side in sides[:2])
        width, height = (
            float(side) if side else 100 - start for side, start in zip(sides[2:], (left, top), strict=True)
        )
    except ValueError:
        return ",".join(sides)  # for `Crop.parse`, whose message says what is wrong with it
    if (left, top, width, height) == (0, 0, 100, 100):
        return ""
    return ",".join(f"{value / 100:.4g}" for value in (left, top, width, height))


def _number(text: str, what: str, kind: Callable[[str], Any]) -> Any:
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{what} is {text[:40]!r}, which is not a number.") from None
