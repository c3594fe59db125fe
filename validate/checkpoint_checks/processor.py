"""A vision-language model whose pictures transformers prepares: its processor's files fit tower, tokenizer and chat template."""

from __future__ import annotations

from PIL import Image

from ...convert.program.vision import Arrays, Vision
from ...core.errors import EdgeconvError
from ...runtimes.expansions import EXPANSIONS
from ...runtimes.processor import Processor
from ...runtimes.prompt import message
from .row import Row, judged
from .subject import Subject

_STALE = "Template, tokenizer and configs are of different models or revisions; download all files again."
_SIZE = (320, 240)
"""Width and height of the picture that is tried."""


def rows(subject: Subject, vision: Vision) -> list[Row]:
    """Prepare a gray picture, and a question about it."""
    expected = f"one of {len(EXPANSIONS)} of transformers that are known"
    try:
        processor = Processor(subject.checkpoint.folder)
        made = processor.pixels(Image.new("RGB", _SIZE, "gray"))
        written = processor.written(made)
    except EdgeconvError as error:
        return [Row("pictures", "processor", expected, error.message, "wrong", error.hint or _STALE)]
    found = [Row("pictures", "processor", expected, processor.name), _pixels(vision, made)]
    return found + _prompt(processor, vision, written)


def _pixels(vision: Vision, made: Arrays) -> Row:
    """Look whether a picture has the shape that the tower takes."""
    expected = "as the tower takes them"
    try:
        fed = vision.whole().fed(made, {})
    except (ArithmeticError, LookupError, ValueError) as error:
        return Row("pictures", "pixels", expected, f"they do not fit: {error}", "wrong", _STALE)
    faults = []
    for one in vision.whole().inputs:
        shape = fed[one.name].shape
        if len(shape) != len(one.shape) or any(
            wanted not in (-1, size) for wanted, size in zip(one.shape, shape, strict=True)
        ):
            faults.append(f"{one.name} is {list(shape)}, not {list(one.shape)}")
    said = ", ".join(f"{name} {list(value.shape)}" for name, value in made.items() if value.ndim > 1)
    return judged("pictures", "pixels", expected, "; ".join(faults) or said, right=not faults, note=_STALE)


def _prompt(processor: Processor, vision: Vision, written: str) -> list[Row]:
    expected = "a place for each row of a picture"
    try:
        placeholder = processor.placeholder
        ids = processor.prompt([message("user", "What is this?", 1)], [written])
    except EdgeconvError as error:
        return [Row("pictures", "places", expected, error.message, "wrong", _STALE)]
    count, width, height = ids.count(placeholder), *_SIZE
    same = judged(
        "pictures", "placeholder", f"{vision.placeholder}, as config.json says", str(placeholder),
        right=placeholder == vision.placeholder, note=_STALE,
    )  # fmt: skip
    right = count == vision.image_tokens if vision.image_tokens is not None else count > 0
    wanted = expected if vision.image_tokens is None else f"{vision.image_tokens} places"
    return [
        same,
        judged("pictures", "places", wanted, f"{count} for {width} x {height} pixels", right=right, note=_STALE),
    ]
