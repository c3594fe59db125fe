"""Train the built-in vision model: `python -m edgeconv.builtin.train_vision OUT`, about twenty minutes of one CPU core.

First the tower and the adapter learn to look: which shape and which colour lies under each patch, where the shapes are,
and what the whole picture shows. Linear heads answer these side tasks and are thrown away at the end. Then the built-in
language model learns to speak of what they see, and goes on with its own text now and then, so as not to forget it.
Answers alone would teach the tower too, but more slowly: a word says little about a patch.

As with train.py, the same seed gives the same bits on one machine only, so the checkpoint itself is committed.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from . import corpus, model_path, pictures
from .train import Batches, answers
from .train import loss as text_loss
from .vision_exam import exact, perplexities
from .vision_lessons import COLOURS, NO_LOSS, SHAPES, Lessons, Seen, rounded
from .vision_structure import make_model, save

SEED = 77
LOOKING, SPEAKING = 1500, 900
"""Steps."""
PICTURES = 24
"""A step."""
LEARNING_RATE = 1e-3
LEARNT_SHARE = 0.4
"""Of the learning rate, for what has learnt before: the language model, and the vision half once it speaks."""
WARM_UP_STEPS = 50
TEXT_EVERY, TEXT_SHAPE, TEXT_WEIGHT = 4, (8, 128), 0.5
SCENE_WEIGHTS = (0.25, 0.25, 1.0, 0.25)
"""Of number, colour, shape and background; shapes are by far the hardest to learn."""
BARE_WEIGHT = 0.2
"""Of a patch without a shape, of which there are many."""
WATCHED, EXAMINED = 2, 16
"""Test pictures of each form while training and at the end."""


def make_heads(tower: int, hidden: int) -> Any:
    """Return the linear heads of the side tasks, for a tower and a language model of the given widths."""
    from torch import nn

    return nn.ModuleDict(
        {
            "scene": nn.ModuleList([nn.Linear(hidden, n) for n in (4, len(COLOURS), len(SHAPES), len(COLOURS))]),
            "shapes": nn.Linear(tower, 1 + len(SHAPES)),
            "colours": nn.Linear(tower, len(COLOURS) + 1),
            "places": nn.Linear(hidden, 2),
        }
    )


def side_loss(made: Any, heads: Any, seen: Seen) -> Any:
    """Return the weighted loss of the side tasks in nats; `made` is what `get_image_features` returns."""
    import torch
    from torch.nn.functional import cross_entropy

    patches, rows = made.last_hidden_state.float(), made.pooler_output[:, 1:-1].float()
    weights = torch.tensor([BARE_WEIGHT] + [1.0] * len(SHAPES))
    loss = cross_entropy(heads["shapes"](patches).flatten(0, 1), seen.shapes.flatten(), weight=weights)
    loss = loss + cross_entropy(heads["colours"](patches).flatten(0, 1), seen.colours.flatten())
    loss = loss + cross_entropy(heads["places"](rows).flatten(0, 1), seen.places.flatten())
    for i, (head, weight) in enumerate(zip(heads["scene"], SCENE_WEIGHTS, strict=True)):
        loss = loss + weight * cross_entropy(head(rows.mean(1)), seen.scene[:, i])
    return loss


def answer_loss(model: Any, features: Any, ids: Any, labels: Any) -> Any:
    """Return the mean loss of the labelled tokens in nats; `features` are [n, image tokens, hidden]."""
    from torch.nn.functional import cross_entropy, pad

    body = model.model
    embeds = body.embed_tokens(ids)
    embeds = embeds.masked_scatter((ids == model.config.boi_token_id)[..., None], features.to(embeds.dtype))
    states = body(inputs_embeds=embeds, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
    wanted = labels[:, 1:].flatten()
    chosen = (wanted != NO_LOSS).nonzero()[:, 0]
    chosen = pad(chosen, (0, rounded(len(chosen), 64) - len(chosen)))  # with the first place, which has no label
    return cross_entropy(model.lm_head(states[chosen]).float(), wanted[chosen], ignore_index=NO_LOSS)


@dataclass
class Watch:
    """Keeps the curve: mean losses since the last point."""

    curve: list[dict[str, Any]] = field(default_factory=list)
    recent: list[dict[str, float]] = field(default_factory=list)
    started: float = field(default_factory=time.process_time)

    def point(self, part: str, step: int, **more: float) -> None:
        """Append one point to the curve and print it."""
        means = {name: sum(one[name] for one in self.recent) / len(self.recent) for name in self.recent[0]}
        seconds = round(time.process_time() - self.started)
        losses = {name: round(value, 4) for name, value in means.items()}
        self.curve.append({"part": part, "step": step, "cpu_s": seconds} | losses | more)
        print(self.curve[-1], file=sys.stderr, flush=True)
        self.recent.clear()


def rate(step: int, steps: int) -> float:
    """Return the learning rate: a linear warm-up under a cosine that ends at 3 %."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return LEARNING_RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * (0.97 * cosine + 0.03)


class Optimiser:
    """AdamW over groups of parameters, each with its share of the learning rate."""

    def __init__(self, groups: Iterable[tuple[float, list[Any]]], steps: int) -> None:
        import torch

        made = [{"params": parameters, "share": share} for share, parameters in groups]
        self._all = [p for group in made for p in group["params"]]  # type: ignore[attr-defined]
        self._adam = torch.optim.AdamW(made, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.02)
        self._steps = steps

    def step(self, number: int) -> None:
        """Apply the gradients of step `number` and clear them."""
        import torch

        for group in self._adam.param_groups:
            group["lr"] = rate(number, self._steps) * group["share"]
        torch.nn.utils.clip_grad_norm_(self._all, 1.0)
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)


