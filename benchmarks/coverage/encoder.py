"""Encoders of the matrix: their checkpoints, and states or scores instead of logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgeconv.core.progress import Silent
from edgeconv.runtimes.encoder import Text

SCORES = "scores"
SHORT = 50
"""Tokens of a second text, which is filled up in a batch with the first."""


def model_class(kind: str) -> Any:
    """Return transformers' class for an encoder that gives scores, or for one whose states are pooled."""
    from transformers import AutoModel, AutoModelForSequenceClassification

    return AutoModelForSequenceClassification if kind == SCORES else AutoModel


def numbers(made: Any) -> Any:
    """Return what transformers' model gives for one text: states [n, width], or scores [labels]."""
    return (made.logits if hasattr(made, "logits") else made.last_hidden_state)[0].numpy()


def write_modules(folder: Path, pooling: str) -> None:
    """Write the files of sentence-transformers: a pooling ("mean_tokens", "cls_token", "lasttoken"), and vectors of length 1."""
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{pooling}": True}))


def task(source: Path) -> str | None:
    """Return optimum's name of an encoder's task; None for what makes text."""
    stated = json.loads((source / "config.json").read_text("utf-8"))["architectures"][0]
    if stated.endswith("ForSequenceClassification"):
        return "text-classification"
    return "feature-extraction" if (source / "modules.json").is_file() else None


def worst_difference(artifact: Any, reference: Path) -> float:
    """Compare states, or scores, of a text alone and in a batch with a shorter one."""
    known = np.load(reference)
    ids, wanted = known["ids"].tolist(), known["logits"]
    runtime = artifact.encoder().runtime("CPU", Silent(), accurate=True)
    text, short = (Text(some, [0] * len(some)) for some in (ids, ids[:SHORT]))
    found = [runtime.run([text])[0], runtime.run([short, text])[1]]
    return max(float(np.abs(one - wanted).max()) if np.isfinite(one).all() else np.inf for one in found)
