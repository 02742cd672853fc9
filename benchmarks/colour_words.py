"""How well the built-in embedder answers colour words: nDCG of each term against the shares of its pixels.

`python -m benchmarks.colour_words [FOLDER]`: over the pictures of a folder, and over the painted sample gallery.

The truth is counted in the pixels of each picture by ranges of hue, saturation and value, which the embedder does not use;
of two colours the smaller share counts. nDCG@10: Järvelin and Kekäläinen, ACM TOIS 20(4), 2002, with the share as the gain.
A term that covers less than 3 % of every picture is left out.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.common import Figure, pictures_below, record
from gallery.gallery import write_gallery
from pinakes.embedders.palette.descriptor import Palette, describe
from pinakes.images.contact_sheet import Card, contact_sheet, save_sheet
from pinakes.images.decoding import decode

Doubles = npt.NDArray[np.float64]
DIMENSION: Final = 1024
DEPTH: Final = 10
FEWEST: Final = 0.03


@dataclass(frozen=True, slots=True)
class Range:
    """Hue in degrees (from, to; through 0 where `to` is smaller), saturation and value from 0 to 1."""

    hue: tuple[float, float] = (0, 360)
    saturation: tuple[float, float] = (0, 1)
    value: tuple[float, float] = (0, 1)

    def share(self, hsv: Doubles) -> float:
        """Of the pixels of shape (n, 3)."""
        hue, saturation, value = hsv.T
        first, last = self.hue
        inside = (hue >= first) & (hue <= last) if first <= last else (hue >= first) | (hue <= last)
        inside &= (saturation >= self.saturation[0]) & (saturation <= self.saturation[1])
        return float((inside & (value >= self.value[0]) & (value <= self.value[1])).mean())


_NEUTRAL = (0, 0.12)
RED, GOLD = Range((345, 15), (0.5, 1), (0.3, 1)), Range((32, 52), (0.4, 1), (0.45, 1))
BROWN, GREEN = Range((10, 40), (0.3, 1), (0.18, 0.55)), Range((70, 165), (0.18, 1), (0.15, 1))
BLUE, DEEP_BLUE = Range((190, 255), (0.22, 1), (0.2, 1)), Range((195, 255), (0.35, 1), (0.1, 0.6))
WHITE, BLACK = Range(saturation=(0, 0.1), value=(0.85, 1)), Range(value=(0, 0.12))
TERMS: Final[Mapping[str, tuple[Range, ...]]] = MappingProxyType(
    {
        "red": (RED,),
        "orange": (Range((15, 38), (0.55, 1), (0.55, 1)),),
        "yellow": (Range((45, 66), (0.35, 1), (0.6, 1)),),
        "green": (GREEN,),
        "blue": (BLUE,),
        "deep blue": (DEEP_BLUE,),
        "pale blue": (Range((185, 240), (0.08, 0.35), (0.65, 1)),),
        "purple": (Range((260, 320), (0.15, 1), (0.15, 1)),),
        "pastel pink": (Range((325, 16), (0.08, 0.38), (0.72, 1)),),
        "brown": (BROWN,),
        "cream": (Range((30, 62), (0.06, 0.28), (0.82, 1)),),
        "grey": (Range(saturation=_NEUTRAL, value=(0.25, 0.8)),),
        "white": (WHITE,),
        "black": (BLACK,),
        "gold": (GOLD,),
        "black and white drawing": (Range(saturation=_NEUTRAL, value=(0.3, 1)),),
        "red and gold": (RED, GOLD),
        "blue and gold": (BLUE, GOLD),
        "green and brown": (GREEN, BROWN),
        "red and blue": (RED, BLUE),
    }
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="real pictures")
    parser.add_argument("--gallery", type=Path, help="a sample gallery that is painted already")
    parser.add_argument("--sheets", type=Path, help="a folder for a contact sheet of each term's first ten")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sets = {"painted by code": write_gallery(options.gallery or Path(folder)).pictures}
        if options.folder:
            sets["real pictures"] = options.folder
        figures = (figure for name, pictures in sets.items() for figure in measure(name, pictures, options.sheets))
        record("colour_words", "Colour words of the built-in embedder", figures)


def measure(name: str, folder: Path, sheets: Path | None) -> Iterator[Figure]:
    """nDCG@10 of each term over the pictures below a folder."""
    files = pictures_below(folder)
    pictures = [decode(path.read_bytes(), at_least=200) for path in files]
    vectors = np.array([describe(picture, DIMENSION) for picture in pictures])
    pixels = [hsv_of(picture) for picture in pictures]
    embedder = Palette(DIMENSION)
    scores = {}
    for term, ranges in TERMS.items():
        truth = np.array([min(each.share(hsv) for each in ranges) for hsv in pixels])
        if truth.max() < FEWEST:
            continue
        reading = embedder.embed_text(term)
        # Stable, so that equal pictures keep the order of their names and every run gives the same figures.
        near = np.argsort(-(vectors @ reading.vector), kind="stable")
        assert reading.amounts is not None
        order = near[np.argsort(-reading.amounts(vectors[near]), kind="stable")]
        alone, shares = scores[term] = ndcg(truth, near), ndcg(truth, order)
        what = f"{name}, {term}: nDCG@10 by vectors alone, then by amounts"
        yield Figure(what, f"{alone:.2f}, {shares:.2f}")
        if sheets is not None:
            sheets.mkdir(exist_ok=True)
            cards = [Card(pictures[i], f"{100 * truth[i]:.0f} % {files[i].name[:40]}") for i in order[:DEPTH]]
            path = sheets / f"{name} {term}.jpg".replace(" ", "-")
            save_sheet(contact_sheet(cards, heading=term, columns=5), path)
    alone, shares = (statistics.fmean(of) for of in zip(*scores.values(), strict=True))
    whole = f"{name}, mean of {len(scores)} terms over {len(files)} pictures: nDCG@10"
    yield Figure(whole, f"{alone:.2f}, {shares:.2f}")


def ndcg(gains: Doubles, order: npt.NDArray[np.intp]) -> float:
    """Of the first ten."""
    discount = 1 / np.log2(np.arange(2, DEPTH + 2))
    best = np.sort(gains)[::-1][:DEPTH]
    return float((gains[order[:DEPTH]] * discount[: len(best)]).sum() / (best * discount[: len(best)]).sum())


def hsv_of(picture: Image.Image) -> Doubles:
    """The pixels of a picture at 128 pixels, shape (n, 3): degrees, and 0 to 1."""
    small = picture.copy()
    small.thumbnail((128, 128), Image.Resampling.BOX)
    return np.asarray(small.convert("HSV"), np.float64).reshape(-1, 3) / 255 * [360, 1, 1]


if __name__ == "__main__":
    main()
