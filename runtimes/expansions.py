"""What stands for a picture in a prompt, by the class of transformers' processor that a checkpoint names.

The chat template writes one marker for a picture. The processor puts the tokens in its place whose rows the encoder makes, and
what separates them. transformers' processors do so inside one call with tokenizer, torch and (for most) torchvision; here it is
a function of what the image processor made of the picture. tests/runtimes/test_processor.py compares both token by token.

Source: `processing_*.py` of transformers 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]


MOST = 1 << 18
"""Rows of a picture; a real one has some thousands. More is a file's mistake, or its malice."""


def rows_of(token: str, count: int, tiles: int = 1) -> str:
    """Return the tokens of a picture's rows, or of one of its tiles. Raises ValueError if there are too many in all."""
    if not 0 <= count * tiles <= MOST:
        raise ValueError(f"{count * tiles:,} rows of one picture")
    return token * count


@dataclass(frozen=True)
class Stated:
    """What a checkpoint's files say of its processor.

    Attributes:
        whole: processor_config.json; where it is silent, config.json's vision_config and itself.
        image: the values of the image processor.
        tokens: that tokenizer_config.json names, as "image_token".
    """

    whole: Mapping[str, Any]
    image: Mapping[str, Any]
    tokens: Mapping[str, str]

    def number(self, name: str, default: int | None = None) -> int:
        """Return a number of `whole`. Raises LookupError if it is not there and has no default, ValueError if it is none."""
        value = self.whole.get(name)
        if value is None:
            value = default
        if value is None:
            raise LookupError(name)
        if type(value) is not int or not 0 <= value <= MOST:
            raise ValueError(f"{name} is {value!r:.40}")
        return value

    def token(self, name: str, default: str | None = None) -> str:
        """Return a token as the tokenizer names it, or `whole`, or the default. Raises LookupError if nobody does."""
        found = self.tokens.get(name) or self.whole.get(name) or default
        if isinstance(found, str):
            return found
        raise LookupError(name)


@dataclass(frozen=True)
class Expansion:
    """How a processor writes a picture.

    Attributes:
        marker: what the chat template writes for a picture.
        written: what takes its place, of what the image processor made of the picture.
        row: the token whose places the encoder's rows take.
        options: what the processor gives its image processor.
    """

    marker: Callable[[Stated], str]
    written: Callable[[Stated, Arrays], str]
    row: Callable[[Stated], str]
    options: Callable[[Stated], dict[str, Any]] = field(default=lambda _: {})


