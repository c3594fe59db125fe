"""Check 0: the tables of rotary frequencies that a graph holds, against those of the config, by the angles that they make.

A relative error alone says little: frequencies that float16 holds among its smallest numbers may be off by a tenth, and turn by
less than a thousandth of a radian over all positions. So a table is right if it is the config's in float32, rounded if it is the
config's in float16 (some exports store it so: a warning, with the angle), and else judged by how far it turns at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.checkpoint import Checkpoint
from ...convert.program.decoder import Decoder
from ..weights.constant import StoredWeight
from ..weights.openvino_ir import WeightsByName
from . import weights as common
from .weights import Findings

Array = npt.NDArray[Any]
_SAME = 1e-6
"""Relative error of a table computed in float32 in another order."""
_RADIANS = 0.01
"""How far a query may turn from where it belongs, at the last position: a thousandth of what a neighboring position turns it."""
_POSITIONS = 4096
"""The last position of a model whose config does not tell."""


def check(decoder: Decoder, checkpoint: Checkpoint, weights: WeightsByName, found: Findings) -> None:
    """Judge every constant of the size of the config's frequencies that holds no tensor, and take it off the list.

    One that is the config's rounded to float16 is what the artifact computes with, as its weights are: torch's pass on the
    artifact's own weights takes it too (`WeightsByName.frequencies`), and its cost is the compression's, not the graph's.
    """
    ropes = decoder.distinct_ropes() or (decoder.rope,)
    expected = [
        np.asarray(one, np.float64).reshape(-1) for rope in ropes for one in (*rope.tables(), *rope.traced_tables())
    ]
    sizes = {one.size for one in expected}
    positions = int(checkpoint.config.get("max_position_embeddings") or _POSITIONS)
    tables = [s for s in weights.unmatched_artefact if not s.unreadable and s.size in sizes]
    config = f"theta {', '.join(f'{theta:g}' for theta in dict.fromkeys(rope.theta for rope in ropes))}"
    rounded = [table for table in tables if _judge(table, _nearest(table, expected), positions, config, found)]
    for table in tables:
        weights.unmatched_artefact.remove(table)
    held = [table.whole().reshape(-1).astype(np.float32) for table in rounded]
    if held and len(held) == len(tables) and all(np.array_equal(held[0], other) for other in held):
        weights.frequencies = held[0]
    found.figures["rotary_tables"] = len(tables)


def _nearest(table: StoredWeight, expected: list[Array]) -> Array:
    """Return the frequencies that a table is meant for, of the several that a model with several rotary embeddings has."""
    held = table.whole().reshape(-1).astype(np.float64)
    return min((one for one in expected if one.size == held.size), key=lambda one: float(np.abs(held - one).max()))


def _judge(table: StoredWeight, expected: Array, positions: int, config: str, found: Findings) -> bool:
    """Judge one; True if it is the config's, rounded to float16."""
    held = table.whole().reshape(-1).astype(np.float64)
    error = np.abs(held - expected)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = float(np.max(error / np.abs(expected)))
    if relative <= _SAME:
        return False
    angle = float(np.max(error)) * positions
    turn = f"by up to {angle:.2g} rad at position {positions:,}"
    if _in_float16(held, expected):
        found.warnings.append(
            f"The rotary frequencies {table.name} are rounded to float16: {turn}. The conversion is judged with the rounded ones."
        )
        return True
    if angle <= _RADIANS:
        found.warnings.append(f"The rotary frequencies {table.name} are rounded: off by up to {relative:.1e}, {turn}.")
    else:  # not a number, too
        found.failures.append(
            f"The rotary frequencies {table.name} differ from those of the config ({config}) by up to {relative:.1%}, {turn}."
        )
    return False


def _in_float16(held: Array, expected: Array) -> bool:
    """Tell whether a table is the expected one rounded to float16, to the nearest or cut."""
    if not np.isfinite(held).all():
        return False
    rounded = held.astype(np.float16).astype(np.float64)
    grain = np.spacing(np.abs(held).astype(np.float16)).astype(np.float64)
    return bool((rounded == held).all() and (np.abs(held - expected) <= grain).all())


_WHOLE_NUMBERS = ("i16", "i32", "i64", "u16", "u32", "u64")
"""Types that nothing is compressed to: positions of a graph, which slopes multiply."""


def compressed(weights: WeightsByName, found: Findings) -> None:
    """Fail for a constant that is not a weight of the checkpoint, and was compressed like one: it is not exact any more."""
    held = [stored for stored in weights.unmatched_artefact if stored.scales and not stored.unreadable]
    wrong = [stored for stored in held if stored.element not in _WHOLE_NUMBERS]
    if wrong:
        named = [f"{stored.name} {list(stored.shape)} ({stored.element})" for stored in wrong]
        found.failures.append(
            f"{len(wrong)} constants that are not weights of the checkpoint, as rotary frequencies are none, were compressed: "
            f"{common.some(named)}"
        )
