"""Encoders of the matrix: their checkpoints, and states or scores instead of logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgeconv.core.progress import Silent
from edgeconv.runtimes.encoder import Text

SHORT = 50
"""Tokens of a second text, which is filled up in a batch with the first."""


def write_reference(model: Any, ids: Any, path: Path) -> None:
    """Run transformers' model, in float32, over a text; write ids and states [n, width], or scores [labels]."""
    import torch

    with torch.no_grad():
        made = model.float().eval()(input_ids=torch.tensor(ids)[None])
    found = made.logits[0] if hasattr(made, "logits") else made.last_hidden_state[0]
    np.savez(path, ids=ids, logits=found.numpy())


def write_modules(folder: Path, pooling: str, width: int) -> None:
    """Write the files of sentence-transformers: a pooling ("mean", "cls", "lasttoken"), and vectors of length 1."""
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    modes = {f"pooling_mode_{kind}": kind == pooling for kind in ("mean_tokens", "cls_token", "lasttoken")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": width, **modes}))


def worst_difference(artifact: Any, reference: Path) -> float:
    """Compare states, or scores, of a text alone and in a batch with a shorter one."""
    known = np.load(reference)
    ids, wanted = known["ids"].tolist(), known["logits"]
    runtime = artifact.encoder().runtime("CPU", Silent(), accurate=True)
    text, short = (Text(some, [0] * len(some)) for some in (ids, ids[:SHORT]))
    found = [runtime.run([text])[0], runtime.run([short, text])[1]]
    return max(float(np.abs(one - wanted).max()) if np.isfinite(one).all() else np.inf for one in found)


def is_encoder(source: Path) -> bool:
    """Tell by the checkpoint whether it is one."""
    from edgeconv.convert import encoders
    from edgeconv.convert.open_checkpoint import open_checkpoint

    checkpoint = open_checkpoint(source)
    return encoders.describe(checkpoint.config, checkpoint.names, checkpoint.sentence) is not None
