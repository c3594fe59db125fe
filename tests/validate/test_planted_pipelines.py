"""Faults of the user's pipeline alone, through every check: the artifact is sound, and the generation check sees them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.runtimes import openvino_genai_once
from edgeconv.runtimes.decoder import read_on
from edgeconv.runtimes.llama_cpp import LlamaCppRuntime
from edgeconv.runtimes.llama_cpp_tokenizer import LlamaCppTokenizer
from edgeconv.runtimes.onnx_chat import CachedOnnx
from edgeconv.validate import parity
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report.model import Report

from .gguf_files import write
from .test_planted_faults import edit_tensors
from .test_used import convert
from .test_used_defaults import OUTLIER

pytestmark = pytest.mark.slow
PENALTY = 1.15
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(parity, "LONG", 64)
        patch.setattr(parity, "SHARE", 128)
        yield


@pytest.fixture(scope="module")
def artifacts(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The checkpoint and an artifact of each format, their weights in 8 bits, 4 or a mixture. Read-only."""
    source, folder = tiny_model("llama"), tmp_path_factory.mktemp("pipelines")
    made = {kind: convert(source, folder / kind, kind) for kind in ("openvino", "onnx")}
    return made | {"gguf": write(source, folder / "a.gguf", "q8_0"), "source": source}


def climb(artifact: Path, source: Path) -> Report:
    return validate(Ask(artifact, reference=str(source), max_tokens=100, budgets={"mean_kl": 10.0, "top1": 0.1}))


def failures(report: Report) -> list[str]:
    return next(check.failures for check in report.rungs if check.name == "generation")


@pytest.mark.parametrize("kind", ["openvino", "onnx", "gguf"])
def test_a_sound_pipeline_passes(kind: str, artifacts: dict[str, Path]) -> None:
    report = climb(artifacts[kind], artifacts["source"])
    assert failures(report) == []
    assert report.verdict == "passed", [check.failures for check in report.rungs]


def genai(patch: Patch, change: Callable[[Any, Any, int], Any]) -> None:
    """Let `change` have the prompt, the settings and the number of each call before openvino_genai does."""
    import openvino_genai

    plain, calls = openvino_genai.LLMPipeline.generate, [0]

    def generate(self: Any, given: Any, config: Any, *others: Any) -> Any:
        calls[0] += 1
        return plain(self, change(given, config, calls[0]), config, *others)

    patch.setattr(openvino_genai.LLMPipeline, "generate", generate)


def penalty_in_openvino(patch: Patch) -> None:
    def change(given: Any, config: Any, _: int) -> Any:
        config.repetition_penalty = PENALTY
        return given

    genai(patch, change)


def sampler_in_openvino(patch: Patch) -> None:
    def change(given: Any, config: Any, _: int) -> Any:
        config.do_sample, config.temperature, config.top_k, config.rng_seed = True, 0.7, 20, 1
        return given

    genai(patch, change)


def stop_in_openvino(patch: Patch) -> None:
    """Every third token ends an answer."""

    def change(given: Any, config: Any, _: int) -> Any:
        config.stop_token_ids = {*config.stop_token_ids, *range(0, 1000, 3)}
        return given

    genai(patch, change)


def template_in_openvino(patch: Patch) -> None:
    import openvino_genai

    plain = openvino_genai.Tokenizer.apply_chat_template

    def apply(self: Any, *given: Any, **options: Any) -> str:
        return "x" + str(plain(self, *given, **options))

    encode = openvino_genai_once._encode

    def other(tokenizer: Any, messages: Any) -> Any:
        patch.setattr(openvino_genai.Tokenizer, "apply_chat_template", apply)
        try:
            return encode(tokenizer, messages)
        finally:
            patch.setattr(openvino_genai.Tokenizer, "apply_chat_template", plain)

    patch.setattr(openvino_genai_once, "_encode", other)


def history_in_openvino(patch: Patch) -> None:
    """A chat has forgotten what was said before its last question."""
    import openvino_genai

    def change(given: Any, _config: Any, _number: int) -> Any:
        messages = given.get_messages() if isinstance(given, openvino_genai.ChatHistory) else []
        if len(messages) < 3:
            return given
        other = openvino_genai.ChatHistory()
        other.append(messages[-1])
        return other

    genai(patch, change)


def _penalized(self: Any, logits: np.ndarray, read: Any) -> int:
    seen = sorted(set(read))
    logits = logits.copy()
    logits[seen] = np.where(logits[seen] > 0, logits[seen] / PENALTY, logits[seen] * PENALTY)
    return int(logits.argmax())


