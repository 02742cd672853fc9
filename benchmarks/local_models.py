"""Models on this machine: the embedding stage of `--embedder clip` and `onnx` against a bare loop over the same files.

`python -m benchmarks.local_models [--images 384] [--rounds 3]`

The models have the layers and sizes of CLIP ViT-B/32 and of MobileNetV2, with random weights, which take as long as trained
ones. The bare loop is what a careful person writes: pictures decoded by Pillow and preprocessed in four threads, ahead of
the model; onnxruntime with batches of 16 and a thread for each processor. Each round starts a process for either side, which
embeds one picture before its clock starts. CLIP gets a third of the pictures.
"""

from __future__ import annotations

import io
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from benchmarks.common import Figure, arguments, commented, noise_jpeg, record, scratch_home
from pinakes.embedders.base import Picture
from pinakes.ingest.answers import embed_here
from pinakes.ingest.listing import list_and_plan
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.request import IngestRequest
from pinakes.settings import load_settings
from pinakes.store.embedded.server import embedded_server
from pinakes.types import Image as Listed
from tests import tiny_models

SIDE = 224
BATCH = 16
THREADS = 4
MODELS = {"clip": "CLIP ViT-B/32", "onnx": "MobileNetV2"}
CASES = [("clip", (800, 600)), ("onnx", (800, 600)), ("onnx", (2400, 1800))]
COST = 3
"""CLIP gets fewer pictures by this factor, since each takes it several times as long."""


