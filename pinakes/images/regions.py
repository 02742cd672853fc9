"""Regions: the parts of a picture that are embedded along with the whole, and the names of their answers.

A region's answer is kept under the fingerprint of its picture with a media fragment (https://www.w3.org/TR/media-frags/):
`md5:<hex>#xywh=percent:0,0,50,50`. So the ledger, copies of equal bytes and "paid once" work for each region as they do for
each picture. Where the frame is known only once the picture has been decoded, the plan names the region by its number,
`#salient2=1`, and the answer adds the frame to that: `#salient2=1&xywh=percent:10,20,25,25`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, Literal

from PIL import Image as Pillow

Frame = tuple[float, float, float, float]
"""x, y, width and height, in fractions of the upright picture's width and height, from the upper left corner."""

RegionKind = Literal["none", "grid", "salient"]

GRID_SIDE: Final = 0.5
"""The side of each tile, in fractions of the picture. With three in a row, neighbours overlap by half of their width, so
that a small detail is whole in one of them. Smaller tiles find fewer details of half a side: see
`python -m benchmarks.regions`."""

GRID: Final[tuple[Frame, ...]] = tuple(
    (round(column * (1 - GRID_SIDE) / 2, 4), round(row * (1 - GRID_SIDE) / 2, 4), GRID_SIDE, GRID_SIDE)
    for row in range(3)
    for column in range(3)
)

SALIENT: Final = 7
"""Two regions of a picture that draw the eye and five that cover it: see `pinakes.images.saliency`."""

MOST: Final = max(len(GRID), SALIENT)
"""Regions that a picture has at most."""

PART_SIDE: Final = 640
"""Pixels that a region keeps on its short side, where the picture has as many: about what embedders see. A small salient
region keeps half of that."""

_MARK = "#"
_XYWH = "xywh=percent:"
_SALIENT = "salient"
_NUMBER = _SALIENT + "2="
"""The 2 stands for the second way of choosing frames: answers for the first way's frames are not mistaken for answers to
these. Raise it with every change to `pinakes.images.saliency`."""


def names(kind: RegionKind) -> tuple[str, ...]:
    """The fragments under which the regions of any picture are planned."""
    if kind == "none":
        return ()
    if kind == "grid":
        return tuple(_MARK + _percent(frame) for frame in GRID)
    return tuple(f"{_MARK}{_NUMBER}{number}" for number in range(1, SALIENT + 1))


def regions_in(fingerprint: str, kind: RegionKind) -> Iterator[str]:
    """The fingerprints under which the regions of a picture are planned."""
    return (fingerprint + fragment for fragment in names(kind))


def kind_of(fingerprint: str) -> RegionKind:
    """What kind of region a fingerprint names; `none` for that of a whole picture."""
    fragment = fingerprint.partition(_MARK)[2]
    # Without the number, so that regions of an earlier choice of frames are salient too.
    return "none" if not fragment else "salient" if fragment.startswith(_SALIENT) else "grid"


def is_region(fingerprint: str) -> bool:
    """Whether a fingerprint names a region, not a whole picture."""
    return _MARK in fingerprint


def whole(fingerprint: str) -> str:
    """The fingerprint of the picture that a region belongs to; of a whole picture, its own."""
    return fingerprint.partition(_MARK)[0]


def planned(fingerprint: str) -> str:
    """The fingerprint under which the region was planned: without the frame, where the plan did not know it."""
    return fingerprint.partition("&")[0]


def answers(answered: str, asked: str) -> bool:
    """Whether the answer that is kept under the fingerprint `answered` is for what was planned under `asked`."""
    return answered == asked or (is_region(asked) and answered.startswith(f"{asked}&"))


def with_frame(fingerprint: str, frame: Frame) -> str:
    """The fingerprint of a region with its frame, also where it was planned without."""
    return fingerprint if _XYWH in fingerprint else f"{fingerprint}&{_percent(frame)}"


def frame_of(fingerprint: str) -> Frame | None:
    """The frame that a fingerprint names; None for a whole picture."""
    percentages = fingerprint.partition(_XYWH)[2]
    if not percentages:
        return None
    x, y, width, height = (round(float(number) / 100, 6) for number in percentages.split(","))
    return x, y, width, height


def number_of(fingerprint: str) -> int | None:
    """The index of a salient region among `salient_frames`; None for any other region and for whole pictures."""
    fragment = planned(fingerprint).partition(_MARK + _NUMBER)[2]
    return int(fragment) - 1 if fragment else None


def pixels(kind: RegionKind) -> int:
    """How many pixels on its short side a picture is to be decoded at, so that its regions have `PART_SIDE`."""
    return math.ceil(PART_SIDE / GRID_SIDE) if kind == "grid" else 2 * PART_SIDE


def cut(picture: Pillow.Image, frame: Frame) -> Pillow.Image:
    """A part of a picture: at least one pixel, and nothing but the picture."""
    # Rounding can make a frame empty, or put it beyond the last pixel, where Pillow would paint black.
    x, y, width, height = frame
    left, upper = min(round(x * picture.width), picture.width - 1), min(round(y * picture.height), picture.height - 1)
    right = min(max(left + 1, round((x + width) * picture.width)), picture.width)
    lower = min(max(upper + 1, round((y + height) * picture.height)), picture.height)
    return picture.crop((left, upper, right, lower))


def _percent(frame: Frame) -> str:
    return _XYWH + ",".join(f"{100 * side:.6g}" for side in frame)
