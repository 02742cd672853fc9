"""Pictures with copies of which the truth is known: what is done to a picture, and cheap pictures to do it to."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator

from PIL import Image, ImageDraw, ImageOps


def encoded(picture: Image.Image, quality: int = 85) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def cut(picture: Image.Image, dice: random.Random, low: float, high: float) -> bytes:
    size = (int(picture.width * dice.uniform(low, high)), int(picture.height * dice.uniform(low, high)))
    left, top = dice.randint(0, picture.width - size[0]), dice.randint(0, picture.height - size[1])
    return encoded(picture.crop((left, top, left + size[0], top + size[1])))


def reduced(picture: Image.Image, dice: random.Random) -> bytes:
    share = dice.uniform(0.2, 0.8)
    return encoded(picture.resize((int(picture.width * share), int(picture.height * share))))


def tinted(picture: Image.Image, dice: random.Random) -> bytes:
    bands = []
    for band in picture.split():
        gain = dice.uniform(0.7, 1.1)
        bands.append(band.point([min(255, int(value * gain)) for value in range(256)]))
    return encoded(Image.merge("RGB", bands))


def turned(picture: Image.Image, dice: random.Random) -> bytes:
    return encoded(picture.transpose(dice.choice([Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90])))


def bordered(picture: Image.Image, dice: random.Random) -> bytes:
    return encoded(ImageOps.expand(picture, int(min(picture.size) * dice.uniform(0.02, 0.08)), (240, 240, 235)))


KINDS: dict[str, Callable[[Image.Image, random.Random], bytes]] = {
    "equal bytes": lambda _picture, _dice: b"",
    "saved again, JPEG 30 to 70": lambda picture, dice: encoded(picture, dice.randint(30, 70)),
    "20 to 80 % of the size": reduced,
    "greyscale": lambda picture, _dice: encoded(picture.convert("L")),
    "colour cast": tinted,
    "mirrored or turned": turned,
    "crop, 50 to 70 % of each side": lambda picture, dice: cut(picture, dice, 0.5, 0.7),
    "crop, 70 to 85 % of each side": lambda picture, dice: cut(picture, dice, 0.7, 0.85),
    "crop, 85 to 97 % of each side": lambda picture, dice: cut(picture, dice, 0.85, 0.97),
    "with a border": bordered,
}
"""What is done to a picture; nothing for equal bytes."""

COPIED, AFTER_ANOTHER = 10, 50
"""Every how many made pictures one is copied, and one is painted after another."""


def made(count: int) -> Iterator[tuple[str, bytes]]:
    """Names and files of `count` pictures, always the same ones; a copy follows its original and has its number."""
    number = there = 0
    while there < count:
        seed = number - 1 if number % AFTER_ANOTHER == 1 else number
        picture = composed(seed, astray=0 if seed == number else 1 / 12)
        data = encoded(picture)
        yield f"{number:06}-original.jpg", data
        there += 1
        if number % COPIED == 5 and there < count:
            kind = list(KINDS)[number // COPIED % len(KINDS)]
            yield f"{number:06}-copy.jpg", KINDS[kind](picture, random.Random(number)) or data
            there += 1
        number += 1


def kind_made(name: str) -> str:
    """The kind of the copy of a made picture, by the name of either."""
    return list(KINDS)[int(name[:6]) // COPIED % len(KINDS)]


def leaves() -> tuple[set[str], set[tuple[str, str]]]:
    """Names of files as museums write them, and those of them that are two sides of a leaf, the first side first."""
    names, pairs = set[str](), set[tuple[str, str]]()
    for number in range(3, 43):
        for first, second in _TWO_SIDES:
            both = first.format(n=number), second.format(n=number)
            pairs.add(both)
            names.update(both)
        names.update(each.format(n=number, m=number + 100) for each in _NOT_TWO_SIDES)
    return names, pairs


def composed(seed: int, astray: float = 0.0) -> Image.Image:
    """A sky, a ground, and some figures in colours that go together.

    Painted after another, each thing is up to `astray` of the long side away from where it is in the other.
    """
    dice, hand = random.Random(seed), random.Random(~seed)
    size = dice.choice([(160, 120), (120, 160), (160, 104), (108, 160), (160, 160), (160, 128)])
    base = dice.randrange(256)
    colours = [_colour(dice, base) for _ in range(7)]
    picture = Image.composite(
        Image.new("RGB", size, colours[0]),
        Image.new("RGB", size, colours[1]),
        Image.linear_gradient("L").resize(size),
    )
    draw = ImageDraw.Draw(picture)
    horizon = size[1] * (dice.uniform(0.35, 0.8) + hand.uniform(-astray, astray))
    draw.rectangle((0, horizon, *size), fill=colours[2])
    for number in range(dice.randint(6, 28)):
        left, top = (side * (dice.uniform(-0.1, 1.0) + hand.uniform(-astray, astray)) for side in size)
        width, height = (side * dice.uniform(0.03, 0.4) ** 1.2 for side in size)
        fill = dice.choice(colours[3:])
        if number % 3 == 0:
            draw.ellipse((left, top, left + width, top + height), fill=fill)
        elif number % 3 == 1:
            draw.rectangle((left, top, left + width, top + height), fill=fill)
        else:
            draw.polygon([(left, top + height), (left + width * dice.random(), top), (left + width, top)], fill=fill)
    return picture


def _colour(dice: random.Random, base: int) -> tuple[int, ...]:
    hue = (base + dice.choice([0, 12, 25, 128]) + dice.randint(-8, 8)) % 256
    one = Image.new("HSV", (1, 1), (hue, dice.randint(30, 190), dice.randint(30, 235)))
    return tuple(one.convert("RGB").tobytes())


_TWO_SIDES = (
    ("folios/{n:03}r.jpg", "folios/{n:03}v.jpg"),
    ("MS Add 11639/f. {n} r.tif", "MS Add 11639/f. {n} v.tif"),
    ("bke-0047_{n:03}r.jpg", "bke-0047_{n:03}v.jpg"),
    ("Vat.lat.3225_f{n:04}R.jpg", "Vat.lat.3225_f{n:04}V.jpg"),
    ("1975.1.{n}_recto.jpg", "1975.1.{n}_verso.jpg"),
    ("KdZ {n} recto.tif", "KdZ {n} verso.tif"),
    ("Map {n} (Recto).jpg", "Map {n} (Verso).jpg"),
    ("drawing-{n}-RECTO.JPG", "drawing-{n}-VERSO.JPG"),
    ("W.{n}.2_fp_recto.png", "W.{n}.2_fp_verso.png"),
    ("sheet {n} [recto].jpg", "sheet {n} [verso].jpg"),
    ("obj{n}_front.jpg", "obj{n}_back.jpg"),
    ("postcard {n} - front.jpg", "postcard {n} - back.jpg"),
    ("coins/1866,1201.{n} obverse.jpg", "coins/1866,1201.{n} reverse.jpg"),
    ("RIC-{n}_obv.jpg", "RIC-{n}_rev.jpg"),
    ("monnaie {n} avers.jpg", "monnaie {n} revers.jpg"),
    ("Blatt {n} Vorderseite.jpg", "Blatt {n} Rückseite.jpg"),
    ("RP-P-{n} voorzijde.jpg", "RP-P-{n} achterzijde.jpg"),
    ("moneda {n} anverso.jpg", "moneda {n} reverso.jpg"),
    ("{n}/recto.jpg", "{n}/verso.jpg"),
    ("{n}_recto_001.jpg", "{n}_verso_001.jpg"),
)
TWO_SIDES_AS_WRITTEN = len(_TWO_SIDES)

_NOT_TWO_SIDES = (
    *("leaves/{n}r.jpg", "leaves/{m}v.jpg"),  # of two leaves
    *("atlas/{n} recto.jpg", "other atlas/{n} verso.jpg"),
    *("house {n} front.jpg", "house {m} back.jpg"),
    *("vase {n} front.jpg", "vase {n} side.jpg"),
    *("print {n} state r.jpg", "print {n} state v.jpg"),  # letters that no number precedes
    *("Verso la luce {n}.jpg", "Recto tono {n}.jpg"),
    *("Soldiers at the front {n}.jpg", "Soldiers coming back {n}.jpg"),
    *("{n}-river.jpg", "{n}-valley.jpg"),
    *("{n} recto detail.jpg", "{n} verso detail of a stamp.jpg"),
    *("{n}_frontispiece.jpg", "{n}_backdrop.jpg"),
)
