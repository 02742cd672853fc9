"""What stands with a picture wherever it is shown: what it is called, who made it when, and whose rights it is under.

The one place that makes captions: pages, sheets, notebooks and documents of IIIF only lay them out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pinakes import ids

# A licence of version 3 may be one of a country, and its text in each language has an address of its own: …/3.0/de/deed.
_CREATIVE_COMMONS = re.compile(
    r"https?://creativecommons\.org/(?:licenses/(?P<terms>[a-z-]+)|publicdomain/(?P<domain>zero|mark))"
    r"/(?P<version>\d\.\d)/?[a-z/]*$"
)
_STATEMENTS = {
    "InC": "In copyright",
    "InC-OW-EU": "In copyright, EU orphan work",
    "InC-EDU": "In copyright, educational use permitted",
    "InC-NC": "In copyright, non-commercial use permitted",
    "InC-RUU": "In copyright, rights holder unknown",
    "NoC-CR": "No copyright, contractual restrictions",
    "NoC-NC": "No copyright, non-commercial use only",
    "NoC-OKLR": "No copyright, other known legal restrictions",
    "NoC-US": "No copyright in the United States",
    "CNE": "Copyright not evaluated",
    "UND": "Copyright undetermined",
    "NKC": "No known copyright",
}
"""https://rightsstatements.org/page/1.0/"""
_RIGHTS_STATEMENT = re.compile(r"https?://rightsstatements\.org/(?:vocab|page)/([A-Za-z-]+)/1\.0/?")


@dataclass(frozen=True, slots=True)
class Caption:
    """The words that stand with a picture.

    Attributes:
        title: its title, else the name of its file.
        author, date: empty where they are not known.
        credit: the statement that its owner requires and the rights that it is under; empty where neither is known.
        rights: the address of a licence or a statement of rights; empty where there is none.
    """

    title: str
    author: str = ""
    date: str = ""
    credit: str = ""
    rights: str = ""

    @property
    def made(self) -> str:
        """Author and date."""
        return ", ".join(filter(None, (self.author, self.date)))


class Captioned:
    """What is known about an image, and so has a caption."""

    __slots__ = ()
    image_id: str
    metadata: dict[str, Any]
    several: dict[str, list[str]]

    def shown(self, column: str) -> str:
        """A column as people write it: the cell `Rubens|Brueghel` as `Rubens; Brueghel`; empty where nothing is known."""
        values = self.several.get(column)
        return "; ".join(values) if values else str(self.metadata.get(column) or "").strip()

    @property
    def caption(self) -> Caption:
        """What stands with the picture."""
        rights = self.shown("rights")
        return Caption(
            title=self.shown("title") or ids.base_name(self.image_id),
            author=self.shown("author"),
            date=self.shown("date") or self.shown("timeframe"),
            # The columns of IIIF: a required statement has to be shown with the picture, wherever that is.
            credit=" · ".join(filter(None, (self.shown("requiredStatement"), rights_name(rights)))),
            # It becomes a link, so a text such as "javascript:…" must not get there.
            rights=rights if rights.startswith(("https://", "http://")) else "",
        )


def rights_name(rights: str) -> str:
    """What people call the rights at an address, such as `CC BY-SA 4.0`; what is not known stays as it is."""
    if found := _CREATIVE_COMMONS.match(rights):
        version = found["version"]
        if found["domain"]:
            return f"CC0 {version}" if found["domain"] == "zero" else f"Public domain mark {version}"
        return f"CC {found['terms'].upper()} {version}"
    if (found := _RIGHTS_STATEMENT.match(rights)) and found[1] in _STATEMENTS:
        return _STATEMENTS[found[1]]
    return rights
