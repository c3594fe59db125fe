"""A fault in each mechanism of vision encoders is caught in every format by the check that one would expect."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.families import idefics3, llava_next
from edgeconv.convert.program import grid, grid_vit
from edgeconv.convert.program.rope import Rope
from edgeconv.validate import vision_checks

from .planted_vision import JOBS, apart, converted, failed

pytestmark = pytest.mark.slow
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module", autouse=True)
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(vision_checks, "NEW_TOKENS", 6)
        yield


def other_windows(patch: Patch) -> None:
    """Windows of twice the side."""
    plain, written = grid.windows, grid.written_windows
    patch.setattr(grid, "windows", lambda found, merge, side: plain(found, merge, 2 * side))
    patch.setattr(grid, "written_windows", lambda ops, found, merge, side: written(ops, found, merge, 2 * side))


def windows_everywhere(patch: Patch) -> None:
    """A layer that sees all, and sees a window."""
    plain = grid_vit.layers
    patch.setattr(
        grid_vit, "layers", lambda ops, v, *given: plain(ops, dataclasses.replace(v, whole=v.whole[:1]), *given)
    )


def rows_and_columns_exchanged(patch: Patch) -> None:
    """Patches that turn by their column, then by their row."""

    def turned(found: Any) -> Any:
        return dataclasses.replace(found, row=found.column, column=found.row)

    plain, written = grid.angles, grid.written_angles
    patch.setattr(grid, "angles", lambda found, dim: plain(turned(found), dim))
    patch.setattr(grid, "written_angles", lambda ops, found, dim: written(ops, turned(found), dim))


def sections_exchanged(patch: Patch) -> None:
    """Frequencies that turn by rows and columns in each other's places."""
    plain = Rope.axes

    def exchanged(self: Rope) -> Any:
        found = plain(self)
        rows, columns = found == self.leading + 1, found == self.leading + 2
        return np.where(rows, self.leading + 2, np.where(columns, self.leading + 1, found))

    patch.setattr(Rope, "axes", exchanged)


def deeper_rows_one_layer_off(patch: Patch) -> None:
    """Rows for deeper layers, taken one layer later."""
    plain = grid_vit.layers

    def later(ops: Any, v: Any, *given: Any) -> Any:
        return plain(ops, dataclasses.replace(v, deep=tuple(layer + 1 for layer in v.deep)), *given)

    patch.setattr(grid_vit, "layers", later)


def squares_turned(patch: Patch) -> None:
    """Patches that are joined column by column."""
    plain = idefics3.shuffled

    def turned(ops: Any, rows: Any, side: int, width: int, factor: int) -> Any:
        whole = ops.transpose(ops.reshape(rows, [0, side, side, width]), [0, 2, 1, 3])
        return plain(ops, ops.reshape(whole, [0, side * side, width]), side, width, factor)

    patch.setattr(idefics3, "shuffled", turned)


def tiles_in_another_order(patch: Patch) -> None:
    """Tiles from the last to the first, behind the whole picture."""
    plain = llava_next.LlavaNextVision.rows

    def reversed_tiles(self: Any, outputs: Any, made: Any) -> Any:
        (tiles,) = outputs
        return plain(self, [np.concatenate([tiles[:1], tiles[:0:-1]])], made)

    patch.setattr(llava_next.LlavaNextVision, "rows", reversed_tiles)


def padding_kept(patch: Patch) -> None:
    """The rows that only pad a picture's tiles cut off at the other side."""
    plain = llava_next.without_padding
    patch.setattr(llava_next, "without_padding", lambda lines, *size: plain(lines[::-1, ::-1], *size))


ROWS, READ = "vision", "logits"
"""Where a fault shows: in the rows of pictures, or in what the language model makes of them."""
FAULTS: list[tuple[Callable[[Patch], None], str, str]] = [
    (other_windows, "qwen2_5_vl", ROWS),
    (windows_everywhere, "qwen2_5_vl", ROWS),
    (rows_and_columns_exchanged, "qwen2_vl", ROWS),
    (rows_and_columns_exchanged, "glm4v", ROWS),
    (sections_exchanged, "qwen2_vl", READ),
    (sections_exchanged, "qwen3_5", READ),
    (deeper_rows_one_layer_off, "qwen3_vl", ROWS),
    (squares_turned, "smolvlm", ROWS),
    (tiles_in_another_order, "llava_next", ROWS),
    (padding_kept, "llava_next", ROWS),
]


@pytest.mark.parametrize("form", JOBS)
@pytest.mark.parametrize(("fault", "kind", "where"), FAULTS, ids=lambda one: getattr(one, "__name__", one))
def test_it_is_caught(
    fault: Callable[[Patch], None], kind: str, where: str, form: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    fault(monkeypatch)
    scores = converted(kind, form, tmp_path).look()
    assert (ROWS in failed(scores)) == (where == ROWS)
    assert apart(scores) > 1e-3
