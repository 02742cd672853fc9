"""Odd pictures, made in code: every one that a collection may hold and a decoder may trip over."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms, ImageDraw

RED = (200, 40, 30)
SIZE = (60, 40)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """`image` as a file of Pillow's format `kind`."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def plain(mode: str = "RGB", colour: object = RED, size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.new(mode, size, colour)  # type: ignore[arg-type]


def scene(size: tuple[int, int] = SIZE) -> Image.Image:
    """A gradient with a disc: enough detail that damage to the file shows."""
    width, height = size
    x = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    noise = np.random.default_rng(7).integers(0, 40, (height, width))
    image = Image.fromarray(np.dstack([x, y, 127 + noise]).astype(np.uint8))
    ImageDraw.Draw(image).ellipse((width // 4, height // 4, width // 2, height // 2), fill=RED)
    return image


def photo(colour: tuple[int, int, int] = RED, size: tuple[int, int] = SIZE, kind: str = "JPEG") -> bytes:
    """A plain picture of one colour: what most tests of sources need."""
    return saved(plain("RGB", colour, size), kind)


def animated(kind: str) -> bytes:
    """Two frames, the first red, the second blue."""
    return saved(plain(), kind, save_all=True, append_images=[plain("RGB", (0, 0, 255))], duration=50)


def rotated(orientation: int, kind: str = "JPEG") -> bytes:
    """A picture whose upright form is red in its left upper quarter, stored as EXIF `orientation` has it."""
    upright = plain("RGB", (255, 255, 255), (64, 32))
    upright.paste(RED, (0, 0, 32, 16))
    back = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if back is None else upright.transpose(back)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(stored, kind, exif=exif, quality=95)


def four_colours() -> Image.Image:
    """A palette of four colours, all of it of the last, which is black."""
    image = plain("P", 3)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0])
    image.paste(0, (0, 0, 4, 4))
    image.paste(1, (4, 0, 8, 4))
    image.paste(2, (8, 0, 12, 4))
    return image


