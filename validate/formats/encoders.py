"""What the checks ask of a converted encoder, one class a format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from ...convert import sentence
from ...convert.gguf import dense
from ...convert.gguf.encoders import gguf_of
from ...convert.gguf.read import GgufFile
from ...convert.program.encoder import Encoder
from ...convert.program.task import POOLING_TYPES, Task
from ...core.errors import ArtifactError, CheckpointError
from ...core.progress import Progress
from ...runtimes.encoder import EncoderRuntime
from .pooling import Pooler

Array = npt.NDArray[Any]
GraphBudgets = Mapping[str, tuple[float, str]]

_NONE = "No pipeline is known for this format."


class EncoderArtifact(Protocol):
    """A converted encoder; `pipeline` names what runs it for a user."""

    pipeline: str

    def runtime(self, device: str, progress: Progress, *, accurate: bool) -> EncoderRuntime:
        """Load it. Raises ArtifactError."""

    def pooler(self, task: Task, *, dense: bool = True) -> Pooler:
        """Return what its own files say of vectors; `task` is the checkpoint's, `dense=False`: as its pipeline does.

        Raises:
            ArtifactError: they say what no one can do.
        """

    def seen(self, states: Sequence[Array], checkpoint: Pooler) -> Sequence[Array]:
        """Return states of the reference, each [n, width], as its runtime hands them out; `checkpoint` pools the reference's."""

    def graph_budgets(self, encoder: Encoder) -> GraphBudgets:
        """Return metric of "conversion" → limit and reason, where the runtime's graph errs by itself."""

    def no_pipeline(self, encoder: Encoder) -> str:
        """Say why no pipeline is asked; empty: one is."""

    def embedded(self, device: str, task: Task, texts: Sequence[str]) -> Array:
        """Return the pipeline's vectors. Raises ArtifactError."""

    def reranked(self, device: str, pairs: Sequence[Sequence[str]]) -> Array:
        """Return the pipeline's scores of pairs with one question. Raises ArtifactError."""


class Folder:
    """What folders of graphs have alike: the files of sentence-transformers beside the graph."""

    pipeline = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def graph_budgets(self, encoder: Encoder) -> GraphBudgets:
        """As `EncoderArtifact` says: graphs of ours compute what torch does."""
        return {}

    def pooler(self, task: Task, *, dense: bool = True) -> Pooler:
        """As `EncoderArtifact` says; a checkpoint without such files is pooled as nothing says."""
        try:
            own = sentence.read(self.folder) or Task("embed")
        except CheckpointError as error:
            raise ArtifactError(error.message, "Convert the checkpoint again.") from error
        if not dense and own.dense:
            own = replace(own, dense=(), normalize=False)
        return Pooler(own, self.folder)

    def seen(self, states: Sequence[Array], checkpoint: Pooler) -> Sequence[Array]:
        """As they are."""
        return states

    def no_pipeline(self, encoder: Encoder) -> str:
        """None is known."""
        return "no pipeline for such a folder is installed with edgeconv"

    def embedded(self, device: str, task: Task, texts: Sequence[str]) -> Array:
        """As `no_pipeline` says."""
        raise ArtifactError(_NONE)

    def reranked(self, device: str, pairs: Sequence[Sequence[str]]) -> Array:
        """As `no_pipeline` says."""
        raise ArtifactError(_NONE)


class OpenVINOFolder(Folder):
    """Implements `EncoderArtifact` for a folder with an IR."""

    pipeline = "openvino_genai"

    def runtime(self, device: str, progress: Progress, *, accurate: bool) -> EncoderRuntime:
        """Compile."""
        from ...runtimes.openvino_encoder import OpenVINOEncoder

        return OpenVINOEncoder(self.folder, device, accurate=accurate)

    def no_pipeline(self, encoder: Encoder) -> str:
        """Of scores, it takes one."""
        if encoder.task.kind == "score" and encoder.task.labels != 1:
            return f"openvino_genai.TextRerankPipeline takes models of one score; this one has {encoder.task.labels}"
        return ""

    def embedded(self, device: str, task: Task, texts: Sequence[str]) -> Array:
        """Ask `TextEmbeddingPipeline`."""
        from ...runtimes import openvino_genai_rag

        own = sentence.read(self.folder) or task
        return openvino_genai_rag.embed(self.folder, own, texts, device)

    def reranked(self, device: str, pairs: Sequence[Sequence[str]]) -> Array:
        """Ask `TextRerankPipeline`."""
        from ...runtimes import openvino_genai_rag

        return openvino_genai_rag.rerank(self.folder, pairs[0][0], [pair[1] for pair in pairs], device)


class OnnxFolder(Folder):
    """Implements `EncoderArtifact` for a folder with an ONNX model."""

    pipeline = "onnxruntime"

    def runtime(self, device: str, progress: Progress, *, accurate: bool) -> EncoderRuntime:
        """Load."""
        from ...runtimes.onnx_encoder import OnnxEncoder

        return OnnxEncoder(self.folder, accurate=accurate)


class LlamaCppFile:
    """Implements `EncoderArtifact` for a GGUF, whose key says how llama.cpp pools; the length is its callers' to divide by."""

    pipeline = "llama.cpp"

    def __init__(
        self, path: Path, file: GgufFile, in_float32: Callable[[Progress], AbstractContextManager[Path]]
    ) -> None:
        """Take a file, and what gives it with its weights in float32."""
        self._path, self._in_float32 = path, in_float32
        self._pooling = file.own("pooling_type")
        self._dense = dense.NAMES[0] in file.tensors

    def graph_budgets(self, encoder: Encoder) -> GraphBudgets:
        """As `EncoderArtifact` says."""
        gguf = gguf_of(encoder.family)
        return gguf.budgets if gguf else {}

    def runtime(self, device: str, progress: Progress, *, accurate: bool) -> EncoderRuntime:
        """Load it, de-quantized to float32 first where that is asked."""
        from ...runtimes.llama_cpp_encoder import LlamaCppEncoder

        if not accurate:
            return LlamaCppEncoder(self._path, accurate=False)
        with self._in_float32(progress) as whole:
            return LlamaCppEncoder(whole)

    def pooler(self, task: Task, *, dense: bool = True) -> Pooler:
        """Pool as the key says, and divide as the checkpoint does: llama.cpp's programs are told whether to."""
        own = POOLING_TYPES.get(self._pooling) if isinstance(self._pooling, int) else None
        if self._pooling is None and task.pooling is None:  # neither says anything
            return Pooler(task, self._path.parent)
        if own is None:
            raise ArtifactError(
                f"{self._path.name} has the pooling_type {self._pooling}, which is none of an embedding model."
            )
        return Pooler(replace(task, pooling=own, dense=()), self._path.parent)

    def seen(self, states: Sequence[Array], checkpoint: Pooler) -> Sequence[Array]:
        """Without a pooling llama.cpp applies the layers behind it to the states of all tokens, whose mean is the same then."""
        return [checkpoint.behind(one) for one in states] if self._dense else states

    def no_pipeline(self, encoder: Encoder) -> str:
        """The package hands out no pooled vectors."""
        return "the packaged llama.cpp hands out states of tokens only; its own pooling was not run"

    def embedded(self, device: str, task: Task, texts: Sequence[str]) -> Array:
        """As `no_pipeline` says."""
        raise ArtifactError(_NONE)

    def reranked(self, device: str, pairs: Sequence[Sequence[str]]) -> Array:
        """As `no_pipeline` says."""
        raise ArtifactError(_NONE)
