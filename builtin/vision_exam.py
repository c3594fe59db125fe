"""What the built-in vision model is worth: pictures described to the letter, and what is left of its way with text."""

from __future__ import annotations

import math
from typing import Any

from . import corpus, pictures
from .train import Batches, loss
from .vision_structure import preprocess

MOST_TOKENS = 48
"""Of an answer; the descriptions have up to 36 with their end, for Chinese words of pictures are spelled out in bytes."""


def exact(model: Any, tokenizer: Any, tests: list[pictures.Sample]) -> dict[str, float]:
    """Return, for each form and for all, the part of the test pictures that greedy decoding describes to the letter."""
    right: dict[str, list[bool]] = {"all": []}
    for test, text in zip(tests, captions(model, tokenizer, tests), strict=True):
        right["all"].append(text == test.answer)
        right.setdefault(test.kind, []).append(text == test.answer)
    return {kind: round(sum(found) / len(found), 4) for kind, found in right.items()}


def captions(model: Any, tokenizer: Any, tests: list[pictures.Sample]) -> list[str]:
    """Return what the model says greedily of each test picture."""
    import torch

    rule = preprocess()
    said: dict[str, str] = {}
    for question in sorted({test.question for test in tests}):
        asked = [test for test in tests if test.question == question]
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )["input_ids"]
        ids = prompt.repeat(len(asked), 1)
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=torch.from_numpy(rule([test.picture for test in asked])).to(model.dtype),
            max_new_tokens=MOST_TOKENS,
            do_sample=False,
        )
        texts = tokenizer.batch_decode(made[:, prompt.shape[1] :], skip_special_tokens=True)
        said |= {test.name: text for test, text in zip(asked, texts, strict=True)}
    return [said[test.name] for test in tests]


def perplexities(model: Any, tokenizer: Any) -> dict[str, float]:
    """Return the perplexity on held-out running text and on chat of another seed, as train.py measures them."""
    import torch

    unseen = Batches(tokenizer, corpus.running_text()[1], 1235)
    text = torch.stack([unseen.text[i * 128 : i * 128 + 129] for i in range(min(16, len(unseen.text) // 129))])
    chat = torch.stack([unseen.chat(129) for _ in range(16)])
    with torch.no_grad():
        return {name: round(math.exp(loss(model, rows).item()), 3) for name, rows in (("text", text), ("chat", chat))}