def _grid(default: str) -> Expansion:
    """Patches of a grid, of which `merge_size` squared become one row: Qwen's and GLM's."""

    def token(stated: Stated) -> str:
        return stated.token("image_token", default)

    def written(stated: Stated, made: Arrays) -> str:
        return rows_of(token(stated), int(made["image_grid_thw"][0].prod()) // int(stated.image["merge_size"]) ** 2)

    return Expansion(token, written, token)


def _image_token(stated: Stated) -> str:
    return stated.token("image_token", "<image>")


def _side(made: Arrays) -> tuple[int, int]:
    """Return height and width of what the tower sees at once."""
    height, width = made["pixel_values"].shape[-2:]
    return int(height), int(width)


def _strategy(stated: Stated) -> int:
    """Return 1 where the tower's first row is left out."""
    return int(stated.whole.get("vision_feature_select_strategy") == "default")


def _llava(stated: Stated, made: Arrays) -> str:
    height, width = _side(made)
    patch = stated.number("patch_size")
    rows = (height // patch) * (width // patch) + stated.number("num_additional_image_tokens", 0) - _strategy(stated)
    return rows_of(_image_token(stated), rows)


def _llava_next(stated: Stated, made: Arrays) -> str:
    """Count the rows of the whole picture, those of its tiles less the padding, and an end for each line of them."""
    side, patch = _side(made), stated.number("patch_size")
    height, width = (int(value) for value in made["image_sizes"][0])
    best = best_resolution(height, width, stated.image["image_grid_pinpoints"])
    rows, columns = side[0] // patch, side[1] // patch
    lines, line = unpadded(height, width, rows * (best[0] // side[0]), columns * (best[1] // side[1]))
    whole = rows * columns + stated.number("num_additional_image_tokens", 0)
    return rows_of(_image_token(stated), lines * line + lines + whole - _strategy(stated))


def best_resolution(height: int, width: int, resolutions: list[list[int]]) -> tuple[int, int]:
    """Return the (height, width) in which a picture keeps most of its pixels, and of those the one that wastes least."""
    best, most, least = (0, 0), 0, float("inf")
    for tall, wide in resolutions:
        scale = min(wide / width, tall / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        wasted = wide * tall - kept
        if kept > most or (kept == most and wasted < least):
            best, most, least = (tall, wide), kept, wasted
    return best


def unpadded(height: int, width: int, rows: int, columns: int) -> tuple[int, int]:
    """Return the lines, and the patches of each, that a picture fills of a grid that it is padded to."""
    if width / height > columns / rows:
        filled = round(height * (columns / width), 7)
        return rows - (rows - int(filled)) // 2 * 2, columns
    filled = round(width * (rows / height), 7)
    return rows, columns - (columns - int(filled)) // 2 * 2


def _pixtral_patch(stated: Stated) -> int:
    return stated.number("patch_size", 16) * stated.number("spatial_merge_size", 1)


def _pixtral(stated: Stated, made: Arrays) -> str:
    """Write a line of rows for each line of patches."""
    height, width = (int(value) // _pixtral_patch(stated) for value in made["image_sizes"][0])
    line = rows_of(str(stated.whole.get("image_token") or "[IMG]"), width, height)
    between, end = (
        str(stated.whole.get(f"image_{name}_token") or f"[IMG_{name.upper()}]") for name in ("break", "end")
    )
    return between.join([line] * height) + end


def _gemma3(stated: Stated, _: Arrays) -> str:
    rows = rows_of(stated.token("image_token"), stated.number("image_seq_length", 256))
    return f"\n\n{stated.token('boi_token')}{rows}{stated.token('eoi_token')}\n\n"


def _gemma4(stated: Stated, made: Arrays) -> str:
    rows = rows_of(stated.token("image_token"), int(made["num_soft_tokens_per_image"][0]))
    return f"{stated.token('boi_token')}{rows}{stated.token('eoi_token')}"


def _tiles(stated: Stated, made: Arrays) -> str:
    """Write each tile with its row and column, a line of tiles a line, and the whole picture behind them."""
    around, whole = stated.token("fake_image_token", _AROUND), stated.token("global_image_token", "<global-img>")
    lines, columns = int(made["rows"][0][0]), int(made["cols"][0][0])
    rows = rows_of(_image_token(stated), stated.number("image_seq_len", 169), lines * columns + 1)
    tiles = [
        "".join(f"{around}<row_{line + 1}_col_{column + 1}>{rows}" for column in range(columns)) + "\n"
        for line in range(lines)
    ]
    return "".join(tiles) + ("\n" if tiles else "") + f"{around}{whole}{rows}{around}"


_AROUND = "<fake_token_around_image>"


def _internvl(stated: Stated, made: Arrays) -> str:
    count = stated.number("image_seq_length", 256) * int(made["num_patches"][0])
    rows = rows_of(stated.token("context_image_token"), count)
    return f"{stated.token('start_image_token')}{rows}{stated.token('end_image_token')}"


_QWEN, _GLM = _grid("<|image_pad|>"), _grid("<|image|>")
_TILED = Expansion(_image_token, _tiles, _image_token, lambda _: {"return_row_col_info": True})
EXPANSIONS: Mapping[str, Expansion] = {
    "Qwen2VLProcessor": _QWEN,
    "Qwen2_5_VLProcessor": _QWEN,
    "Qwen3VLProcessor": _QWEN,
    "Glm4vProcessor": _GLM,
    "Glm46VProcessor": _GLM,
    "LlavaProcessor": Expansion(_image_token, _llava, _image_token),
    "LlavaNextProcessor": Expansion(_image_token, _llava_next, _image_token, lambda _: {"do_pad": True}),
    "PixtralProcessor": Expansion(
        lambda stated: str(stated.whole.get("image_token") or "[IMG]"),
        _pixtral,
        lambda stated: str(stated.whole.get("image_token") or "[IMG]"),
        lambda stated: {"patch_size": _pixtral_patch(stated)},
    ),
    "Gemma3Processor": Expansion(
        lambda stated: stated.token("boi_token"),
        _gemma3,
        lambda stated: stated.token("image_token"),
        lambda _: {"do_convert_rgb": True, "do_pan_and_scan": False},
    ),
    "Gemma4Processor": Expansion(
        lambda stated: stated.token("image_token"), _gemma4, lambda stated: stated.token("image_token")
    ),
    "Idefics3Processor": _TILED,
    "SmolVLMProcessor": _TILED,
    "InternVLProcessor": Expansion(
        lambda stated: stated.token("context_image_token"),
        _internvl,
        lambda stated: stated.token("context_image_token"),
        lambda _: {"crop_to_patches": True},
    ),
}
"""By the class of transformers' processor."""
