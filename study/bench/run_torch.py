"""The checkpoint in torch, bfloat16, with transformers' own cache: what a user would run without converting."""

from __future__ import annotations

import importlib.metadata
import inspect
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...convert.checkpoint import Checkpoint
from ...convert.families import glm_edge_v_model as glm_edge_v
from ...convert.families.glm_edge_v_model.facts import is_glm_edge_v
from ...convert.multimodal import is_ours
from ...convert.native_config import read_config
from ...convert.open_checkpoint import open_checkpoint
from ...core.errors import UsageError
from ...core.picture_file import open_picture
from ...validate.module_weights import checkpoint_tensors
from .model import Timing
from .runner import Load, greedy, timed


class TorchRunner:
    """Implements `runner.Runner`."""

    def __init__(self, load: Load) -> None:
        """Load every weight. Raises UsageError if transformers has no such model."""
        import torch

        self.framework = (
            f"transformers {importlib.metadata.version('transformers')}, torch {importlib.metadata.version('torch')}"
        )
        if load.threads:
            torch.set_num_threads(load.threads)
        self._torch = torch
        checkpoint = open_checkpoint(load.path)
        self._folder = checkpoint.folder
        self._prepare: Callable[[Path, str], dict[str, Any]] | None = None
        if is_glm_edge_v(checkpoint.config, checkpoint.names):
            self._model, self._prepare = glm_edge_v.load(load.path, torch.bfloat16), self._squares
        elif is_ours(checkpoint.model_type):
            self._model, self._prepare = _seeing(checkpoint.folder), self._processed
        else:
            self._model = _text(checkpoint)
        self.vocabulary = int(checkpoint.config["vocab_size"])

    def run(self, ids: Sequence[int], count: int) -> Timing:
        """Time a plain greedy loop over the model's cache."""
        return self._timed(time.perf_counter(), None, {"input_ids": self._torch.tensor([list(ids)])}, count)

    def see(self, picture: Path, question: str, count: int) -> Timing:
        """Time the same behind a picture; the tower is part of the first token here."""
        if self._prepare is None:
            raise UsageError(f"This model takes no pictures, so {picture.name} cannot be shown to it.")
        started = time.perf_counter()
        inputs = self._prepare(picture, question)
        return self._timed(started, None, inputs, count)

    def _squares(self, picture: Path, question: str) -> dict[str, Any]:
        """Return what a GLM-Edge-V takes."""
        from ...convert.families.glm_edge_v_model.pixels import Preprocess
        from ...runtimes.prompt import Prompter, message

        prompter = Prompter(self._folder)
        ids = prompter.encode(prompter.render([message("user", question, 1)]))
        pixels = self._torch.from_numpy(Preprocess.from_folder(self._folder)([open_picture(picture)]))
        return {"input_ids": self._torch.tensor([ids]), "pixel_values": pixels.to(self._torch.bfloat16)}

    def _processed(self, picture: Path, question: str) -> dict[str, Any]:
        """Return what any other model takes; some ask which tokens are of a picture, by one name or another."""
        from ...runtimes.processor import Processor
        from ...runtimes.prompt import message

        processor = Processor(self._folder)
        made = processor.pixels(picture)
        ids = processor.prompt([message("user", question, 1)], [processor.written(made)])
        types = np.array([ids]) == processor.placeholder
        given = {**made, **dict.fromkeys(("token_type_ids", "mm_token_type_ids"), types.astype(np.int64))}
        takes = inspect.signature(self._model.forward).parameters
        tensors = {name: self._torch.from_numpy(value) for name, value in given.items() if name in takes}
        floats = {name: one.to(self._torch.bfloat16) for name, one in tensors.items() if one.is_floating_point()}
        return {"input_ids": self._torch.tensor([ids]), **tensors, **floats}

    def _timed(self, started: float, seen: float | None, inputs: dict[str, Any], count: int) -> Timing:
        past: Any = None

        def forward(**given: Any) -> int:
            nonlocal past
            made = self._model(**given, past_key_values=past, use_cache=True, logits_to_keep=1)
            past = made.past_key_values
            return int(made.logits[0, -1].argmax())

        tokens = greedy(lambda: forward(**inputs), lambda token: forward(input_ids=self._torch.tensor([[token]])))
        with self._torch.inference_mode():
            return timed(started, seen, tokens, count, inputs["input_ids"].shape[1])


def _seeing(folder: Path) -> Any:
    """Load transformers' model of a vision-language checkpoint."""
    import torch
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16, local_files_only=True).eval()


def _text(checkpoint: Checkpoint) -> Any:
    """Build transformers' model over the checkpoint's tensors, whatever form they are stored in."""
    import torch
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    config = read_config(checkpoint.folder)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UsageError(f"transformers has no text model of type {config.model_type}.", "Leave the reference out.")
    tensors = checkpoint_tensors(checkpoint)
    state = {name: tensors(name) for name in checkpoint.names}
    model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
        None, config=config, state_dict=state, dtype=torch.bfloat16
    )
    return model.eval()