def swapped_profile() -> bytes:
    """An ICC profile like sRGB's with its red and green primaries exchanged: what it calls red is green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {
        bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * struct.unpack_from(">I", profile, 128)[0], 12)
    }
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    profile[red + 4 : red + 12], profile[green + 4 : green + 12] = (
        profile[green + 4 : green + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(profile)


def grey_profile(gamma: float = 1.0) -> bytes:
    """A minimal ICC grey profile (version 2.1): a white point and one gamma value."""

    def tag(kind: bytes, body: bytes) -> bytes:
        return kind + b"\0\0\0\0" + body

    d50 = struct.pack(">3i", 63190, 65536, 54061)
    bodies = {
        b"wtpt": tag(b"XYZ ", d50),
        b"kTRC": tag(b"curv", struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"),
        b"desc": tag(b"desc", struct.pack(">I", 5) + b"grey\0" + bytes(78)) + b"\0",
        b"cprt": tag(b"text", b"none\0\0\0\0"),
    }
    table, data = b"", b""
    start = 128 + 4 + 12 * len(bodies)
    for name, body in bodies.items():
        table += name + struct.pack(">II", start + len(data), len(body))
        data += body
    size = start + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02100000, b"mntr", b"GRAY", b"XYZ ")
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + d50 + bytes(48)
    return header + struct.pack(">I", len(bodies)) + table + data


def cmyk_profile() -> bytes:
    """A coarse ICC CMYK output profile (version 2.1) that calls every colour mid grey, so that its use shows."""

    def tag(kind: bytes, body: bytes) -> bytes:
        return kind + b"\0\0\0\0" + body

    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    # lut8: 4 channels in, 3 out, 2 grid points; Lab 50/0/0 without K, 0/0/0 with it.
    lut = struct.pack(">4B", 4, 3, 2, 0) + identity
    lut += bytes(range(256)) * 4 + bytes([128, 128, 128, 0, 128, 128]) * 8 + bytes(range(256)) * 3
    d50 = struct.pack(">3i", 63190, 65536, 54061)
    bodies = {
        b"wtpt": tag(b"XYZ ", d50),
        b"A2B0": tag(b"mft1", lut),
        b"desc": tag(b"desc", struct.pack(">I", 5) + b"inks\0" + bytes(78)) + b"\0",
        b"cprt": tag(b"text", b"none\0\0\0\0"),
    }
    table, data = b"", b""
    start = 128 + 4 + 12 * len(bodies)
    for name, body in bodies.items():
        body += bytes(-len(body) % 4)
        table += name + struct.pack(">II", start + len(data), len(body))
        data += body
    header = struct.pack(">I4sI4s4s4s", start + len(data), b"\0\0\0\0", 0x02100000, b"prtr", b"CMYK", b"Lab ")
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + d50 + bytes(48)
    return header + struct.pack(">I", len(bodies)) + table + data


def ycck_jpeg() -> bytes:
    """A CMYK JPEG as Photoshop writes it: the Adobe marker says YCCK (transform 2) and the inks are inverted."""
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
    # Red's inks (0, 255, 255) inverted are (255, 0, 0); YCCK calls what is left of 255 R, G, B. K inverted is 255.
    y, cb, cr = plain("RGB", (0, 255, 255), (1, 1)).convert("YCbCr").getpixel((0, 0))  # type: ignore[misc]
    swapped = saved(plain("CMYK", (255 - y, 255 - cb, 255 - cr, 0)), "JPEG", quality=95)
    at = swapped.index(adobe)
    return swapped[: at + len(adobe)] + b"\x02" + swapped[at + len(adobe) + 1 :]


def tiff(tags: dict[int, tuple[int, int]], pixels: bytes, size: tuple[int, int] = SIZE) -> bytes:
    """An uncompressed little-endian TIFF of one strip; `tags` maps a tag to (type 3 SHORT or 4 LONG, value)."""
    width, height = size
    whole: dict[int, tuple[int, int]] = {
        256: (4, width),
        257: (4, height),
        258: (3, 8),
        259: (3, 1),
        262: (3, 1),
        273: (4, 0),
        277: (3, 1),
        278: (4, height),
        279: (4, len(pixels)),
    }
    whole.update(tags)
    whole[273] = (4, 8 + 2 + 12 * len(whole) + 4)
    directory = struct.pack("<H", len(whole))
    for number in sorted(whole):
        kind, value = whole[number]
        directory += struct.pack(
            "<HHIHH" if kind == 3 else "<HHII", number, kind, 1, *((value, 0) if kind == 3 else (value,))
        )
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + pixels


def grey16(value: int, size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.fromarray(np.full((size[1], size[0]), value, np.uint16))


def grey12_tiff(value: int) -> bytes:
    """12 bits a sample, packed: what X-ray scanners write; its white is 4,095."""
    pair = bytes([value >> 4, (value & 15) << 4 | value >> 8, value & 255])
    return tiff({258: (3, 12)}, pair * (SIZE[0] * SIZE[1] // 2))


def inverted16_tiff(value: int) -> bytes:
    """16 bits where 0 is white (photometric interpretation 0)."""
    return tiff({258: (3, 16), 262: (3, 0)}, struct.pack("<H", value) * (SIZE[0] * SIZE[1]))


def signed16_tiff(value: int) -> bytes:
    return tiff({258: (3, 16), 339: (3, 2)}, struct.pack("<h", value) * (SIZE[0] * SIZE[1]))


def grey32_tiff(value: int) -> bytes:
    return tiff({258: (3, 32), 339: (3, 1)}, struct.pack("<I", value) * (SIZE[0] * SIZE[1]))


def float_tiff(value: float) -> bytes:
    return saved(Image.fromarray(np.full((SIZE[1], SIZE[0]), value, np.float32)), "TIFF")


def raw_like_tiff() -> bytes:
    """A TIFF whose first page calls itself a reduced preview (tag 254 = 1), as camera raw files have it."""
    return tiff({254: (4, 1)}, bytes(SIZE[0] * SIZE[1]))


def png(
    size: tuple[int, int],
    depth: int,
    colour_type: int,
    rows: bytes | None = None,
    extra: dict[bytes, bytes] | None = None,
) -> bytes:
    """A PNG put together chunk by chunk; `rows` is the unfiltered data with a filter byte 0 before each row."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    middle = b"".join(chunk(name, body) for name, body in (extra or {}).items())
    body = zlib.compress(rows if rows is not None else bytes(16))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + middle + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def grey16_png_with_clear_value(value: int) -> bytes:
    """16-bit grey where the one value `value` is transparent (a tRNS chunk)."""
    rows = (b"\0" + struct.pack(">H", value) * SIZE[0]) * SIZE[1]
    return png(SIZE, 16, 0, rows, {b"tRNS": struct.pack(">H", value)})


