"""Turns a picture into the input of an image model: resized, cropped, scaled and normalised as in the model's training.

The settings are in files next to the model: `model.json` or `model.toml` (ours), or `preprocessor_config.json` (written by
Hugging Face's transformers). Where both exist, each key of ours takes precedence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from PIL import Image as Pillow
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pinakes.embedders.local.lookahead import Array
from pinakes.embedders.local.onnx_files import read_object
from pinakes.errors import EmbedderError

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's channels R, G, B at 0 to 1, with which most image models are trained."""

CROP_SHARE: Final = 0.875
"""The crop's side divided by the short side, where the settings do not say: 224 / 256, which is usual for ImageNet."""

DEFAULT_SIDE: Final = 224

MAX_ASPECT: Final = 32
"""Longer strips lose their ends before they are resized by the short side: only the centre is kept in any case, and
20,000 x 2 pixels would grow to 2,240,000 x 224."""

_SIDE = Annotated[int, Field(ge=1, le=4096)]
Size = _SIDE | tuple[_SIDE, _SIDE]
"""Pixels: one number for both sides, or (height, width)."""

RESAMPLING: Final = {name.name.lower(): name for name in Pillow.Resampling}


class Wishes(BaseModel):
    """The keys of `model.json`; all are optional. Unknown keys are refused, so that a misspelled one is noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = None
    """The model's name in the embedding space; default: the file's or its folder's."""
    file: str | None = None
    """The ONNX file, where the folder holds several."""
    size: Size | None = None
    """For `shortest` the short side after resizing, for `squash` and `pad` both sides."""
    resize: Literal["shortest", "squash", "pad", "none"] = "shortest"
    resample: Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"] = "bilinear"
    crop: Size | None = None
    """What is cut out of the centre afterwards; a smaller picture is padded with zeros."""
    scale: float | None = None
    """Factor on 0 to 255; default 1/255, and 1 for a model that takes uint8."""
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: Literal["RGB", "BGR", "L"] | None = None
    layout: Literal["NCHW", "NHWC"] | None = None
    batch: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Pictures at once; default: what the model fixes, otherwise 16."""
    output: str | None = None
    """Name of the output; default: the first of shape (n, dimension), then (n, tokens, dimension), then a feature map."""
    pooling: Literal["cls", "mean"] = "cls"
    """Of an output (n, tokens, dimension): its first token, or the mean of all."""


def read_wishes(folder: Path) -> Wishes:
    """The settings in the folder of a model.

    Raises:
        EmbedderError: a file cannot be read, or has a key or value that is not supported.
    """
    keys: dict[str, Any] = {}
    source = folder / "preprocessor_config.json"
    if source.is_file():
        keys = _from_transformers(read_object(source), source)
    for name in ("model.json", "model.toml"):
        if (folder / name).is_file():
            source = folder / name
            keys |= read_object(source)
            break
    try:
        return Wishes.model_validate(keys)
    except ValidationError as exc:
        problem = exc.errors()[0]
        key = ".".join(str(part) for part in problem["loc"][:1])
        raise EmbedderError(f"{source}: {key!r} cannot be used: {problem['msg']}.") from exc


_UNSUPPORTED: Final = ("rescale_offset", "include_top", "do_pad", "do_reduce_labels", "do_image_splitting")
"""Keys of transformers that change what the model sees, and that Pinakes does not implement."""

_SQUARE: Final = ("ViT", "DeiT", "Beit")
"""Processors of transformers for which a `size` of one number means both sides."""


def _from_transformers(config: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """A `preprocessor_config.json`, translated into the keys of `Wishes`."""
    # Refused, not ignored: vectors of slightly wrong inputs look right and find worse.
    for key in _UNSUPPORTED:
        if config.get(key):
            raise EmbedderError(
                f"{source} asks for {key!r}, which Pinakes does not support: describe the preprocessing in a model.json"
                " and remove that file."
            )
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    keys: dict[str, Any] = {}
    try:
        # A step whose switch is left out is done if its value is given, as older versions of transformers wrote it.
        if not config.get("do_resize", "size" in config):
            keys["resize"] = "none"
        else:
            keys |= _sizes(config["size"], kind, config.get("crop_pct"))
            keys["resample"] = Pillow.Resampling(config.get("resample", Pillow.Resampling.BILINEAR)).name.lower()
        crops = config.get("do_center_crop", "crop_size" in config)
        if crops and not kind.startswith("ConvNext"):  # which crops by its crop_pct alone
            keys["crop"] = _both_sides(config["crop_size"])
        keys["scale"] = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
        if config.get("do_normalize", "image_mean" in config):
            keys |= {"mean": config["image_mean"], "std": config["image_std"]}
        else:
            keys |= {"mean": (0.0,), "std": (1.0,)}  # otherwise the mean of ImageNet would be assumed
        if config.get("do_flip_channel_order"):
            keys["channels"] = "BGR"
    except (KeyError, TypeError, ValueError) as exc:
        raise EmbedderError(f"{source} is not understood ({exc}): describe the preprocessing in a model.json.") from exc
    return keys


def _sizes(size: Any, kind: str, crop_share: float | None) -> dict[str, Any]:
    if isinstance(size, Mapping) and "shortest_edge" in size and "longest_edge" not in size:
        side = size["shortest_edge"]
        if kind.startswith("ConvNext"):
            # transformers' ConvNextImageProcessor: below 384 a crop, from there on the whole picture
            if side >= 384:
                return {"resize": "squash", "size": (side, side)}
            return {"resize": "shortest", "size": int(side / (crop_share or CROP_SHARE)), "crop": side}
        return {"resize": "shortest", "size": side}
    if isinstance(size, int) and not kind.startswith(_SQUARE):
        return {"resize": "shortest", "size": size}
    return {"resize": "squash", "size": _both_sides(size)}


def _both_sides(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size["height"], size["width"])


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The complete preprocessing of a picture.

    Attributes:
        height, width: of the result, pixels.
        resize: how the picture is brought to `size`; see `Wishes`.
        size: (short side, same) for `shortest`, else (height, width).
        resample: Pillow's filter.
        scale, mean, std: a value v of 0 to 255 becomes (v * scale - mean) / std, for each channel of `channels`.
        channels: their order; `L` is one channel of grey.
        layout: NCHW or NHWC.
        dtype: what the model takes: float32, float16 or uint8.
    """

    height: int
    width: int
    resize: str
    size: tuple[int, int]
    resample: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: str
    layout: str
    dtype: str

    @classmethod
    def of(
        cls, wishes: Wishes, *, fixed: tuple[int | None, int | None], planes: int, layout: str, dtype: str, model: str
    ) -> Preprocessing:
        """The settings, completed by what the model's input requires.

        Args:
            wishes: the settings in the model's folder.
            fixed: the height and width that the model's input fixes, None where it is free.
            planes: the channels of the model's input, 1 or 3.
            layout: NCHW or NHWC.
            dtype: of the model's input.
            model: its file, for messages.

        Raises:
            EmbedderError: the settings contradict the model.
        """
        size, height, width = _goal(wishes, fixed)
        for side, has, needs in (("height", height, fixed[0]), ("width", width, fixed[1])):
            if needs not in (None, has):
                raise EmbedderError(
                    f"{model} takes pictures of {side} {needs}, and its settings make them {has}: correct"
                    " size or crop in its model.json."
                )
        channels = wishes.channels or ("L" if planes == 1 else "RGB")
        if len(channels) != planes:
            raise EmbedderError(f"{model} takes {planes} channels, and its settings say {channels}.")
        if dtype == "uint8":  # such a model scales and normalises by itself
            if wishes.mean or wishes.std or wishes.scale not in (None, 1.0):
                raise EmbedderError(f"{model} takes uint8, so scale, mean and std must be left out of its settings.")
            scale, mean, std = 1.0, (0.0,) * planes, (1.0,) * planes
        else:
            scale = 1 / 255 if wishes.scale is None else wishes.scale
            mean = _per_channel(wishes.mean or IMAGENET_MEAN, channels, "mean", model)
            std = _per_channel(wishes.std or IMAGENET_STD, channels, "std", model)
        if 0 in std:
            raise EmbedderError(f"{model}: a std of 0 in its settings is not possible.")
        return cls(height, width, wishes.resize, size, wishes.resample, scale, mean, std, channels, layout, dtype)

    @property
    def short_side(self) -> int | None:
        """Pixels that are needed on the short side of the picture; None: all of them."""
        return None if self.resize == "none" else max(self.size)

    def __call__(self, picture: Pillow.Image) -> Array:
        """A picture of mode RGB as the model's input, shape (channels, height, width) or (height, width, channels)."""
        picture = _centre(self._resized(picture), self.height, self.width)
        if self.channels == "L":
            picture = picture.convert("L")
        values = np.asarray(picture).reshape(self.height, self.width, -1)
        if self.channels == "BGR":
            values = values[..., ::-1]
        if self.dtype != "uint8":
            mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
            values = (values * np.float32(self.scale) - mean) / std
        if self.layout == "NCHW":
            values = values.transpose(2, 0, 1)
        return np.ascontiguousarray(values, dtype=self.dtype)

    def _resized(self, picture: Pillow.Image) -> Pillow.Image:
        resample = RESAMPLING[self.resample]
        height, width = self.size
        if self.resize == "shortest":
            picture = without_ends(picture)
            short, long = sorted(picture.size)
            long = int(height * long / short)  # rounded down as in torchvision and transformers
            return picture.resize((height, long) if picture.width <= picture.height else (long, height), resample)
        if self.resize == "squash":
            return picture.resize((width, height), resample)
        if self.resize == "pad":
            factor = min(width / picture.width, height / picture.height)
            inner = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
            # The padding has the mean colour, so that it is 0 after normalising.
            ground = tuple(round(value / (self.scale or 1)) for value in self.mean)
            canvas = Pillow.new("RGB", (width, height), ground[::-1] if self.channels == "BGR" else (ground * 3)[:3])
            canvas.paste(picture.resize(inner, resample), ((width - inner[0]) // 2, (height - inner[1]) // 2))
            return canvas
        return picture


def without_ends(picture: Pillow.Image) -> Pillow.Image:
    """`picture`, or the middle of one that is longer than `MAX_ASPECT` times its short side."""
    width, height = picture.size
    spare = (max(width, height) - MAX_ASPECT * min(width, height)) // 2
    if spare <= 0:
        return picture
    return picture.crop((spare, 0, width - spare, height) if width > height else (0, spare, width, height - spare))


def _centre(picture: Pillow.Image, height: int, width: int) -> Pillow.Image:
    """The centre of `picture`; a smaller one is padded with black (as in transformers' center_crop)."""
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    if (left, top) == (0, 0) and picture.size == (width, height):
        return picture
    return picture.crop((left, top, left + width, top + height))


def _goal(wishes: Wishes, fixed: tuple[int | None, int | None]) -> tuple[tuple[int, int], int, int]:
    """The size to resize to, and the height and width of the result.

    What the settings leave out follows from the rest: the model's fixed sides, or 224 pixels cut out of 256.
    """
    crop, size = _pair(wishes.crop), _pair(wishes.size)
    if wishes.resize in ("squash", "pad"):
        size = size or crop or (fixed[0] or DEFAULT_SIDE, fixed[1] or DEFAULT_SIDE)
        goal = crop or size
    else:
        side = min(size) if size else DEFAULT_SIDE
        goal = crop or (fixed[0] or side, fixed[1] or side)
        whole = round(max(goal) / CROP_SHARE)
        size = (min(size),) * 2 if size else (whole, whole)
    return size, *goal


def _pair(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    return (size, size) if isinstance(size, int) else size


def _per_channel(values: tuple[float, ...], channels: str, key: str, model: str) -> tuple[float, ...]:
    """`values` in the order of `channels`; one number applies to all, and the default fits any channels."""
    if len(values) == 1:
        return values * len(channels)
    if values in (IMAGENET_MEAN, IMAGENET_STD):
        if channels == "L":
            return (float(np.mean(values)),)
        return values[::-1] if channels == "BGR" else values  # the constants are in the order R, G, B
    if len(values) != len(channels):
        raise EmbedderError(
            f"{model} takes {len(channels)} channels, and {key} in its settings has {len(values)} values."
        )
    return values
