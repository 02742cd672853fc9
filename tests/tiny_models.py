"""Tiny real ONNX models, in the files and folders that the real ones come in: a few kB, and sums that can be checked.

A picture's features are the mean colours of a grid of 4 x 4 cells, projected by a fixed random matrix; a word's vector is
the projection of a picture of that colour alone, so that words and pictures lie in one space.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of OpenAI's CLIP, as its preprocessor_config.json has them."""

GRID = 4
SIDE = 224

WORDS = {
    "red": (220, 30, 30),
    "green": (40, 170, 60),
    "blue": (40, 60, 200),
    "white": (250, 250, 250),
    "black": (5, 5, 5),
}
FILLERS = ("a", "painting", "of", "the", "sea")
TOKENS = ("<pad>", "<start>", "<end>", "<unk>", *WORDS, *FILLERS)

PREPROCESSOR = {
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": list(MEAN),
    "image_processor_type": "CLIPImageProcessor",
    "image_std": list(STD),
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": SIDE},
}

Shape = list[int | str]


def projection(dimension: int, seed: int = 0) -> np.ndarray:
    """The matrix from grid features to a vector: shape (3 * GRID * GRID, dimension), float32."""
    return np.random.default_rng(seed).standard_normal((3 * GRID * GRID, dimension)).astype(np.float32)


def saved(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, np.ndarray]) -> Path:
    graph = helper.make_graph(
        nodes, "tiny", inputs, outputs, [numpy_helper.from_array(value, name) for name, value in weights.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def vision(
    path: Path,
    *,
    dimension: int = 512,
    batch: int | str = "n",
    side: int | str = SIDE,
    layout: str = "NCHW",
    dtype: int = TensorProto.FLOAT,
    outputs: dict[str, str] | None = None,
    seed: int = 0,
    cells: int = SIDE // GRID,
) -> Path:
    """An image model.

    Args:
        path: where it is written.
        dimension: of its vectors.
        batch: pictures at once: a number, or a name where it is free.
        side: pixels a side, or a name.
        layout: NCHW or NHWC.
        dtype: of the input.
        outputs: name → kind, in their order: `vector` (n, dimension), `bare` (dimension,) for a batch of 1,
            `tokens` (n, 1 + 16, dimension), the first of which is the vector, or `map` (n, dimension, 4, 4).
        seed: of the weights.
        cells: pixels a side of one cell of the grid.
    """
    outputs = outputs or {"image_embeds": "vector"}
    axes: Shape = [batch, 3, side, side] if layout == "NCHW" else [batch, side, side, 3]
    nodes = [helper.make_node("Cast", ["pixel_values"], ["floats"], to=TensorProto.FLOAT)]
    planes = "floats"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]))
        planes = "planes"
    nodes += [
        helper.make_node("AveragePool", [planes], ["grid"], kernel_shape=[cells, cells], strides=[cells, cells]),
        helper.make_node("Flatten", ["grid"], ["features"]),
        helper.make_node("MatMul", ["features", "projection"], ["vector"]),
    ]
    weights = {"projection": projection(dimension, seed)}
    declared = []
    for name, kind in outputs.items():
        shape: Shape = [batch, dimension]
        if kind == "vector":
            nodes.append(helper.make_node("Identity", ["vector"], [name]))
        elif kind == "bare":
            weights["all"] = np.array([dimension])
            nodes.append(helper.make_node("Reshape", ["vector", "all"], [name]))
            shape = [dimension]
        elif kind == "tokens":
            weights |= {"one": np.array([1]), "noise": projection(dimension, seed + 1)[None, : GRID * GRID]}
            nodes += [
                helper.make_node("Unsqueeze", ["vector", "one"], ["first"]),
                helper.make_node("Add", ["first", "noise"], ["rest"]),
                helper.make_node("Concat", ["first", "rest"], [name], axis=1),
            ]
            shape = [batch, 1 + GRID * GRID, dimension]
        else:
            weights["kernel"] = projection(dimension, seed)[:3].T[:, :, None, None].copy()
            nodes.append(helper.make_node("Conv", ["grid", "kernel"], [name]))
            shape = [batch, dimension, GRID, GRID]
            if layout == "NHWC":
                nodes[-1] = helper.make_node("Conv", ["grid", "kernel"], [f"{name}_planes"])
                nodes.append(helper.make_node("Transpose", [f"{name}_planes"], [name], perm=[0, 2, 3, 1]))
                shape = [batch, GRID, GRID, dimension]
        declared.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    given = helper.make_tensor_value_info("pixel_values", dtype, axes)
    return saved(path, nodes, [given], declared, weights)