def _sampled(self: Any, logits: np.ndarray, read: Any) -> int:
    best = np.argsort(logits)[-20:]
    chances = np.exp((logits[best] - logits[best[-1]]) / 0.7)
    return int(np.random.default_rng(len(read)).choice(best, p=chances / chances.sum()))


def penalty_in_onnx(patch: Patch) -> None:
    patch.setattr(CachedOnnx, "_choose", _penalized)


def sampler_in_onnx(patch: Patch) -> None:
    patch.setattr(CachedOnnx, "_choose", _sampled)


def history_in_onnx(patch: Patch) -> None:
    keep = CachedOnnx._keep

    def other(self: CachedOnnx, count: int) -> int:
        left = keep(self, count)
        if left:
            self._decoder.empty()
            read_on(self._decoder, self._embed(np.full(left, 7)), 0)
        return left

    patch.setattr(CachedOnnx, "_keep", other)


def penalty_in_llama_cpp(patch: Patch) -> None:
    patch.setattr(LlamaCppRuntime, "_choose", _penalized)


def sampler_in_llama_cpp(patch: Patch) -> None:
    patch.setattr(LlamaCppRuntime, "_choose", _sampled)


def begin_in_llama_cpp(patch: Patch) -> None:
    """A begin token stands twice in front of a prompt."""
    from edgeconv.validate.formats import gguf

    class Twice(LlamaCppTokenizer):
        def encode(self, text: str, *, special: bool) -> list[int]:
            made = super().encode(text, special=special)
            return [made[0], *made]

    plain = gguf.GgufArtifact.answers

    def answers(self: Any, *given: Any) -> Any:
        patch.setattr(gguf, "LlamaCppTokenizer", Twice)
        try:
            return plain(self, *given)
        finally:
            patch.setattr(gguf, "LlamaCppTokenizer", LlamaCppTokenizer)

    patch.setattr(gguf.GgufArtifact, "answers", answers)


def history_in_llama_cpp(patch: Patch) -> None:
    def known(self: LlamaCppRuntime, ids: list[int], count: int) -> int:
        length = min(len(self._read), len(ids) - 1)
        self._context.kv_cache_clear()
        self._decode([7] * length, 0, every=False)
        return length

    patch.setattr(LlamaCppRuntime, "_known", known)


FAULTS: dict[Callable[[Patch], None], tuple[str, str]] = {
    penalty_in_openvino: ("openvino", "below its best"),
    sampler_in_openvino: ("openvino", "below its best"),
    stop_in_openvino: ("openvino", "ends behind token"),
    template_in_openvino: ("openvino", "reads another prompt"),
    history_in_openvino: ("openvino", "turn 2"),
    penalty_in_onnx: ("onnx", "below its best"),
    sampler_in_onnx: ("onnx", "below its best"),
    history_in_onnx: ("onnx", "turn 2"),
    penalty_in_llama_cpp: ("gguf", "below its best"),
    sampler_in_llama_cpp: ("gguf", "below its best"),
    begin_in_llama_cpp: ("gguf", "reads another prompt"),
    history_in_llama_cpp: ("gguf", "turn 2"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_fault_of_the_pipeline_alone(
    fault: Callable[[Patch], None], artifacts: dict[str, Path], monkeypatch: Patch
) -> None:
    kind, says = FAULTS[fault]
    fault(monkeypatch)
    report = climb(artifacts[kind], artifacts["source"])
    assert report.first_failed == "generation", [check.failures for check in report.rungs]
    assert any(says in failure for failure in failures(report)), failures(report)


def test_a_cache_in_8_bits_that_spoils_the_answers_alone(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: Patch
) -> None:
    """The device's defaults, which have the same cache, must not lend the pipeline their error."""
    spoilt = shutil.copytree(tiny_model("qwen2"), tmp_path / "model")

    def outliers(tensors: dict[str, Any]) -> None:
        for name, tensor in tensors.items():
            if name.endswith("k_proj.bias"):
                tensor[3::16] = OUTLIER

    edit_tensors(spoilt, outliers)
    made = convert(spoilt, tmp_path / "out", "openvino")
    monkeypatch.setattr(
        openvino_genai_once, "ACCURATE", {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "u8"}
    )
    assert any("below its best" in failure for failure in failures(climb(made, spoilt)))
