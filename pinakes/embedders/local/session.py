"""How onnxruntime is imported and set up: its devices, threads and errors."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, Final, Literal

import numpy.typing as npt

from pinakes.errors import EmbedderError, SettingsError, extra_install, first_line

Device = Literal["cpu", "cuda"]
"""Where a model runs; `cuda` needs the package onnxruntime-gpu in place of onnxruntime."""

MOST_AT_ONCE: Final = 1024
"""Pictures for one run of a model; each takes megabytes while the model works on it."""

_CUDA: Final = "CUDAExecutionProvider"


def require(module: str) -> Any:
    """The module of that name, which is part of the extra `clip`.

    Raises:
        EmbedderError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        package = module.partition(".")[0]
        raise EmbedderError(
            f"models on this machine need {package}, which is not installed; in the checkout of Pinakes run"
            f" {extra_install('clip')}"
        ) from exc


def cpu_threads() -> int:
    """Threads for the model: the CPUs that this process may use (onnxruntime itself counts those of the machine)."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def runtime_errors() -> tuple[type[Exception], ...]:
    """What loading or running a model may raise; onnxruntime's own errors have no common base."""
    # Where they are is not documented, but they are exported nowhere else.
    state = require("onnxruntime.capi.onnxruntime_pybind11_state")
    own = [value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (*own, RuntimeError, ValueError, KeyError, TypeError, OSError)


def usable_batch(setting: str | None) -> int | None:
    """The pictures for one run of a model, from the value of `PINAKES_MODEL_BATCH`; None where it is not set.

    Raises:
        SettingsError: it is not a number from 1 to `MOST_AT_ONCE`.
    """
    if not setting:
        return None
    if not (setting.isdecimal() and 1 <= int(setting) <= MOST_AT_ONCE):
        raise SettingsError(f"PINAKES_MODEL_BATCH={setting!r} must be a number of pictures, 1 to {MOST_AT_ONCE:,}.")
    return int(setting)


def check_device(device: Device) -> None:
    """Check that onnxruntime can run on `device`.

    Raises:
        EmbedderError: CUDA was asked for and this onnxruntime has none.
    """
    if device == "cuda" and _CUDA not in require("onnxruntime").get_available_providers():
        raise EmbedderError(
            "PINAKES_DEVICE=cuda was asked for, and this onnxruntime has no CUDA: pip uninstall onnxruntime, then"
            " pip install onnxruntime-gpu; or leave PINAKES_DEVICE out to run on the CPU."
        )


def open_session(model: Path, *, device: Device = "cpu", threads: int | None = None) -> Any:
    """An `onnxruntime.InferenceSession` of the model.

    Args:
        model: the ONNX file.
        device: where it runs.
        threads: within one operator; default `cpu_threads()`.

    Raises:
        EmbedderError: onnxruntime is missing, or refuses the model or the device.
    """
    runtime = require("onnxruntime")
    check_device(device)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or cpu_threads()
    options.inter_op_num_threads = 1
    # Idle threads that spin would take the CPU from those that decode the next pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only
    providers = ["CPUExecutionProvider"] if device == "cpu" else [_CUDA, "CPUExecutionProvider"]
    try:
        return runtime.InferenceSession(str(model), sess_options=options, providers=providers)
    except runtime_errors() as exc:
        raise EmbedderError(f"onnxruntime cannot load {model}: {first_line(exc)}") from exc


def on_device(inputs: npt.NDArray[Any], device: Device) -> Any:
    """The inputs of a model as an `onnxruntime.OrtValue` where it runs: on the CPU the array itself, on CUDA a copy.

    A copy takes time of its own, in which the card can work on another batch.

    Raises:
        Exception: one of `runtime_errors`.
    """
    return require("onnxruntime").OrtValue.ortvalue_from_numpy(inputs, device, 0)
