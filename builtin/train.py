"""Train the built-in model: `python -m edgeconv.builtin.train OUT [--steps 800]`, about ten minutes of one CPU core.

The seed fixes the text, the tokenizer, the starting weights and the order of the batches. On one machine with one
version of torch two runs give the same bits; another CPU or another torch sums in another order and gives another
(equally good) model. That is why the checkpoint itself is committed, with PROVENANCE.json beside it.
"""

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

from . import corpus
from .legacy import add_legacy_keys
from .structure import make_config, make_tokenizer

SEED = 1234
LEARNING_RATE = 3e-3
WARM_UP_STEPS = 60
# (rows, tokens a row) in turn: mostly the same work a step, but positions up to 512 are learned too.
BATCH_SHAPES = ((16, 128), (8, 256), (4, 512))
CHAT_SAMPLE = 4000

PROBES = (
    "What is the capital of Italy?",
    "日本的首都是哪里？",
    "What is 4 + 3?",
    "Tell me a short story.",
    'How do you say "river" in Chinese?',
)
LICENSES = {
    "running text": "pydoc_data.topics of CPython (the language reference), Python Software Foundation License 2.0",
    "chat": "made up by builtin/corpus.py, Apache-2.0",
    "weights": "Apache-2.0",
}


class Batches:
    """Rows of token ids, half from the running text (random windows), half packed chat that never ends."""

    def __init__(self, tokenizer: Any, documents: list[str], seed: int) -> None:
        import torch

        self._tokenizer = tokenizer
        self._random = Random(seed)
        self._pending: list[int] = []
        ids = [i for text in documents for i in [*tokenizer(text, verbose=False)["input_ids"], tokenizer.eos_token_id]]
        self.text = torch.tensor(ids)

    def chat(self, length: int) -> Any:
        """Return the next `length` ids of chat: int64 [length]."""
        import torch

        while len(self._pending) < length:
            messages = corpus.conversation(self._random)
            # As in GLM, an answer ends where the user's next turn would begin; with two ways to end, greedy decoding
            # would hang on a coin toss, and every comparison of decoded tokens with it.
            said = self._tokenizer.apply_chat_template(messages, tokenize=False) + "<|user|><|endoftext|>"
            self._pending += self._tokenizer(said)["input_ids"]
        row, self._pending = self._pending[:length], self._pending[length:]
        return torch.tensor(row)

    def window(self, length: int) -> Any:
        """Return `length` ids of running text from a random place: int64 [length]."""
        start = self._random.randrange(len(self.text) - length)
        return self.text[start : start + length]

    def __iter__(self) -> Iterator[Any]:
        """Yield batches without end: int64 [rows, tokens + 1], the extra token being the last target."""
        import torch

        for rows, tokens in cycle(BATCH_SHAPES):
            yield torch.stack([self.chat(tokens + 1) if i % 2 else self.window(tokens + 1) for i in range(rows)])


def loss(model: Any, batch: Any) -> Any:
    """Return the mean negative log-likelihood (nats) of each next token; `batch` is int64 [rows, tokens + 1]."""
    from torch.nn.functional import cross_entropy

    logits = model(input_ids=batch[:, :-1]).logits.float()
    return cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())


@dataclass
class Watch:
    """Measures perplexity on held-out text and on chat of another seed, and keeps the curve."""

    text: Any
    chat: Any
    curve: list[dict[str, float]] = field(default_factory=list)
    started: float = field(default_factory=time.process_time)

    def look(self, model: Any, step: int) -> None:
        """Append one point to the curve and print it."""
        import torch

        with torch.no_grad():
            text, chat = (math.exp(loss(model, rows).item()) for rows in (self.text, self.chat))
        seconds = time.process_time() - self.started
        point = {"step": step, "cpu_s": round(seconds), "ppl_text": round(text, 2), "ppl_chat": round(chat, 3)}
        self.curve.append(point)
        print(point, file=sys.stderr, flush=True)


