"""Train the built-in vision model: `python -m edgeconv.builtin.train_vision OUT`, about thirty minutes of one CPU core.

First tower and adapter learn to look, then they go on while the built-in language model learns to speak of what they
see. Answers alone would teach a tower too, but slowly, for a word says little about a patch; so linear heads are asked
which shape and which color lies under each patch, where the shapes are, and what the whole picture shows. They are
thrown away at the end. Pictures begin square and sharp and become more varied. Now and then the language model goes on
with its own text, so as not to forget it.

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
from pathlib import Path
from typing import Any

from . import corpus, model_path, pictures
from .train import Batches, answers
from .train import loss as text_loss
from .vision_exam import exact, perplexities
from .vision_lessons import COLORS, NO_LOSS, SHAPES, Lessons, Seen, rounded
from .vision_structure import make_model, save

SEED = 77
LOOKING, STEPS = 600, 2300
"""Steps without answers, which cost a third of the others, and all steps."""
PICTURES = 24
"""A step."""
VARIED_FROM, VARIED_FULLY = 300, 1000
"""Steps after which pictures begin to vary, and after which they are of all forms."""
LEARNING_RATE = 1e-3
KNOWN_SHARE = 0.4
"""Of the learning rate, for the language model, which has learned before."""
WARM_UP_STEPS = 50
DECAY_FROM = 0.6
"""Part of the steps after which the learning rate falls."""
ANSWER_WEIGHT = 2.0
TEXT_EVERY, TEXT_SHAPE, TEXT_WEIGHT = 4, (8, 128), 0.5
SCENE_WEIGHTS = (0.25, 0.25, 1.0, 0.25)
"""Of number, color, shape and background; shapes are by far the hardest to learn."""
BARE_WEIGHT = 0.2
"""Of a patch without a shape, of which there are many."""
WATCH_EVERY, EXAM_EVERY = 100, 200
"""Steps."""
WATCHED, EXAMINED = 2, 16
"""Test pictures of each form while training and at the end."""


def make_heads(tower: int, hidden: int) -> Any:
    """Return the linear heads of the side tasks, for a tower and a language model of the given widths."""
    from torch import nn

    return nn.ModuleDict(
        {
            "scene": nn.ModuleList([nn.Linear(hidden, n) for n in (4, len(COLORS), len(SHAPES), len(COLORS))]),
            "shapes": nn.Linear(tower, 1 + len(SHAPES)),
            "colours": nn.Linear(tower, len(COLORS) + 1),
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
    loss = loss + cross_entropy(heads["colours"](patches).flatten(0, 1), seen.colors.flatten())
    loss = loss + cross_entropy(heads["places"](rows).flatten(0, 1), seen.places.flatten())
    for i, (head, weight) in enumerate(zip(heads["scene"], SCENE_WEIGHTS, strict=True)):
        loss = loss + weight * cross_entropy(head(rows.mean(1)), seen.scene[:, i])
    return loss


def answer_loss(model: Any, features: Any, ids: Any, labels: Any) -> Any:
    """Return the mean loss of the labeled tokens in nats; `features` are [n, image tokens, hidden]."""
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

    curve: list[dict[str, float]] = field(default_factory=list)
    recent: dict[str, list[float]] = field(default_factory=dict)
    started: float = field(default_factory=time.process_time)

    def note(self, **losses: Any) -> None:
        """Remember losses of one step, scalar tensors, for the next point."""
        for name, loss in losses.items():
            self.recent.setdefault(name, []).append(loss.item())

    def point(self, step: int, **more: float) -> None:
        """Append one point to the curve and print it."""
        means = {name: round(sum(values) / len(values), 4) for name, values in self.recent.items()}
        self.curve.append({"step": step, "cpu_s": round(time.process_time() - self.started)} | means | more)
        print(self.curve[-1], file=sys.stderr, flush=True)
        self.recent.clear()


def rate(done: float) -> float:
    """Return the share of the learning rate after a part of the steps: 1, at last falling to 3 % along a cosine."""
    falling = max(0.0, (done - DECAY_FROM) / (1 - DECAY_FROM))
    return 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * falling))


def variety(step: int) -> float:
    """Return how varied the pictures are at a step, 0 to 1, for `pictures.picture`."""
    return min(1.0, max(0.0, (step - VARIED_FROM) / (VARIED_FULLY - VARIED_FROM)))


class Optimizer:
    """AdamW over groups of parameters, each with its share of the learning rate and the step after which it begins."""

    def __init__(self, groups: Iterable[tuple[float, int, list[Any]]], steps: int) -> None:
        import torch

        made = [{"params": parameters, "share": share, "after": after} for share, after, parameters in groups]
        self._all = [p for group in made for p in group["params"]]  # type: ignore[attr-defined]
        self._adam = torch.optim.AdamW(made, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.02, fused=True)
        self._steps = steps

    def step(self, number: int) -> None:
        """Apply the gradients of step `number`, counted from 1, and clear them."""
        import torch

        for group in self._adam.param_groups:
            warm = min(1.0, max(0.0, (number - group["after"]) / WARM_UP_STEPS))
            group["lr"] = LEARNING_RATE * group["share"] * warm * rate(number / self._steps)
        torch.nn.utils.clip_grad_norm_(self._all, 1.0)
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)


def learn(model: Any, lessons: Lessons, text: Batches, watch: Watch, *, looking: int, steps: int) -> None:
    """Train the model in place; matrix products run in bfloat16, weights and sums in float32.

    Args:
        model: changed in place.
        lessons: pictures and talk of them.
        text: what the language model learned from before.
        watch: gets the curve.
        looking: steps before the first answer.
        steps: all steps.
    """
    import torch

    heads = make_heads(model.config.vision_config.hidden_size, model.config.hidden_size)
    known = [p for name, p in model.named_parameters() if not name.startswith("model.vision.")]
    new = [*model.model.vision.parameters(), *heads.parameters()]
    optimizer = Optimizer([(KNOWN_SHARE, looking, known), (1.0, 0, new)], steps)
    for step in range(1, steps + 1):
        seen, ids, labels = lessons.batch(PICTURES, variety(step))
        with torch.autocast("cpu", torch.bfloat16):
            made = model.get_image_features(seen.pixels)
            loss = side = side_loss(made, heads, seen)
            watch.note(side=side)
            if step > looking:
                answer = answer_loss(model, made.pooler_output, ids, labels)
                loss = side + ANSWER_WEIGHT * answer
                watch.note(answer=answer)
        loss.backward()
        if step > looking and step % TEXT_EVERY == 0:
            read_on(model, text)
        optimizer.step(step)
        if step % WATCH_EVERY == 0 or step == steps:
            examined = step > looking and step % EXAM_EVERY == 0
            tests = pictures.samples(WATCHED, SEED)
            watch.point(step, **({"exact": exact(model, lessons.tokenizer, tests)["all"]} if examined else {}))


def read_on(model: Any, text: Batches) -> None:
    """Add the gradients of a batch of text, half of it chat."""
    import torch

    rows, length = TEXT_SHAPE
    read = torch.stack([text.chat(length + 1) if i % 2 else text.window(length + 1) for i in range(rows)])
    with torch.autocast("cpu", torch.bfloat16):
        (TEXT_WEIGHT * text_loss(model, read)).backward()


def train(folder: Path, looking: int = LOOKING, steps: int = STEPS) -> dict[str, Any]:
    """Train from `SEED` and the built-in language model, write `folder`; return the provenance."""
    import torch
    from transformers import AutoTokenizer

    from ..convert.families.glm_edge_v_model import load

    torch.manual_seed(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    model, tokenizer = make_model(folder)
    model.set_attn_implementation("eager")  # at this size twice as fast as torch's fused attention
    talker = AutoTokenizer.from_pretrained(model_path())  # the same ids, with the text models' template
    watch = Watch()
    text = Batches(talker, corpus.running_text()[0], SEED)
    learn(model, Lessons(tokenizer, SEED), text, watch, looking=looking, steps=steps)
    save(model, folder)
    model = load(folder)  # what follows is measured on the file
    provenance: dict[str, Any] = {
        "script": "python -m edgeconv.builtin.train_vision",
        "seed": SEED,
        "steps": {"looking": looking, "all": steps},
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
    parser.add_argument("--looking", type=int, default=LOOKING, help="steps before the first answer")
    parser.add_argument("--steps", type=int, default=STEPS, help="all steps")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # faster than two at this size, and one order of summation
    train(arguments.out, arguments.looking, arguments.steps)


if __name__ == "__main__":
    main()
