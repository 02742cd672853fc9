"""Memory and time of decoding are bounded, whatever a picture holds."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from pinakes.errors import PictureError
from pinakes.images import apart, cost
from pinakes.images.decoding import decode, thumbnail_jpeg
from pinakes.images.turns import WAITING, BusyError, LeftError, Turns, Waiting
from pinakes.types import ErrorClass
from tests import pictures as make
from tests.waiting import PATIENCE, until


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def one_colour_webp(width: int, height: int) -> bytes:
    """A lossless WebP whose five codes have one symbol each, so that its pixels take no bits at all."""
    bits: list[int] = []

    def put(value: int, count: int) -> None:
        bits.extend(value >> at & 1 for at in range(count))

    for value, count in ((width - 1, 14), (height - 1, 14), (1, 1), (0, 3), (0, 1), (0, 1), (0, 1)):
        put(value, count)
    for symbol in (200, 100, 50, 255):
        put(0b101, 3)
        put(symbol, 8)
    put(0b0001, 4)
    bits += [0] * (-len(bits) % 8)
    body = b"\x2f" + bytes(sum(bit << at for at, bit in enumerate(bits[i : i + 8])) for i in range(0, len(bits), 8))
    body += bytes(len(body) % 2)
    chunk = b"VP8L" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def many_scans(size: tuple[int, int], scans: int) -> bytes:
    """A progressive JPEG with its smallest scan repeated."""
    data = saved(Image.new("RGB", size, "#345678"), "JPEG", progressive=True)
    starts = [at for at in range(len(data)) if data.startswith(b"\xff\xda", at)] + [len(data) - 2]
    smallest = min((data[a:b] for a, b in itertools.pairwise(starts)), key=len)
    return data[:-2] + smallest * scans + data[-2:]


def failure(data: bytes, at_least: int | None = None) -> PictureError:
    with pytest.raises(PictureError) as caught:
        decode(data, at_least=at_least)
    return caught.value


# --- Memory


@pytest.mark.parametrize(
    "data",
    [make.png((13_000, 13_700), 8, 6, bytes(10)), one_colour_webp(16_000, 11_000)],
    ids=["png rgba", "webp of 32 bytes"],
)
def test_a_picture_that_would_take_too_much_memory_is_refused_by_its_header(data: bytes) -> None:
    error = failure(data, at_least=320)
    assert error.error_class == ErrorClass.TOO_MANY_PIXELS
    assert "MB of memory to decode; the limit is 640 MB" in str(error)


_MEASURE = """
import sys
from pinakes.images import cost
from pinakes.images.decoding import decode_within, with_header
def of(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) << 10
data = sys.stdin.buffer.read()
told = cost.prepare(with_header(data), data, None).size
before = of("VmRSS")
decode_within(data, None, 10**9)
print(told, of("VmHWM") - before)
"""


def _large(name: str) -> bytes:
    size = (2300, 2000)
    colours = Image.new("RGB", size, "#345678")
    clear = Image.new("RGBA", size, "#34567880")
    exif = Image.Exif()
    exif[0x0112] = 6
    match name:
        case "png":
            icc = make.swapped_profile()
            return saved(clear, "PNG", compress_level=1, icc_profile=icc, exif=exif.tobytes())
        case "palette":
            return saved(colours.quantize(32), "PNG", compress_level=1)
        case "progressive":
            return saved(colours, "JPEG", progressive=True, subsampling=0)
        case "webp":
            return one_colour_webp(*size)
        case "tiff":
            return saved(colours, "TIFF", compression="tiff_deflate", strip_size=1 << 30)
        case "float":
            return saved(Image.new("F", size, 0.5), "TIFF")
        case "jpeg2000":
            return saved(clear, "JPEG2000", irreversible=True, quality_layers=[40])
        case _:
            return saved(clear, "AVIF", speed=10, subsampling="4:4:4")


@pytest.mark.skipif(sys.platform != "linux", reason="measured with /proc")
@pytest.mark.parametrize("name", ["png", "palette", "progressive", "webp", "tiff", "float", "jpeg2000", "avif"])
def test_a_picture_takes_no_more_than_its_header_tells(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE], input=_large(name), capture_output=True, check=True, timeout=PATIENCE
    )
    told, took = map(int, done.stdout.split())
    assert took <= told + (8 << 20)


def test_a_large_picture_is_made_smaller_while_it_is_decoded() -> None:
    data = make.png((12_000, 9_000), 8, 0, bytes(12_001) * 9_000)
    made = decode(data, at_least=300)
    assert made.size == (400, 300)
    assert made.getpixel((200, 150)) == (0, 0, 0)
    assert Image.open(io.BytesIO(thumbnail_jpeg(data, long_side=320))).size == (320, 240)


def test_the_file_is_not_counted_in_the_memory_that_a_process_may_take_for_decoding() -> None:
    program = (
        "import sys; from pinakes.images import apart, cost; cost.MAX_BYTES = apart.SPARE_BYTES = 32 << 20;"
        " sys.argv[1:] = ['0', '1000000', '30']; apart.main()"
    )
    data = make.photo(kind="JPEG2000") + bytes(128 << 20)
    ended = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[0]) == dict(zip(("width", "height"), make.SIZE, strict=True))


def test_a_picture_in_bands_and_in_a_process_of_its_own_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (saved(make.scene(), "PNG", icc_profile=make.swapped_profile()), make.photo(kind="JPEG2000")):
        here = decode(data)
        monkeypatch.setattr(cost, "MAX_BYTES_HERE", 0)
        assert decode(data).tobytes() == here.tobytes()
        monkeypatch.undo()


# --- Time


def test_a_jpeg_of_endless_scans_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    data = many_scans((6000, 4000), 30_000)
    monkeypatch.setattr(apart, "CPU_SECONDS", 1)
    error = failure(data, at_least=320)
    assert error.error_class == ErrorClass.UNDECODABLE
    assert "takes more than 1 s of a processor" in str(error)


def test_a_visitor_of_a_busy_machine_waits_no_longer_than_the_page_says() -> None:
    def stop() -> None:
        while not (children := _children()):
            time.sleep(0.01)
        os.kill(children[0], signal.SIGSTOP)  # it gets no time of a processor

    stopping = threading.Thread(target=stop)
    stopping.start()
    token = WAITING.set(Waiting(PATIENCE, work_seconds=5))
    try:
        error = failure(many_scans((6000, 4000), 30_000), at_least=320)
    finally:
        WAITING.reset(token)
        stopping.join()
    assert error.error_class == ErrorClass.TIMEOUT
    assert "not decoded within 5 s; the machine is busy" in str(error)
    assert not _children()


def test_the_work_of_somebody_who_left_is_ended() -> None:
    left = threading.Event()
    token = WAITING.set(Waiting(PATIENCE, left.is_set))
    try:
        threading.Timer(1.0, left.set).start()
        with pytest.raises(LeftError):
            decode(many_scans((6000, 4000), 30_000), at_least=320)
    finally:
        WAITING.reset(token)
    until(lambda: not _children())


def test_ordinary_pictures_are_decoded_while_an_endless_one_is() -> None:
    left = threading.Event()

    def endless() -> None:
        WAITING.set(Waiting(PATIENCE, left.is_set))
        decode(many_scans((6000, 4000), 30_000), at_least=320)

    with ThreadPoolExecutor(4) as pool:
        works = [pool.submit(endless) for _ in range(4)]
        until(_children)
        try:
            assert decode(make.photo()).mode == "RGB"
            assert not any(work.done() for work in works)
        finally:
            left.set()


def test_a_decoder_that_is_killed_costs_only_its_picture() -> None:
    def kill() -> None:
        os.kill(until(_children)[0], 9)

    killer = threading.Thread(target=kill)
    killer.start()
    error = failure(many_scans((6000, 4000), 30_000), at_least=320)
    killer.join()
    assert error.error_class == ErrorClass.INTERNAL
    assert "was ended (status -9)" in str(error)


def _children() -> list[int]:
    """This process's children that decode."""
    found = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True)
    return [int(line.split()[0]) for line in found.stdout.splitlines() if "pinakes.images.apart" in line]


# --- Turns


def test_turns_keep_within_their_budget() -> None:
    turns = Turns(100)
    lock = threading.Lock()
    now: list[int] = []
    most: list[int] = []

    def work(size: int) -> None:
        with turns.turn(size):
            with lock:
                now.append(min(size, 100))
                most.append(sum(now))
            threading.Event().wait(0.002)
            with lock:
                now.remove(min(size, 100))

    with ThreadPoolExecutor(16) as visitors:
        list(visitors.map(work, [10, 60, 500, 30, 90] * 10))
    assert len(most) == 50
    assert max(most) <= 100


def test_whoever_waits_too_long_or_leaves_is_told() -> None:
    turns = Turns(1)
    for waiting, error in ((Waiting(0.01), BusyError), (Waiting(PATIENCE, lambda: True), LeftError)):
        with turns.turn(1):
            token = WAITING.set(waiting)
            try:
                with pytest.raises(error), turns.turn(1):
                    pass
            finally:
                WAITING.reset(token)
    with turns.turn(1):
        pass  # and nothing is left behind by those who gave up
