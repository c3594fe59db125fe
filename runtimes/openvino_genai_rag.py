"""openvino_genai's pipelines for encoders: `TextEmbeddingPipeline` and `TextRerankPipeline`, on a folder as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert.program.task import Task
from ..core.errors import ArtifactError
from .openvino import ACCURATE

Array = npt.NDArray[Any]
_POOLING = {"mean": "MEAN", "cls": "CLS", "last": "LAST_TOKEN"}


def embed(folder: Path, task: Task, texts: Sequence[str], device: str = "CPU", *, accurate: bool = True) -> Array:
    """Return a vector of each text, float32 [texts, width]: pooled, and of length 1 if the task says so and adds no layers.

    Raises:
        ArtifactError: the pipeline does not load the folder, or fails.
    """
    genai = _library()
    pooling = getattr(genai.TextEmbeddingPipeline.PoolingType, _POOLING[task.pooling or "mean"])
    asked = {"max_length": task.max_length} if task.max_length else {}
    config = genai.TextEmbeddingPipeline.Config(
        pooling_type=pooling, normalize=task.normalize and not task.dense, **asked
    )
    try:
        pipeline = genai.TextEmbeddingPipeline(folder, device, config, **(ACCURATE if accurate else {}))
        return np.array(pipeline.embed_documents(list(texts)), np.float32)
    except RuntimeError as error:
        raise _failed("TextEmbeddingPipeline", folder, error) from error


def rerank(folder: Path, query: str, texts: Sequence[str], device: str = "CPU", *, accurate: bool = True) -> Array:
    """Return the pipeline's score of each text for a query, float32 [texts]: the sigmoid of the graph's number.

    Raises:
        ArtifactError: the pipeline does not load the folder, or fails.
    """
    genai = _library()
    config = genai.TextRerankPipeline.Config(top_n=len(texts))
    try:
        pipeline = genai.TextRerankPipeline(folder, device, config, **(ACCURATE if accurate else {}))
        found = pipeline.rerank(query, list(texts))
    except RuntimeError as error:
        raise _failed("TextRerankPipeline", folder, error) from error
    scores = np.full(len(texts), np.nan, np.float32)
    for number, score in found:
        scores[number] = score
    return scores


def _library() -> Any:
    import openvino_genai

    return openvino_genai


def _failed(name: str, folder: Path, error: RuntimeError) -> ArtifactError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ArtifactError(f"openvino_genai.{name} cannot use {folder}: {lines[-1] if lines else error}.")