def rate(step: int, steps: int) -> float:
    """Return the learning rate: a linear warm-up under a cosine that ends at 3 %."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return LEARNING_RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * (0.97 * cosine + 0.03)


def fit(model: Any, batches: Batches, watch: Watch, steps: int) -> None:
    """Train in place with AdamW; matrix products run in bfloat16, weights and sums in float32."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.05)
    for step, batch in zip(range(steps), batches, strict=False):
        if step % 100 == 0:
            watch.look(model, step)
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps)
        with torch.autocast("cpu", torch.bfloat16):
            objective = loss(model, batch)
        objective.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    watch.look(model, steps)


def answers(model: Any, tokenizer: Any) -> dict[str, str]:
    """Return what the model says (greedily, at most 70 tokens) to each of `PROBES`."""
    said = {}
    for question in PROBES:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        ids = model.generate(**prompt, max_new_tokens=70, do_sample=False)
        said[question] = tokenizer.decode(ids[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
    return said


def save(model: Any, tokenizer: Any, folder: Path, provenance: dict[str, Any]) -> None:
    """Write the checkpoint in bfloat16, and PROVENANCE.json with the digests of what was written."""
    import torch
    from transformers import GenerationConfig

    model = model.to(torch.bfloat16)
    model.config.dtype = "bfloat16"
    model.generation_config = GenerationConfig(
        eos_token_id=model.config.eos_token_id, pad_token_id=model.config.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    add_legacy_keys(folder)
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes it for the owner only; a package is for everybody
    files = sorted(path for path in folder.iterdir() if path.suffix in {".json", ".safetensors", ".jinja"})
    provenance["sha256"] = {
        path.name: sha256(path.read_bytes()).hexdigest() for path in files if path.name != "PROVENANCE.json"
    }
    text = json.dumps(provenance, ensure_ascii=False, indent=2)
    (folder / "PROVENANCE.json").write_text(text + "\n", encoding="utf-8")


def train(folder: Path, steps: int, make_model: Callable[[Any], Any] | None = None) -> dict[str, Any]:
    """Make corpus, tokenizer and model from `SEED`, train `steps` steps, write `folder`; return the provenance.

    Args:
        folder: of the checkpoint.
        steps: batches.
        make_model: given the tokenizer, returns the causal model of transformers that learns; None: the built-in one.
    """
    import torch
    from transformers import GlmForCausalLM

    torch.manual_seed(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    learn, held_out = corpus.running_text()
    chooser = Random(SEED)
    sample = [corpus.conversation(chooser) for _ in range(CHAT_SAMPLE)]
    tokenizer = make_tokenizer(learn + [message["content"] for messages in sample for message in messages])
    model = make_model(tokenizer) if make_model else GlmForCausalLM(make_config(tokenizer))
    unseen = Batches(tokenizer, held_out, SEED + 1)
    watch = Watch(
        text=torch.stack([unseen.text[i * 128 : i * 128 + 129] for i in range(min(16, len(unseen.text) // 129))]),
        chat=torch.stack([unseen.chat(129) for _ in range(16)]),
    )
    fit(model, Batches(tokenizer, learn, SEED), watch, steps)
    model.eval()
    provenance: dict[str, Any] = {
        "script": "python -m edgeconv.builtin.train",
        "seed": SEED,
        "steps": steps,
        "parameters": sum(p.numel() for p in model.parameters()),
        "corpus_sha256": corpus.digest(learn, sample),
        "licences": LICENSES,
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "transformers", "tokenizers")},
        "learning_curve": watch.curve,
    }
    save(model, tokenizer, folder, provenance | {"answers": answers(model, tokenizer)})
    return provenance


def main() -> None:
    """Read the command line and train."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m edgeconv.builtin.train", description="Train the built-in model.")
    parser.add_argument("out", type=Path, help="folder to write the checkpoint to")
    parser.add_argument("--steps", type=int, default=800, help="1,200 steps already learn the text by heart")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # faster than two at this size, and one order of summation
    train(arguments.out, arguments.steps)


if __name__ == "__main__":
    main()