def grey_png(depth: int, value: int, clear: int) -> bytes:
    """Grey of 2 or 4 bits, all of one value, with a transparent one."""
    packed = sum(value << at for at in range(0, 8, depth))
    rows = (b"\0" + bytes([packed]) * (SIZE[0] * depth // 8)) * SIZE[1]
    return png(SIZE, depth, 0, rows, {b"tRNS": struct.pack(">H", clear)})


def rgb16_png(value: tuple[int, int, int], clear: tuple[int, int, int] | None = None) -> bytes:
    """16 bits a channel, with a transparent colour if one is given."""
    rows = (b"\0" + struct.pack(">3H", *value) * SIZE[0]) * SIZE[1]
    return png(SIZE, 16, 2, rows, {b"tRNS": struct.pack(">3H", *clear)} if clear else None)


def lab_tiff() -> bytes:
    return saved(Image.merge("LAB", [plain("L", v) for v in (138, 128, 128)]), "TIFF")


VARIANTS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved(scene(), "JPEG"),
    "jpeg-progressive": lambda: saved(scene(), "JPEG", progressive=True),
    "jpeg-grey": lambda: saved(scene().convert("L"), "JPEG"),
    "jpeg-cmyk": lambda: saved(scene().convert("CMYK"), "JPEG"),
    "jpeg-exif-icc": lambda: saved(scene(), "JPEG", icc_profile=swapped_profile(), exif=_exif()),
    "png": lambda: saved(scene(), "PNG"),
    "png-alpha": lambda: saved(scene().convert("RGBA"), "PNG"),
    "png-palette": lambda: saved(scene().quantize(16), "PNG", transparency=3),
    "png-16": lambda: saved(grey16(30000), "PNG"),
    "png-icc": lambda: saved(scene(), "PNG", icc_profile=swapped_profile()),
    "png-animated": lambda: animated("PNG"),
    "gif": lambda: saved(scene().quantize(16), "GIF"),
    "gif-animated": lambda: animated("GIF"),
    "bmp": lambda: saved(scene(), "BMP"),
    "bmp-1": lambda: saved(scene().convert("1"), "BMP"),
    "tiff": lambda: saved(scene(), "TIFF"),
    "tiff-lzw": lambda: saved(scene(), "TIFF", compression="tiff_lzw"),
    "tiff-jpeg": lambda: saved(scene(), "TIFF", compression="jpeg"),
    "tiff-deflate": lambda: saved(scene(), "TIFF", compression="tiff_adobe_deflate"),
    "tiff-fax": lambda: saved(scene().convert("1"), "TIFF", compression="group4"),
    "tiff-float": lambda: float_tiff(0.5),
    "webp": lambda: saved(scene(), "WEBP"),
    "webp-lossless": lambda: saved(scene(), "WEBP", lossless=True, exif=_exif()),
    "webp-animated": lambda: animated("WEBP"),
    "ppm": lambda: saved(scene(), "PPM"),
    "pgm-16": lambda: saved(grey16(30000), "PPM"),
    "pgm-text": lambda: b"P2\n4 2\n7\n0 1 2 3\n4 5 6 7\n",
    "pbm": lambda: saved(scene().convert("1"), "PPM"),
    "pfm": lambda: saved(scene().convert("F"), "PPM"),
    "avif": lambda: saved(scene(), "AVIF"),
    "jp2": lambda: saved(scene(), "JPEG2000"),
    "j2k-16": lambda: saved(grey16(30000), "JPEG2000", no_jp2=True),
}
"""One small valid file of every kind that is decoded: what the tests damage."""


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    return exif