def text(
    path: Path, *, dimension: int = 512, output: str = "text_embeds", seed: int = 0, rows: int = len(TOKENS)
) -> Path:
    """A text model whose word vectors are those of pictures of that colour, three times as long.

    Rows of its table beyond `TOKENS` are random.
    """
    table = np.random.default_rng(seed + 3).standard_normal((rows, dimension)).astype(np.float32)
    table[: len(TOKENS)] = 0
    for word, colour in WORDS.items():
        pixel = (np.array(colour) / 255 - MEAN) / STD
        features = np.repeat(pixel, GRID * GRID).astype(np.float32)
        table[TOKENS.index(word)] = 3 * features @ projection(dimension, seed)
    for number, word in enumerate(FILLERS):
        table[TOKENS.index(word)] = 0.1 * projection(dimension, seed + 2)[number]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["weights"]),
        helper.make_node("Mul", ["words", "weights"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "one"], [output], keepdims=0),
    ]
    given = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    declared = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", dimension])]
    return saved(path, nodes, given, declared, {"table": table, "one": np.array([1]), "last": np.array([2])})


def tokenizer(folder: Path, *, tokens: int = 77) -> None:
    """The tokenizer's files: whole words, a start and an end, `tokens` tokens at most."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(TOKENS)}, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    made.add_special_tokens(["<pad>", "<start>", "<end>"])
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": tokens, "pad_token": "<pad>"}))
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "<pad>", "unk_token": "<unk>"}))


def letters(folder: Path, *, tokens: int = 77) -> None:
    """A byte-level tokenizer built as CLIP's, without merges: every byte is a token; for a text model of 514 rows."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*alphabet, *(f"{letter}</w>" for letter in alphabet), "<start>", "<end>"]
    vocabulary = {name: number for number, name in enumerate(names)}
    start, end = ((name, vocabulary[name]) for name in ("<start>", "<end>"))
    made = Tokenizer(models.BPE(vocabulary, [], unk_token="<end>", end_of_word_suffix="</w>"))
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    made.post_processor = processors.RobertaProcessing(end, start, trim_offsets=False, add_prefix_space=False)
    made.add_special_tokens(["<start>", "<end>"])
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": tokens, "pad_token": "<end>"}))


def preprocessor(folder: Path, **changes: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | changes))


def clip(folder: Path, *, dimension: int = 512, seed: int = 0, tokens: int = 77, batch: int | str = "n") -> Path:
    """A pair as `Qdrant/clip-ViT-B-32` has it: vision/model.onnx and text/model.onnx."""
    vision(folder / "vision" / "model.onnx", dimension=dimension, seed=seed, batch=batch)
    preprocessor(folder / "vision")
    text(folder / "text" / "model.onnx", dimension=dimension, seed=seed)
    tokenizer(folder / "text", tokens=tokens)
    return folder


def siglip(folder: Path) -> Path:
    """A pair as `google/siglip2-base-patch16-224` has it: one repository, `pooler_output` beside other outputs."""
    outputs = {"last_hidden_state": "tokens", "pooler_output": "vector"}
    vision(folder / "onnx" / "vision_model.onnx", dimension=768, outputs=outputs)
    text(folder / "onnx" / "text_model.onnx", dimension=768, output="pooler_output")
    squash = {"height": SIDE, "width": SIDE}
    preprocessor(folder, image_processor_type="SiglipImageProcessor", do_center_crop=False, size=squash, resample=2)
    tokenizer(folder, tokens=64)
    return folder


def jina(folder: Path) -> Path:
    """A pair as `jinaai/jina-clip-v1` has it, with its own kind of preprocessing."""
    vision(folder / "onnx" / "vision_model.onnx", dimension=768)
    text(folder / "onnx" / "text_model.onnx", dimension=768)
    config = {
        "image_processor_type": "JinaCLIPImageProcessor",
        "size": SIDE,
        "resize_mode": "shortest",
        "interpolation": "bicubic",
        "fill_color": 0,
        "mean": list(MEAN),
        "std": list(STD),
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    tokenizer(folder, tokens=512)
    return folder
