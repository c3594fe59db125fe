"""What the built-in vision model is taught: pictures, questions with answers, and what lies under each patch."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from . import pictures
from .vision_structure import PATCH, SIZE, preprocess

NO_LOSS = -100
TWO_TURNS = 0.15
"""Part of the batches in which a second question follows."""
SHAPES, COLORS = list(pictures.SHAPES), list(pictures.COLORS)


@dataclass
class Seen:
    """A batch of pictures and the answers to the side tasks.

    Attributes:
        scenes: what they show.
        pixels: float32 [n, 3, S, S].
        scene: int64 [n, 4]: number, color, shape, background.
        shapes: int64 [n, patches]: 0 for none, else 1 + shape.
        colors: int64 [n, patches], the last class being the padding.
        places: int64 [n, rows of the adapter]: 1 where a shape's center lies.
    """

    scenes: list[pictures.Scene]
    pixels: Any
    scene: Any
    shapes: Any
    colors: Any
    places: Any


def look(made: list[pictures.Picture]) -> Seen:
    """Draw the pictures and prepare them as GLM-Edge-V's own processor does."""
    import torch

    under = [under_patches(one) for one in made]
    shapes, colors, places = (torch.from_numpy(np.stack(part)) for part in zip(*under, strict=True))
    scenes = [one.scene for one in made]
    pixels = torch.from_numpy(preprocess()([one.draw() for one in made]))
    return Seen(scenes, pixels, torch.tensor([_classes(scene) for scene in scenes]), shapes, colors, places)


def under_patches(made: pictures.Picture) -> tuple[Any, Any, Any]:
    """Return shapes, colors and places of one picture, as in `Seen`: what the middle of each patch shows."""
    width, height = preprocess().fit(made.width, made.height)
    color, background = COLORS.index(made.scene.color), COLORS.index(made.scene.background)
    fitted = Image.new("L", (width, height), 1)
    made.paint(fitted, 2)
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    canvas[:height, :width] = np.asarray(fitted)
    middles = canvas[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH].reshape(-1)
    shapes = np.where(middles == 2, SHAPES.index(made.scene.shape) + 1, 0)
    colors = np.choose(middles, [len(COLORS), background, color]).astype(np.int64)
    places = np.zeros((SIZE // PATCH // 2,) * 2, np.int64)
    for x, y in made.centers:
        places[int(y * height) // (2 * PATCH), int(x * width) // (2 * PATCH)] = 1
    return shapes, colors, places.reshape(-1)


def _classes(scene: pictures.Scene) -> list[int]:
    return [scene.number - 1, COLORS.index(scene.color), SHAPES.index(scene.shape), COLORS.index(scene.background)]


class Lessons:
    """Batches without end from a seed."""

    def __init__(self, tokenizer: Any, seed: int) -> None:
        self.tokenizer = tokenizer
        self._random = Random(seed)

    def batch(self, number: int, variety: float = 1.0) -> tuple[Seen, Any, Any]:
        """Make up pictures (see `pictures.picture`) and talk about them.

        Returns:
            The pictures; ids and labels, int64 [number, tokens], of which only the answers are labeled.
        """
        import torch

        seen = look([pictures.picture(self._random, variety) for _ in range(number)])
        pad = self.tokenizer.pad_token_id
        turns = 2 if self._random.random() < TWO_TURNS else 1  # one length a batch: little padding
        rows = [self._conversation(scene, turns) for scene in seen.scenes]
        length = rounded(max(len(ids) for ids, _ in rows), 16)
        return (
            seen,
            torch.tensor([ids + [pad] * (length - len(ids)) for ids, _ in rows]),
            torch.tensor([labels + [NO_LOSS] * (length - len(labels)) for _, labels in rows]),
        )

    def _conversation(self, scene: pictures.Scene, turns: int) -> tuple[list[int], list[int]]:
        r = self._random
        ids: list[int] = []
        labels: list[int] = []
        shown: list[dict[str, str]] = [{"type": "image"}]
        for _ in range(turns):
            question, answer = r.choice(pictures.DESCRIBE if r.random() < 0.6 else pictures.DETAILS)
            text = {"type": "text", "text": question}
            parts = [text, *shown] if r.random() < 0.2 else [*shown, text]
            asked = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": parts}], tokenize=False, add_generation_prompt=True
            )
            prompt, said = (self.tokenizer(part)["input_ids"] for part in (asked, answer(scene)))
            ids += prompt + said
            # An answer ends where the user's next turn begins, which is the next prompt's first token.
            labels += [prompt[0] if labels else NO_LOSS] + [NO_LOSS] * (len(prompt) - 1) + said
            shown = []
        end = self.tokenizer.convert_tokens_to_ids("<|user|>")
        return [*ids, end], [*labels, end]


def rounded(number: int, step: int) -> int:
    """Round up: oneDNN keeps a compiled product of every shape it meets, a gigabyte in a hundred steps of any length."""
    return -(-number // step) * step
