"""A folder with an ONNX model, edgeconv's own or another tool's, run by onnxruntime."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...convert.checkpoint import Checkpoint
from ...convert.onnx.names import MODEL, VISION_EMBEDDINGS
from ...core.errors import ArtifactError
from ...core.manifest import Manifest
from ...core.progress import Progress
from ...runtimes import onnx_genai_once, onnx_models, onnxruntime
from ...runtimes.answers import require_cpu
from ...runtimes.inner_onnx import InnerOnnx
from ...runtimes.onnx_chat import CachedOnnx
from ...runtimes.onnx_graph import open_graph
from ...runtimes.onnxruntime import OnnxRuntime, OnnxTower
from ...runtimes.turns import Turn, converse
from ..checks import structure_onnx, template, tokens_onnx
from ..checks.generation import prompt_ids
from ..checks.weights import Findings
from ..report.model import Check
from ..tokenizer import open_tokenizer
from ..weights.onnx import OnnxWeights
from ..weights.onnx_find import find
from ..weights.stored import Mode, most
from .base import Messages
from .encoders import OnnxFolder
from .graphs import GraphArtifact


class OnnxArtifact(GraphArtifact):
    """Implements `base.Artifact`."""

    format = "onnx"
    pipeline = onnxruntime.NAME
    pipeline_accurate = False
    packages: tuple[str, ...] = ("onnxruntime", "onnx")
    graph = onnxruntime.NAME
    vision = f"{VISION_EMBEDDINGS}.onnx"

    def __init__(self, folder: Path, manifest: Manifest | None) -> None:
        """Take a folder with a model.onnx, or with the three models of a vision-language model.

        Raises:
            ArtifactError: there is none.
            UsageError: onnxruntime is not installed.
        """
        names = onnx_models.names(folder)
        if not (folder / names[0]).is_file():
            raise ArtifactError(f"{folder} has no {MODEL}.", "Give the folder that `edgeconv onnx` wrote.")
        onnxruntime.require()
        super().__init__(folder, manifest, names)

    def _mode_of(self, name: str) -> Mode:
        return most(find(open_graph(self.path / name)))

    def require_device(self, device: str) -> None:
        """The packaged onnxruntime runs on the CPU."""
        require_cpu(device, "An ONNX model", onnxruntime.NAME)

    def weights(self, checkpoint: Checkpoint) -> OnnxWeights:
        """Map the file of weights."""
        return OnnxWeights(self.path, checkpoint)

    def structure(self, checkpoint: Checkpoint, weights: Any | None, progress: Progress) -> Check:
        """Check 0."""
        return structure_onnx.check(self.path, self.manifest, checkpoint, weights, progress)

    def compare(self, checkpoint: Checkpoint, weights: Any, found: Findings, progress: Progress) -> None:
        """Compare the initializers."""
        structure_onnx.compare_all(checkpoint, weights, found, progress)

    def template(self, checkpoint: Checkpoint, progress: Progress) -> Check:
        """Check 1: the template of the tokenizer files."""
        return template.judge(checkpoint, lambda: [template.of_files(self.path)], progress, parts=self.takes_images)

    def tokens(self, checkpoint: Checkpoint, progress: Progress) -> Check:
        """Check 2."""
        return tokens_onnx.check(self.path, checkpoint, progress)

    def runtime(self, device: str, progress: Progress, *, accurate: bool) -> OnnxRuntime:
        """Load it."""
        return OnnxRuntime(self.path, accurate=accurate)

    def encoder(self) -> OnnxFolder:
        """The folder."""
        return OnnxFolder(self.path)

    def inner(self, device: str, layers: int, progress: Progress) -> InnerOnnx:
        """Load it with further outputs."""
        return InnerOnnx(self.path, layers)

    def tower(self, device: str) -> OnnxTower:
        """Load the vision part."""
        return OnnxTower(self.path)

    def answers(self, device: str, prompts: Sequence[Messages], count: int) -> list[Turn]:
        """Answer as `edgeconv chat` does, with the folder's own template, tokenizer and stops; and in onnxruntime-genai."""
        tokenizer = open_tokenizer(self.path, parts=self.takes_images)
        stops = tokens_onnx.stops_in(self.path)["The artifact's configuration"]

        def decode(ids: list[int]) -> str:
            return str(tokenizer.decode(ids, skip_special_tokens=True))

        def encode(messages: Messages) -> list[int]:
            return prompt_ids(tokenizer, messages)

        with contextlib.closing(CachedOnnx(self.path)) as model:
            turns = converse(
                prompts,
                encode,
                lambda ids, keep: model.greedy(ids, count, stops, keep=keep),
                decode if getattr(tokenizer, "chat_template", None) else None,
            )
        if not self.takes_images and onnx_genai_once.runs(self.path):
            turns += onnx_genai_once.answer(self.path, prompts, count, encode)
        return turns