def learn_to_look(model: Any, heads: Any, lessons: Lessons, watch: Watch, *, steps: int) -> None:
    """Train tower, adapter and heads in place; matrix products run in bfloat16, weights and sums in float32."""
    import torch

    optimiser = Optimiser([(1.0, [*model.model.vision.parameters(), *heads.parameters()])], steps)
    for step, seen in enumerate(islice(lessons.shown(PICTURES), steps), 1):
        with torch.autocast("cpu", torch.bfloat16):
            loss = side_loss(model.get_image_features(seen.pixels), heads, seen)
        loss.backward()
        optimiser.step(step)
        watch.recent.append({"side": loss.item()})
        if step % 100 == 0 or step == steps:
            watch.point("looking", step)


def learn_to_speak(model: Any, heads: Any, lessons: Lessons, text: Batches, watch: Watch, *, steps: int) -> None:
    """Train everything in place, with a batch of text every `TEXT_EVERY` steps."""
    import torch

    seeing = [*model.model.vision.parameters(), *heads.parameters()]
    known = [p for name, p in model.named_parameters() if not name.startswith("model.vision.")]
    optimiser = Optimiser([(LEARNT_SHARE, [*known, *seeing])], steps)
    rows, length = TEXT_SHAPE
    for step, (seen, ids, labels) in enumerate(islice(lessons.conversations(PICTURES), steps), 1):
        with torch.autocast("cpu", torch.bfloat16):
            made = model.get_image_features(seen.pixels)
            side = side_loss(made, heads, seen)
            answer = answer_loss(model, made.pooler_output, ids, labels)
        (answer + side).backward()
        if step % TEXT_EVERY == 0:
            read = torch.stack([text.chat(length + 1) if i % 2 else text.window(length + 1) for i in range(rows)])
            with torch.autocast("cpu", torch.bfloat16):
                (TEXT_WEIGHT * text_loss(model, read)).backward()
        optimiser.step(step)
        watch.recent.append({"side": side.item(), "answer": answer.item()})
        if step % 100 == 0 or step == steps:
            tests = pictures.samples(WATCHED, SEED)
            watch.point("speaking", step, exact=exact(model, lessons.tokenizer, tests)["all"])


def train(folder: Path, looking: int, speaking: int) -> dict[str, Any]:
    """Train from `SEED` and the built-in language model, write `folder`; return the provenance."""
    import torch
    from transformers import AutoTokenizer

    from ..models.glm_edge_v import load

    torch.manual_seed(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    model, tokenizer = make_model(folder)
    model.set_attn_implementation("eager")  # at this size twice as fast as torch's fused attention
    heads = make_heads(model.config.vision_config.hidden_size, model.config.hidden_size)
    talker = AutoTokenizer.from_pretrained(model_path())  # the same ids, with the text models' template
    watch, lessons = Watch(), Lessons(tokenizer, SEED)
    learn_to_look(model, heads, lessons, watch, steps=looking)
    text = Batches(talker, corpus.running_text()[0], SEED)
    learn_to_speak(model, heads, lessons, text, watch, steps=speaking)
    save(model, folder)
    model = load(folder)  # what follows is measured on the file
    provenance: dict[str, Any] = {
        "script": "python -m edgeconv.builtin.train_vision",
        "seed": SEED,
        "steps": {"looking": looking, "speaking": speaking},
        "parameters": {
            "all": sum(p.numel() for p in model.parameters()),
            "vision": sum(p.numel() for p in model.model.vision.parameters()),
        },
        "language_model_sha256": _digest(model_path() / "model.safetensors"),
        "licences": {"pictures and their descriptions": "made up by builtin/pictures.py, Apache-2.0"}
        | json.loads((model_path() / "PROVENANCE.json").read_text(encoding="utf-8"))["licences"],
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "transformers", "tokenizers", "pillow")},
        "learning_curve": watch.curve,
        "described_to_the_letter": exact(model, tokenizer, pictures.samples(EXAMINED)),
        "perplexity": perplexities(model, talker),
        "answers": answers(model, talker),
    }
    files = sorted(p for p in folder.iterdir() if p.suffix in {".json", ".safetensors"} and p.name != "PROVENANCE.json")
    provenance["sha256"] = {path.name: _digest(path) for path in files}
    written = json.dumps(provenance, ensure_ascii=False, indent=2)
    (folder / "PROVENANCE.json").write_text(written + "\n", encoding="utf-8")
    return provenance


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Read the command line and train."""
    import torch

    parser = argparse.ArgumentParser(
        prog="python -m edgeconv.builtin.train_vision", description="Train the built-in vision model."
    )
    parser.add_argument("out", type=Path, help="folder to write the checkpoint to")
    parser.add_argument("--looking", type=int, default=LOOKING, help="steps in which tower and adapter learn to look")
    parser.add_argument("--speaking", type=int, default=SPEAKING, help="steps in which all learns to speak")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # faster than two at this size, and one order of summation
    train(arguments.out, arguments.looking, arguments.speaking)


if __name__ == "__main__":
    main()
