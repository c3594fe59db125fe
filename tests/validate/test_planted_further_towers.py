"""Faults in the converter's own mechanisms of InternViT, Pixtral and GLM's towers: the check of the vision encoder catches each.

A fault is in the converter while a checkpoint is converted; the artifact is looked at without it. Faults in the arithmetic that
stands between graphs are in the runtime as well, so they are planted where graphs are written, or for one format.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.conversion import run
from edgeconv.convert.families import internvl
from edgeconv.convert.program import glm_vit, grid, intern_vit, pixtral
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate import vision_checks

from ..models import tiny_vlm
from .planted_vision import JOBS, Sound, failed

pytestmark = pytest.mark.slow
Patch = pytest.MonkeyPatch


class Otherwise:
    """The layers of a format, some of which do something else."""

    def __init__(self, ops: Any, **others: Callable[..., Any]) -> None:
        self._ops, self._others = ops, others

    def __getattr__(self, name: str) -> Any:
        other = self._others.get(name)
        return getattr(self._ops, name) if other is None else lambda *given, **more: other(self._ops, *given, **more)


def with_ops(module: Any, function: str, **others: Callable[..., Any]) -> Callable[[Patch], None]:
    """Let a function that writes graphs do so over other layers."""

    def plant(patch: Patch) -> None:
        original = getattr(module, function)
        patch.setattr(module, function, lambda ops, *given, **more: original(Otherwise(ops, **others), *given, **more))

    return plant


def last_two_swapped(ops: Any, states: Any, order: Any) -> Any:
    """Take the pixel-shuffle's rows and columns of a square in another order."""
    other = {(0, 1, 3, 2, 4): (0, 3, 1, 2, 4), (0, 2, 1): (0, 1, 2)}.get(tuple(order), tuple(order))
    return ops.transpose(states, other)


def first_rows(ops: Any, states: Any, axis: int, start: int, stop: int, *step: int) -> Any:
    """Leave the last row out, and not the one for the whole picture."""
    return ops.slices(states, axis, start - 1, stop - 1, *step)


def halves(patch: Patch) -> None:
    """Turn by columns first."""
    original = pixtral._angles

    def swapped(ops: Any, v: Any, found: Any) -> Any:
        angles = original(ops, v, found)
        half = v.rope.dim // 4
        return ops.concat([ops.slices(angles, 1, half, 2 * half), ops.slices(angles, 1, 0, half)], 1)

    patch.setattr(pixtral, "_angles", swapped)


def table_shifted(patch: Patch) -> None:
    """Take places one further to the right."""
    original = glm_vit._taken

    def shifted(ops: Any, v: Any, index: Any, weights: Any) -> Any:
        last = ops.whole(v.table**2 - 1)
        return original(ops, v, [ops.least(ops.add(one, ops.whole(1)), last) for one in index], weights)

    patch.setattr(glm_vit, "_taken", shifted)


def nearest(patch: Patch) -> None:
    """Stretch the table without its negative lobes (ONNX, where the graph does so)."""
    patch.setattr(glm_vit, "_CUBIC", np.array([[0, 0, 0, 0], [0, 0, -1, 1], [0, 0, 1, 0], [0, 0, 0, 0]], np.float32))


def axes_swapped(patch: Patch) -> None:
    """Turn by the column first (ONNX, where the graph does so)."""
    original = grid.written_angles

    def swapped(ops: Any, found: Any, dim: int) -> Any:
        return original(ops, dataclasses.replace(found, row=found.column, column=found.row), dim)

    patch.setattr(grid, "written_angles", swapped)


def without_head_norm(patch: Patch) -> None:
    original = glm_vit._attention

    def plain(ops: Any, v: Any, *given: Any, **more: Any) -> Any:
        return original(Otherwise(ops, rms_norm=unnormed), v, *given, **more)

    def unnormed(ops: Any, states: Any, name: str | None, eps: float, offset: float = 0.0) -> Any:
        return ops.multiply_stored(states, f"{name}.weight")

    patch.setattr(glm_vit, "_attention", plain)


def early_norm(ops: Any, states: Any, kind: str) -> Any:
    """Leave an activation out."""
    return states if kind == "gelu" else ops.activate(states, kind)


FAULTS: dict[str, tuple[str, tuple[str, ...], Callable[[Patch], None]]] = {
    "pixel shuffle: squares in another order": (
        "internvl", tuple(JOBS), with_ops(internvl, "encode", transpose=last_two_swapped)),
    "the whole picture's row taken for a patch": (
        "internvl", tuple(JOBS), with_ops(intern_vit, "encode", slices=first_rows)),
    "what layers add is not scaled": (
        "internvl", tuple(JOBS), with_ops(intern_vit, "_layer", multiply_stored=lambda ops, states, name: ops.add(
            states, ops.scale(ops.multiply_stored(states, name), 0.0)))),
    "rows and columns of the rotary embedding swapped": ("mistral3", tuple(JOBS), halves),
    "merged patches number by number of a row": (
        "mistral3", ("onnx",), with_ops(pixtral, "written_joined", transpose=last_two_swapped)),
    "the table of places one column off": ("glm4v", tuple(JOBS), table_shifted),
    "the table of places stretched linearly": ("glm4v", ("onnx",), nearest),
    "axes of the rotary embedding swapped": ("glm_ocr", ("onnx",), axes_swapped),
    "queries and keys without their norm": ("glm_ocr", tuple(JOBS), without_head_norm),
    "patches of a unit in another order": (
        "glm4v", tuple(JOBS), with_ops(glm_vit, "merged", transpose=last_two_swapped)),
    "the merger's first activation left out": (
        "glm_ocr", tuple(JOBS), with_ops(glm_vit, "merged", activate=early_norm)),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(vision_checks, "NEW_TOKENS", 2)
        yield


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    known: dict[str, Path] = {}

    def source(kind: str) -> Path:
        if kind not in known:
            known[kind] = tiny_vlm.make(kind, tmp_path_factory.mktemp(kind) / "model")
        return known[kind]

    return source


@pytest.mark.parametrize("name", FAULTS)
def test_it_is_caught(name: str, sources: Callable[[str], Path], tmp_path: Path) -> None:
    kind, forms, plant = FAULTS[name]
    source = sources(kind)
    for form in forms:
        out = tmp_path / form
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            artifact = run(JOBS[form](str(source), Request("bf16"), output=out, smoke_test=False), Silent()).path
        assert "vision" in failed(Sound(kind, source, artifact).look()), form
        shutil.rmtree(out)


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in FAULTS.values()}))
def test_an_untouched_one_passes(kind: str, sources: Callable[[str], Path], tmp_path: Path) -> None:
    source = sources(kind)
    job = JOBS["onnx"](str(source), Request("bf16"), output=tmp_path / "out", smoke_test=False)
    assert failed(Sound(kind, source, run(job, Silent()).path).look()) == set()
