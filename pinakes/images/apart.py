"""Decodes one picture in a process of its own, which is limited in memory and time, and ended when nobody waits any more.

The process reads the file from its standard input. To its standard output it writes one line of JSON, which is the
picture's size or the reason why there is none, and then the picture in bands of rows. A process can be killed, which ends
any decoder; a thread could only be waited for.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import IO, Final

from PIL import Image

from pinakes.errors import PictureError
from pinakes.images import cost
from pinakes.images.turns import LOOK_SECONDS, WAITING, Waiting
from pinakes.types import ErrorClass

CPU_SECONDS: Final = 30
"""Processor time for one picture. The slowest pictures that fit into memory take about 10 s."""

WALL_SECONDS: Final = 240.0
"""A process that is not done by then is on a machine that is stuck. Whoever waits for the picture may allow less."""

SPARE_BYTES: Final = 256 << 20
"""Room beyond `cost.MAX_BYTES` for the libraries' threads and their stacks; most of it is never touched."""

PROCESS_BYTES: Final = 64 << 20
"""What the process itself takes without the file: Python and its libraries."""


def decode(data: bytes, at_least: int | None, max_pixels: int) -> Image.Image:
    """`pinakes.images.decoding.decode_within` in a process of its own.

    Raises:
        PictureError: as there; or the picture takes too much time or memory, or crashes its decoder.
        LeftError: nobody waits for the picture any more.
    """
    waiting = WAITING.get()
    waiting.check()
    seconds = min(WALL_SECONDS, waiting.work_seconds)
    # Half of the time that a person waits: then the picture is to blame, and not a machine that others use too.
    cpu_seconds = ceil(min(CPU_SECONDS, seconds / 2))
    command = [
        sys.executable,
        "-P",  # otherwise a file of the working folder could take the place of a module
        "-m",
        "pinakes.images.apart",
        str(at_least or 0),
        str(max_pixels),
        str(cpu_seconds),
    ]
    # NumPy's BLAS would start a thread for each processor, in a process that multiplies no matrix.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(  # noqa: S603 - this interpreter, with numbers of ours
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libtiff and others write their warnings there
        env=environment,
        start_new_session=True,  # Ctrl-C ends a run in its own way
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with _watched(process, waiting, seconds) as overdue:
            # It reads all of the file before it answers, so the two pipes never wait for each other.
            with contextlib.suppress(BrokenPipeError):  # how it ended tells why
                process.stdin.write(data)
                process.stdin.close()
            made = _received(process.stdout)
    waiting.check()
    if isinstance(made, Image.Image):
        return made
    raise made or _ended(process.returncode, cpu_seconds, seconds if overdue.is_set() else None)


@contextmanager
def _watched(process: subprocess.Popen[bytes], waiting: Waiting, seconds: float) -> Iterator[threading.Event]:
    """Kill the process after `seconds`, which sets the event that is yielded, or when nobody waits any more."""
    done, overdue = threading.Event(), threading.Event()

    def watch() -> None:
        deadline = time.monotonic() + seconds
        while not done.wait(LOOK_SECONDS):
            if time.monotonic() > deadline:
                overdue.set()
            if overdue.is_set() or waiting.has_left():
                process.kill()
                return

    watcher = threading.Thread(target=watch, name="decoding", daemon=True)
    watcher.start()
    try:
        yield overdue
    except BaseException:
        process.kill()
        raise
    finally:
        done.set()
        watcher.join()


def _received(answer: IO[bytes]) -> Image.Image | PictureError | None:
    """What the process answers; None if it ended before it was done."""
    line = answer.readline()
    if not line.endswith(b"\n"):
        return None
    header = json.loads(line)
    if "error" in header:
        return PictureError(header["error"], ErrorClass(header["class"]))
    made = Image.new("RGB", (header["width"], header["height"]))
    # In bands, since all bytes of a large picture at once would take as much memory as the picture itself.
    for box in cost.bands(made.size):
        size = (made.width, box[3] - box[1])
        band = answer.read(size[0] * size[1] * 3)
        if len(band) < size[0] * size[1] * 3:
            return None
        made.paste(Image.frombytes("RGB", size, band), box)
    return made


def _ended(status: int, cpu_seconds: int, overdue: float | None) -> PictureError:
    """Why a process ended without an answer.

    Args:
        status: as `subprocess.Popen.returncode`.
        cpu_seconds: the processor time that it had.
        overdue: the seconds after which it was killed because it was too slow; None where it was not.
    """
    if status == -signal.SIGXCPU:
        return PictureError(
            f"decoding this picture takes more than {cpu_seconds} s of a processor, which is the limit; save it again in a"
            " plainer way",
            ErrorClass.UNDECODABLE,
        )
    if overdue is not None:
        return PictureError(
            f"the picture was not decoded within {overdue:.0f} s; the machine is busy, try again later",
            ErrorClass.TIMEOUT,
        )
    if status in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGFPE, -signal.SIGILL):
        return PictureError("the file is damaged: it crashes its decoder", ErrorClass.UNDECODABLE)
    return PictureError(
        f"the process that decoded this picture was ended (status {status}); perhaps the machine lacks memory",
        ErrorClass.INTERNAL,
    )


def main() -> None:
    """What the process does."""
    from pinakes.images.decoding import decode_within  # which imports this module

    at_least, max_pixels, cpu_seconds = map(int, sys.argv[1:])
    # Read before the limit is set, which is for decoding alone: an uncompressed picture is as large as its file.
    data = sys.stdin.buffer.read()
    _limit_itself(cpu_seconds)
    out = sys.stdout.buffer
    try:
        made = decode_within(data, at_least or None, max_pixels)
    except PictureError as exc:
        text, kind = str(exc), ErrorClass(exc.error_class)
        if kind is ErrorClass.INTERNAL:  # memory ran out, which is limited here
            text = f"decoding this picture takes more than {cost.MAX_BYTES >> 20} MB of memory, which is the limit"
            kind = ErrorClass.TOO_MANY_PIXELS
        out.write(json.dumps({"error": text, "class": kind.value}).encode() + b"\n")
        return
    out.write(json.dumps({"width": made.width, "height": made.height}).encode() + b"\n")
    for box in cost.bands(made.size):
        out.write(made.crop(box).tobytes())


def _limit_itself(cpu_seconds: int) -> None:
    """Have the kernel end this process where it takes more time, and refuse it more memory."""
    import resource

    # At the first number the kernel sends SIGXCPU, by whose status the parent knows the reason; at the second SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no core file where a damaged picture crashes its decoder
    if sys.platform == "linux":
        # The limit is on addresses, most of which Python and its libraries have mapped without ever using them.
        mapped = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        most = mapped + cost.MAX_BYTES + SPARE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