class Graph:
    """A model in the making: each method adds nodes or random weights, and returns the name of what they give."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._random = np.random.default_rng(1)

    def weight(self, *shape: int, scale: float = 0.02) -> str:
        """Random weights."""
        name = f"w{len(self.weights)}"
        values = self._random.standard_normal(shape, dtype=np.float32) * np.float32(scale)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def constant(self, values: Any, dtype: type = np.int64) -> str:
        """Given values."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node."""
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def linear(self, value: str, inputs: int, outputs: int) -> str:
        """A layer of neurons without their function."""
        return self.add("Add", self.add("MatMul", value, self.weight(inputs, outputs)), self.weight(outputs))

    def norm(self, value: str, width: int) -> str:
        """Each vector with mean 0 and variance 1."""
        ones = self.constant([1.0] * width, np.float32)
        return self.add("LayerNormalization", value, ones, self.constant([0.0] * width, np.float32), axis=-1)

    def save(self, path: Path, output: str, dimension: int) -> None:
        """Write the model whose vectors are `output`."""
        self.nodes.append(helper.make_node("Identity", [output], ["image_embeds"]))
        given = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
        made = helper.make_tensor_value_info("image_embeds", TensorProto.FLOAT, ["n", dimension])
        graph = helper.make_graph(self.nodes, "random", [given], [made], self.weights)
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def vit(
    path: Path, *, width: int = 768, layers: int = 12, heads: int = 12, patch: int = 32, dimension: int = 512
) -> None:
    """The image side of CLIP ViT-B/32 (Radford et al. 2021): 88 million weights."""
    graph = Graph()
    tokens = (SIDE // patch) ** 2
    grid = graph.add(
        "Conv", "pixel_values", graph.weight(width, 3, patch, patch), kernel_shape=[patch] * 2, strides=[patch] * 2
    )
    flat = graph.add("Reshape", grid, graph.constant([0, width, tokens]))
    value = graph.add("Transpose", flat, perm=[0, 2, 1])
    value = graph.add("Pad", value, graph.constant([0, 1, 0, 0, 0, 0]))  # where the class token goes
    value = graph.norm(graph.add("Add", value, graph.weight(1, tokens + 1, width)), width)
    for _ in range(layers):
        normed = graph.norm(value, width)
        parts = []
        for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
            split = graph.add(
                "Reshape", graph.linear(normed, width, width), graph.constant([0, tokens + 1, heads, width // heads])
            )
            parts.append(graph.add("Transpose", split, perm=perm))
        scores = graph.add("Mul", graph.add("MatMul", parts[0], parts[1]), graph.constant(0.125, np.float32))
        seen = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), parts[2])
        joined = graph.add(
            "Reshape", graph.add("Transpose", seen, perm=[0, 2, 1, 3]), graph.constant([0, tokens + 1, width])
        )
        value = graph.add("Add", value, graph.linear(joined, width, width))
        inner = graph.linear(graph.norm(value, width), width, 4 * width)
        # CLIP's QuickGELU: x * sigmoid(1.702 x)
        gate = graph.add("Sigmoid", graph.add("Mul", inner, graph.constant(1.702, np.float32)))
        value = graph.add("Add", value, graph.linear(graph.add("Mul", inner, gate), 4 * width, width))
    # The class token stands for the picture.
    first = graph.add("Gather", value, graph.constant(0), axis=1)
    graph.save(path, graph.add("MatMul", graph.norm(first, width), graph.weight(width, dimension)), dimension)


def mobilenet(path: Path) -> None:
    """MobileNetV2 (Sandler et al. 2018) without its classifier: 2.2 million weights, 300 million multiplications."""
    graph = Graph()

    def conv(
        value: str, inputs: int, outputs: int, side: int, stride: int = 1, group: int = 1, *, clip: bool = True
    ) -> str:
        weight = graph.weight(outputs, inputs // group, side, side, scale=(2 / (inputs // group * side * side)) ** 0.5)
        pads = [side // 2] * 4
        value = graph.add(
            "Conv",
            value,
            weight,
            graph.weight(outputs),
            kernel_shape=[side] * 2,
            strides=[stride] * 2,
            pads=pads,
            group=group,
        )
        limits = (graph.constant(0.0, np.float32), graph.constant(6.0, np.float32))
        return graph.add("Clip", value, *limits) if clip else value

    value, channels = conv("pixel_values", 3, 32, 3, 2), 32
    for expansion, outputs, repeats, first_stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            inner = channels * expansion
            wide = conv(value, channels, inner, 1) if expansion > 1 else value
            made = conv(conv(wide, inner, inner, 3, stride, inner), inner, outputs, 1, clip=False)
            value = graph.add("Add", value, made) if stride == 1 and channels == outputs else made
            channels = outputs
    pooled = graph.add("GlobalAveragePool", conv(value, channels, 1280, 1))
    graph.save(path, graph.add("Flatten", pooled), 1280)


def preprocessed(path: Path) -> np.ndarray:
    """As CLIP's processor does it: the short side to 224 (bicubic), the centre, scaled and normalised."""
    picture = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    factor = SIDE / min(picture.size)
    picture = picture.resize((round(picture.width * factor), round(picture.height * factor)), Image.Resampling.BICUBIC)
    left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
    values = np.asarray(picture.crop((left, top, left + SIDE, top + SIDE)), np.float32)
    values = (values / 255 - np.float32(tiny_models.MEAN)) / np.float32(tiny_models.STD)
    return np.ascontiguousarray(values.transpose(2, 0, 1), np.float32)


def bare(model: Path, files: list[Path]) -> tuple[float, float]:
    """Seconds of the bare loop, and of the processors."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    session.run(None, {"pixel_values": preprocessed(files[0])[None]})
    started, processor = time.perf_counter(), time.process_time()
    vectors = []
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[Future[np.ndarray]] = deque()
        rest = iter(files)
        # Two batches ahead: one that the model works on, and one that is being decoded.
        waiting.extend(pool.submit(preprocessed, path) for path in islice(rest, 2 * BATCH))
        while waiting:
            batch = [waiting.popleft().result() for _ in range(min(BATCH, len(waiting)))]
            waiting.extend(pool.submit(preprocessed, path) for path in islice(rest, BATCH))
            vectors.append(session.run(None, {"pixel_values": np.stack(batch)})[0])
    assert len(np.concatenate(vectors)) == len(files)
    return time.perf_counter() - started, time.process_time() - processor


def ours(name: str, source: Path, home: Path, number: str) -> tuple[float, float]:
    """Seconds of the embedding stage of a run, checkpoint included, and of the processors."""
    paths = {f"PINAKES_{kind.upper()}_PATH": str(home / kind) for kind in MODELS}
    settings = load_settings({"PINAKES_HOME": str(home), **paths})
    options = {
        "source": str(source),
        "embedder": name,
        "model": "clip-ViT-B-32" if name == "clip" else None,
        "collection": f"c{number}",
        "checkpoint": str(home / "kept" / number),
    }
    with open_ingestion(IngestRequest.with_settings(settings, options), settings) as run:
        file = next(source.iterdir())
        list(run.embedder.embed_images([Picture(Listed("a", "", "", 0), file.read_bytes)]))
        planned = list_and_plan(run)
        processor = time.process_time()
        embedded = embed_here(run, planned)
        assert embedded.results.embedded == len(planned.plan.images)
        return embedded.seconds, time.process_time() - processor


def once(side: str, name: str, source: Path, home: Path, number: int) -> dict[str, float]:
    """One round of one side, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.local_models", "child", side, name]
    done = subprocess.run([*command, source, home, str(number)], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def child(side: str, name: str, source: str, home: str, number: str) -> None:
    files = sorted(Path(source).iterdir())
    model = next(Path(home, name).rglob("model.onnx" if name == "onnx" else "vision/model.onnx"))
    taken, processor = bare(model, files) if side == "bare" else ours(name, Path(source), Path(home), number)
    # Not getrusage: its peak includes that of the process which started this one.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(json.dumps({"seconds": taken, "processor": processor, "peak": int(peak) / 1024}))


def main() -> None:
    options = arguments(__doc__, images=384, rounds=3)
    remark = (
        "Speed of the embedding stage, checkpoint included, against a bare loop (Pillow in four threads ahead of"
        " onnxruntime, batches of 16) over the same files: medians of rounds taken in turn. The weights are random. Peak"
        " memory is that of the process, which for ours holds the whole pipeline."
    )
    record("local_models", "Models on this machine", measured(options.images, options.rounds), remark)


def measured(most: int, rounds: int) -> Iterator[Figure]:
    """Each model over pictures of one size, both sides in turn."""
    number = 0
    with scratch_home() as home, embedded_server(home):
        vit(tiny_models.clip(home / "clip") / "vision" / "model.onnx")
        tiny_models.preprocessor(home / "onnx")
        mobilenet(home / "onnx" / "model.onnx")
        for name, size in CASES:
            source, images = home / f"{name}{size[0]}", most // (COST if name == "clip" else 1)
            source.mkdir()
            data = noise_jpeg(size, (size[0] // 8, size[1] // 8), quality=85, seed=1)
            for each in range(images):
                (source / f"{each:04}.jpg").write_bytes(commented(data, f"{each:04}"))
            found: dict[str, list[dict[str, float]]] = {"ours": [], "bare": []}
            for _ in range(rounds):
                for side, of_side in found.items():
                    number += 1
                    of_side.append(once(side, name, source, home, number))
            # Of each round by itself, since the machine is not as quick in all of them.
            pairs = list(zip(found["ours"], found["bare"], strict=True))
            speed, work = (
                statistics.median(bare[key] / ours[key] for ours, bare in pairs) for key in ("seconds", "processor")
            )
            rates = [images / statistics.median(one["seconds"] for one in of_side) for of_side in found.values()]
            peaks = [statistics.median(one["peak"] for one in of_side) for of_side in found.values()]
            yield Figure(
                f"`--embedder {name}`, {MODELS[name]}, JPEG of {size[0]} × {size[1]}",
                f"{speed:.2f} × ({rates[0]:.1f} against {rates[1]:.1f} images/s; processor time {1 / work:.2f} ×;"
                f" peak {peaks[0]:.0f} against {peaks[1]:.0f} MB)",
                "≥ 0.95 ×",
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        main()
