"""llama.cpp, as the validator runs it: a text leaves nothing to the next one, and its graphs err as the budgets say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeconv.core.progress import Silent
from edgeconv.runtimes.llama_cpp import LlamaCppRuntime
from edgeconv.validate import budget
from edgeconv.validate.checks import decode
from edgeconv.validate.formats.gguf import GgufArtifact

from ..models.tiny import LONG_ROPE
from ..validate.gguf_files import write

pytestmark = pytest.mark.slow
SWITCH = LONG_ROPE["original_max_position_embeddings"]
LAYERS = {"num_hidden_layers": 6, "layer_types": [*["sliding_attention"] * 5, "full_attention"]}
"""llama.cpp asserts that there is a layer without a window."""
TEXT = np.random.default_rng(11).integers(5, 4000, SWITCH + 80).tolist()


def whole(runtime: LlamaCppRuntime, ids: list[int]) -> np.ndarray:
    return np.concatenate([made.copy() for made in runtime.logits(ids)])


def test_a_long_text_leaves_no_long_rope_to_the_next_one(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    """llama.cpp chooses between the two tables by the size of its context."""
    runtime = LlamaCppRuntime(write(tiny_model("phi3", **LONG_ROPE), tmp_path / "a.gguf", "f32"))
    short = TEXT[:60]
    before = whole(runtime, short)
    long = whole(runtime, TEXT)
    assert np.abs(long[:60] - before).max() > 0.01, "the tables differ"
    assert np.array_equal(whole(runtime, short), before)
    again = whole(runtime, TEXT)
    assert np.abs(again - long).max() < 1e-4


def test_gemma_3_decodes_within_what_its_graph_may_err(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    """Its GELU comes from a table of float16, in a prefill and in steps apart, so that both differ by more than other graphs."""
    file = write(tiny_model("gemma3_text", **LAYERS), tmp_path / "a.gguf", "f32")
    graph = GgufArtifact(file, None).graph
    limit = budget.limit(graph, "decode")
    assert decode.LIMIT < limit < 0.1
    part = decode.cached(LlamaCppRuntime(file), [TEXT[:48]], Silent(), limit=limit)
    assert part.failure is None, part
