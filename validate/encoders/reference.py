"""The torch reference of an encoder: transformers' own class, whole, with the checkpoint's weights or the artifact's."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.checkpoint import Checkpoint
from ...convert.native_config import read_config, require_own_code
from ...convert.program.encoder import IDS, MASK, TYPES, Encoder
from ...core.errors import ConversionError
from ...core.lean_transformers import import_models
from ...core.progress import Progress
from ...runtimes.encoder import Text
from ..gelu_table import looking_up
from ..module_weights import Tensors

Array = npt.NDArray[Any]


class EncoderReference:
    """Runs one text at a time, so that nothing is filled up."""

    def __init__(self, checkpoint: Checkpoint, encoder: Encoder, tensors: Tensors, dtype: str = "float32") -> None:
        """Build the model and give it its weights.

        Args:
            checkpoint: of the config.
            encoder: its description.
            tensors: the source of the weights, by the checkpoint's names.
            dtype: torch's name of the type in which everything is computed.

        Raises:
            ConversionError: transformers' class has a weight that the description does not know.
        """
        import torch

        import_models()
        from transformers import AutoModel, AutoModelForSequenceClassification

        self._scores = encoder.task.kind == "score"
        chosen = AutoModelForSequenceClassification if self._scores else AutoModel
        config = read_config(checkpoint.folder)
        if self._scores:
            config.num_labels = encoder.task.labels
        model = chosen.from_config(config, attn_implementation="eager").eval()
        require_own_code(model)
        kind = getattr(torch, dtype)
        known, names = encoder.tensors(), list(model.state_dict())
        state = {}
        for name in names:
            own = next((prefix + name for prefix in encoder.prefixes if prefix + name in known), None)
            if own is not None:
                state[name] = tensors(own).to(kind)
        left = {name for name in names if name not in state and name.split(".")[0] != "pooler"}
        if left:
            raise ConversionError(f"transformers' model has weights that are not read, for example {min(left)}.")
        model.to(kind).load_state_dict(state, strict=False, assign=True)
        self._model = model
        self._inputs = set(encoder.inputs)

    def run(self, texts: Sequence[Text], progress: Progress, label: str, *, gelu_table: bool = False) -> list[Array]:
        """Return of each text the states float32 [n, width], or the scores [labels].

        Args:
            texts: one at a time.
            progress: reports their tokens.
            label: of the report.
            gelu_table: GELU as llama.cpp computes it.
        """
        import torch

        task = progress.task(label, sum(len(text.ids) for text in texts))
        made = []
        looked_up = looking_up(self._model, exact=True) if gelu_table else contextlib.nullcontext()
        with torch.no_grad(), looked_up:
            for text in texts:
                feed = {
                    IDS: torch.tensor([list(text.ids)]),
                    MASK: torch.ones((1, len(text.ids)), dtype=torch.int64),
                    TYPES: torch.tensor([list(text.kinds) or [0] * len(text.ids)]),
                }
                output = self._model(**{name: value for name, value in feed.items() if name in self._inputs})
                found = output.logits if self._scores else output.last_hidden_state
                made.append(np.ascontiguousarray(found[0].float().numpy()))
                task.advance(len(text.ids))
        task.finish()
        return made
