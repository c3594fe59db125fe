"""The bare passes of a validation, and nothing else: what transformers and OpenVINO need to run a model over the same tokens.

    python -m benchmarks.bare_passes REFERENCE ARTIFACT PLAN.json

PLAN.json: {"documents": [[ids]], "long": [ids], "share": [[ids]], "prompts": [[ids]], "stop": [ids], "full": bool}. Prints the
seconds of each pass as JSON; loading a model counts, importing a library does not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NEW_TOKENS = 64
DECODED = (3, 96)
"""Documents, and tokens of each, that are decoded one by one."""


def main() -> None:
    """Run them in turn."""
    reference, artifact = map(Path, sys.argv[1:3])
    plan = json.loads(Path(sys.argv[3]).read_text())
    import openvino  # noqa: F401 - imports are not timed
    import torch
    import transformers  # noqa: F401

    passes = _Passes(reference, artifact, plan)
    with torch.no_grad():
        passes.torch("reference", "float32", plan["documents"])
        passes.openvino("artefact", plan["documents"])
        if plan["full"]:
            passes.rest()
    json.dump(passes.seconds, sys.stdout)


class _Passes:
    def __init__(self, reference: Path, artifact: Path, plan: dict[str, Any]) -> None:
        self.reference, self.artifact, self.plan = reference, artifact, plan
        self.seconds: dict[str, float] = {}

    def rest(self) -> None:
        """What a full validation runs beside the two."""
        plan = self.plan
        self.torch("own weights", "float32", [*plan["documents"], plan["long"]])
        self.torch("bfloat16", "bfloat16", plan["share"])
        self.openvino("long and share", [*plan["share"], plan["long"]], chunk=256)
        answers = self.generate()
        self.openvino("defaults", plan["share"], {})
        self.torch("over the answers", "float32", answers)

    def torch(self, name: str, dtype: str, documents: Sequence[list[int]]) -> None:
        """One forward pass a document, all logits."""
        import torch
        from transformers import AutoModelForCausalLM

        with self._timed(name):
            model = AutoModelForCausalLM.from_pretrained(self.reference, dtype=getattr(torch, dtype)).eval()
            for ids in documents:
                step = 1024  # the logits of a long document do not fit at once; the hidden states do
                hidden = model.model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state
                for start in range(0, len(ids), step):
                    model.lm_head(hidden[:, start : start + step])

    def openvino(
        self, name: str, documents: Sequence[list[int]], options: dict[str, str] | None = None, chunk: int | None = None
    ) -> None:
        """One prefill a document, all logits."""
        with self._timed(name):
            request = self._request({"EXECUTION_MODE_HINT": "ACCURACY"} if options is None else options)
            for ids in documents:
                request.reset_state()
                step = chunk or len(ids)
                for start in range(0, len(ids), step):
                    _infer(request, ids[start : start + step], start)

    def generate(self) -> list[list[int]]:
        """Cached decoding of documents, and greedy answers; returns the answers."""
        made = []
        with self._timed("decode and generate"):
            request = self._request({"EXECUTION_MODE_HINT": "ACCURACY"})
            for ids in self.plan["documents"][: DECODED[0]]:
                request.reset_state()
                for position, token in enumerate(ids[: DECODED[1]]):
                    _infer(request, [token], position)
            for prompt in self.plan["prompts"]:
                request.reset_state()
                ids, token = list(prompt), int(_infer(request, prompt, 0)[0, -1].argmax())
                while len(ids) < len(prompt) + NEW_TOKENS - 1 and token not in self.plan["stop"]:
                    ids.append(token)
                    token = int(_infer(request, [token], len(ids) - 1)[0, -1].argmax())
                made.append([*ids, token])
        return made

    def _request(self, options: dict[str, str]) -> Any:
        import openvino

        return (
            openvino.Core().compile_model(self.artifact / "openvino_model.xml", "CPU", options).create_infer_request()
        )

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


def _infer(request: Any, ids: list[int], past: int) -> Any:
    import numpy as np

    feed = {
        "input_ids": np.array([ids], np.int64),
        "attention_mask": np.ones((1, past + len(ids)), np.int64),
        "position_ids": np.arange(past, past + len(ids), dtype=np.int64)[None],
        "beam_idx": np.zeros(1, np.int32),
    }
    return request.infer(feed)["logits"]


if __name__ == "__main__":
    main()
