"""Page-locked memory, which CUDA calls pinned: a card copies from it by itself, at the full speed of its bus."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pinakes.errors import EmbedderError

Array = npt.NDArray[Any]


class PinnedMemory(threading.local):
    """Stacks the pictures of a batch in page-locked memory, one buffer for each thread.

    A thread uses its buffer again for its next batch, since locking pages takes longer than copying them: what `stack`
    returns must have been copied to the card by then.

    Raises:
        EmbedderError: the package cuda-bindings is missing, or there is no driver for it.
    """

    def __init__(self) -> None:
        self._buffer = page_locked(1)

    def stack(self, arrays: Sequence[Array]) -> Array:
        """As `numpy.stack` of arrays of one shape and dtype.

        Raises:
            EmbedderError: there is not enough memory that can be locked.
        """
        first = arrays[0]
        size = len(arrays) * first.nbytes
        if self._buffer.nbytes < size:
            self._buffer = page_locked(size)
        stacked = self._buffer[:size].view(first.dtype).reshape(len(arrays), *first.shape)
        return np.stack(arrays, out=stacked)


def page_locked(size: int) -> npt.NDArray[np.uint8]:
    """A buffer of `size` bytes that stays where it is in memory, for as long as the array or a view of it lives.

    Raises:
        EmbedderError: as `PinnedMemory`; the message says what CUDA said.
    """
    try:
        from cuda.bindings import runtime
    except ImportError as exc:
        raise EmbedderError(
            "PINAKES_PINNED_MEMORY=1 needs cuda-bindings of the CUDA version that the driver has (nvidia-smi shows it):"
            ' pip install "cuda-bindings==12.*", or 13.*; or leave the setting out.'
        ) from exc
    buffer = np.empty(size, np.uint8)
    address = buffer.ctypes.data
    (status,) = runtime.cudaHostRegister(address, size, runtime.cudaHostRegisterPortable)
    if status != runtime.cudaError_t.cudaSuccess:
        _, reason = runtime.cudaGetErrorString(status)
        raise EmbedderError(
            f"CUDA cannot lock {size:,} bytes of memory: {reason.decode()} ({status.name}); leave"
            " PINAKES_PINNED_MEMORY out to copy from ordinary memory."
        )
    # Not at the end of the process, when CUDA may be gone already: memory ends with it.
    weakref.finalize(buffer, runtime.cudaHostUnregister, address).atexit = False
    return buffer
