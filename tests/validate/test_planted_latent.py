"""Faults of latent attention and of its router, planted where files are made: `validate` finds each of them in each format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.families import deepseek_v3, ernie4_5_moe
from edgeconv.convert.gguf import write
from edgeconv.convert.onnx import experts as onnx_experts
from edgeconv.convert.openvino import stream_experts
from edgeconv.convert.program import block
from edgeconv.convert.program.latent import Latent
from edgeconv.validate.parity import Ask, validate

from ..exact_artifacts import FORMATS, convert

Plant = Callable[[pytest.MonkeyPatch], None]


def in_file(monkeypatch: pytest.MonkeyPatch, part: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the rows of a GGUF's tensors whose names have a part."""
    sound = write._rows

    def rows(checkpoint: Any, placed: Any, start: int, stop: int) -> np.ndarray:
        found = sound(checkpoint, placed, start, stop)
        return change(np.array(found)) if part in placed.tensor.name else found

    monkeypatch.setattr(write, "_rows", rows)


def no_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Experts of all groups are looked at."""
    sound = deepseek_v3.FAMILY.details

    def details(read: Any, decoder: Any) -> Any:
        made = sound(read, decoder)
        return replace(made, experts=tuple(one and replace(one, groups=1, used_groups=1) for one in made.experts))

    monkeypatch.setattr(deepseek_v3, "FAMILY", replace(deepseek_v3.FAMILY, details=details))


def not_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Experts are chosen by their scores alone."""
    streamed, in_onnx = stream_experts._for_choice, onnx_experts._for_choice

    def of_openvino(layers: Any, scores: Any, prefix: str, e: Any) -> Any:
        sound = layers.weights
        layers.weights = lambda name: layers.ops.multiply(sound(name), layers.ops.constant(0.0, np.float32))
        try:
            return streamed(layers, scores, prefix, e)
        finally:
            layers.weights = sound

    monkeypatch.setattr(stream_experts, "_for_choice", of_openvino)
    monkeypatch.setattr(
        onnx_experts,
        "_for_choice",
        lambda g, scores, prefix, e: in_onnx(g, scores, prefix, replace(e, correction=None)),
    )
    in_file(monkeypatch, "exp_probs_b", np.zeros_like)


def none_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The expert of all tokens adds nothing."""
    sound = block._fed_forward

    def fed(ops: Any, d: Any, hidden: Any, layer: Any) -> Any:
        add = ops.add
        ops.add = lambda given, beside: add(given, ops.scale(beside, 0.0))
        try:
            return sound(ops, d, hidden, layer)
        finally:
            ops.add = add

    monkeypatch.setattr(block, "_fed_forward", fed)
    in_file(monkeypatch, "down_shexp", np.zeros_like)


def swapped_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rotated part of queries meets the part of keys that is not, and the other way round."""
    sound = Latent.parts

    def parts(self: Latent, ops: Any, *arguments: Any) -> Any:
        query, key, value = sound(self, ops, *arguments)
        plain, turning = ops.split(query, [self.plain, self.rotated])
        return ops.joined([turning, plain]), key, value

    monkeypatch.setattr(Latent, "parts", parts)
    in_file(monkeypatch, "attn_q_b", lambda rows: np.roll(rows, 8, 0))


def common_key_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The part of keys that all heads share is not rotated; in a GGUF its halves are, not its neighbors."""
    sound = Latent.parts

    def parts(self: Latent, ops: Any, hidden: Any, prefix: str, rotation: Any) -> Any:
        rotate, calls = ops.rotate, []

        def first(states: Any, *arguments: Any) -> Any:
            calls.append(states)
            return rotate(states, *arguments) if len(calls) == 1 else states

        ops.rotate = first
        try:
            return sound(self, ops, hidden, prefix, rotation)
        finally:
            ops.rotate = rotate

    monkeypatch.setattr(Latent, "parts", parts)
    in_file(monkeypatch, "attn_kv_a_mqa", lambda rows: np.concatenate([rows[:24], rows[24::2], rows[25::2]]))


FAULTS: dict[Plant, str] = {
    no_groups: "deepseek_v3",
    not_corrected: "deepseek_v3",
    none_shared: "deepseek_v3",
    swapped_parts: "deepseek_v3",
    common_key_at_rest: "deepseek_v3",
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("fault", [*FAULTS, None], ids=lambda fault: fault.__name__ if fault else "none")
def test_a_fault(
    fault: Plant | None, kind: str, tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = measured(fault, kind, tiny_model(FAULTS[fault] if fault else "deepseek_v3"), tmp_path, monkeypatch)
    assert verdict == ("failed" if fault else "passed")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("fault", [not_corrected, none_shared], ids=lambda fault: fault.__name__)
def test_a_fault_where_scores_are_a_softmax(
    fault: Plant, kind: str, tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = ernie4_5_moe.FAMILY.model_type
    assert measured(fault, kind, tiny_model(family), tmp_path, monkeypatch) == "failed"


def measured(fault: Plant | None, kind: str, source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Convert with a fault, and return what `validate` says without it."""
    monkeypatch.setenv("EDGECONV_CACHE", str(folder / "cache"))
    with monkeypatch.context() as planted:
        if fault:
            fault(planted)
        out = convert(source, folder / "out", kind)
    return str(validate(Ask(out, reference=str(source), max_tokens=300, quick=True)).verdict)
