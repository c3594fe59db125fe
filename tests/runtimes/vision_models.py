"""transformers' model and processor of a tiny vision-language checkpoint, to compare a runtime with."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Turn = tuple[Any, ...]
"""(role, text, *pictures)."""


def noise(width: int, height: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def photo(seed: int, width: int = 90, height: int = 60) -> Image.Image:
    return Image.fromarray(noise(width, height, seed=seed))


def processor(folder: Path) -> Any:
    """transformers' processor, its pictures by Pillow; one asks for a package that speaks the numbers of video frames."""
    from transformers import AutoImageProcessor, AutoProcessor
    from transformers.models.smolvlm import processing_smolvlm

    processing_smolvlm.num2words = processing_smolvlm.num2words or str
    made = AutoProcessor.from_pretrained(folder)
    made.image_processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    return made


def messages(*turns: Turn) -> list[dict[str, Any]]:
    """Return a conversation as transformers takes it, with its pictures."""
    return [
        {
            "role": role,
            "content": [*({"type": "image", "image": one} for one in pictures), {"type": "text", "text": text}],
        }
        for role, text, *pictures in turns
    ]


class Torch:
    """transformers' own model in float32, greedy."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForImageTextToText

        self.model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self.processor = processor(folder)

    def answer(self, *turns: Turn, count: int = 6, skipped: int = 0) -> tuple[list[int], list[int], np.ndarray]:
        """Return the prompt's ids less the first `skipped`, the tokens that are made, and the logits of each [n, vocab]."""
        inputs = self.processor.apply_chat_template(
            messages(*turns), tokenize=True, return_dict=True, add_generation_prompt=True, return_tensors="pt"
        )
        inputs = {name: value[:, skipped:] if _of_tokens(name) else value for name, value in inputs.items()}
        made = self.model.generate(
            **inputs, do_sample=False, max_new_tokens=count, eos_token_id=-1, output_logits=True,
            return_dict_in_generate=True,
        )  # fmt: skip
        ids = inputs["input_ids"][0].tolist()
        logits = np.stack([one[0].float().numpy() for one in made.logits])
        return ids, made.sequences[0, len(ids) :].tolist(), logits


def _of_tokens(name: str) -> bool:
    return name in {"input_ids", "attention_mask"} or name.endswith("token_type_ids")
