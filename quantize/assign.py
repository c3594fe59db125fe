"""Which weight gets which precision: NNCF's choice, made from shapes and (for ratio < 1) from quantization errors.

Source: `nncf/quantization/algorithms/weight_compression/{algorithm,mixed_precision}.py`, version 3.4.0:
`get_weight_compression_parameters`, `_get_ratio_defining_params`, `_handle_adjust_group_size_fallback`,
`MixedPrecisionCriterion.apply` and `DataFreeCriterion`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..core.errors import UsageError
from . import tensor_precision
from .modes import bits_of
from .scheme import MIN_ADJUSTED_GROUP, Scheme

Role = Literal["embedding", "matmul", "convolution"]
_PER_CHANNEL = -1
_EIGHT = 8


@dataclass(frozen=True)
class Weight:
    """A weight of the graph, in topological order: `shape` is [rows, columns], groups run along the columns.

    A convolution's rows are its output channels. It takes no groups, only what is per row: `backup`, or an int8 mode.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    is_last: bool = False
    """The last weighted node of the graph uses this constant (shared with the embedding or not)."""
    delicate: bool = False
    """It gets no fewer than eight bits unless a rule of the user's names it: errors of a recurrence add up."""
    router: bool = False
    """It chooses experts."""

    @property
    def size(self) -> int:
        """Number of elements."""
        rows, columns = self.shape
        return rows * columns


@dataclass(frozen=True)
class Assignment:
    """How one weight is stored: NNCF's mode name (None: uncompressed) and its group size (-1: per row)."""

    mode: str | None
    group_size: int = _PER_CHANNEL


def ratio_defining(weights: Sequence[Weight], scheme: Scheme) -> list[Weight]:
    """The weights that share out `mode` and `backup`; all others get `backup`, or what a rule of their own says.

    MatMul weights but the last; with `all_layers` also the last one and the embeddings, which NNCF puts at the end. A last layer
    that shares the embedding's constant is not counted twice, and then no other layer is left out in its place.
    """
    matmuls = [w for w in weights if w.role == "matmul"]
    if scheme.all_layers:
        found = matmuls + [w for w in weights if w.role == "embedding"]
    else:
        last_is_shared = any(w.is_last and w.role == "embedding" for w in weights)
        found = matmuls if last_is_shared else matmuls[:-1]
    own = _own(weights, scheme)
    return [w for w in found if w.name not in own]


def assign(
    weights: Sequence[Weight],
    scheme: Scheme,
    error: Callable[[Weight], float] | None = None,
) -> dict[str, Assignment]:
    """Give every weight its mode and group size.

    Args:
        weights: all weights in the graph's topological order, each constant once.
        scheme: the resolved scheme.
        error: the int8 round-trip error of a weight, `quantize.integer.int8_error`; called only when ratio < 1.

    Raises:
        UsageError: the user's group size does not divide a row.
    """
    if not scheme.compresses:
        return {w.name: Assignment(None) for w in weights}
    backup = _backup(scheme)
    own = _own(weights, scheme)
    table = {w.name: own.get(w.name, backup) for w in weights}
    if scheme.mode.startswith("int8"):
        return table
    candidates = ratio_defining(weights, scheme)
    if scheme.group_size_fallback == "ignore":
        for weight in [w for w in candidates if not _divides(w, scheme.group_size)]:
            table[weight.name] = Assignment(None)
            candidates.remove(weight)
    groups = {w.name: _group(w, scheme) for w in candidates}
    if scheme.group_size_fallback == "adjust":
        candidates = [w for w in candidates if groups[w.name] is not None]
    primary = candidates
    if scheme.ratio < 1 and candidates:
        if error is None:
            raise ValueError("a ratio below 1 needs the weights' errors")
        primary = _least_sensitive(candidates, scheme.ratio, [error(w) for w in candidates])
    for weight in primary:
        group = groups[weight.name]
        table[weight.name] = Assignment(scheme.mode, scheme.group_size if group is None else group)
    _refuse_undivided([w for w in primary if groups[w.name] is None], scheme)
    return table


def check_groups(weights: Sequence[Weight], scheme: Scheme) -> list[str]:
    """Say, from the shapes alone, what a scheme's group size does to these weights.

    Returns the sentences for the plan: which rows get another group, which keep the backup precision.

    Raises:
        UsageError: the user's group size does not divide a row, with the sizes that do.
    """
    ruled = [*_giving_way(weights, scheme), *_recurrent(weights, scheme)]
    if not scheme.compresses or scheme.group_size == _PER_CHANNEL or not scheme.ratio:
        return ruled
    candidates = ratio_defining(weights, scheme)
    undivided = [w for w in candidates if not _divides(w, scheme.group_size)]
    if scheme.group_size_fallback == "error":
        _refuse_undivided(undivided, scheme)
    _refuse_undivided_backup(weights, candidates, scheme)
    notes = ruled
    for columns in sorted({w.shape[-1] for w in undivided}):
        count = sum(w.shape[-1] == columns for w in undivided)
        group = adjusted_group(columns) if scheme.group_size_fallback == "adjust" else None
        if scheme.group_size_fallback == "ignore":
            what = "stay uncompressed"
        else:
            what = f"get groups of {group}" if group else f"get {scheme.backup}"
        notes.append(f"{count} weights with rows of {columns}, which {scheme.group_size} does not divide, {what}")
    return notes


def adjusted_group(columns: int) -> int | None:
    """Return the largest power of two that divides a row, if it is at least 32 (NNCF's rule); else None."""
    power = columns & -columns
    return power if power >= MIN_ADJUSTED_GROUP else None


def _own(weights: Sequence[Weight], scheme: Scheme) -> dict[str, Assignment]:
    """What rules for single weights say; a group that does not divide a row gives way as NNCF's "adjust" does."""
    by_name = {w.name: w for w in weights if w.role != "convolution"}
    made = {}
    for name, rule in tensor_precision.ruled(by_name, scheme.tensor_precision).items():
        columns = by_name[name].shape[-1]
        group: int | None = _PER_CHANNEL
        if rule.mode and rule.mode.startswith("int4"):
            group = scheme.group_size if rule.group_size is None else rule.group_size
            group = group if _divides(by_name[name], group) else adjusted_group(columns)
        made[name] = _backup(scheme) if group is None else Assignment(rule.mode, group)
    if not scheme.mode.startswith("int8"):
        # NNCF itself can only leave them as they are
        eight = _backup(scheme) if scheme.exact else Assignment(None)
        made = {weight.name: eight for weight in weights if weight.delicate} | made
    return made


def _recurrent(weights: Sequence[Weight], scheme: Scheme) -> list[str]:
    """Say which precision the weights of recurrent layers get, and which of them get fewer than eight bits, as asked for."""
    delicate = [w.name for w in weights if w.delicate and not w.router]
    if not any(w.delicate for w in weights) or not scheme.compresses or bits_of(scheme.mode) >= _EIGHT:
        return []
    rules = tensor_precision.ruled(delicate, scheme.tensor_precision)
    few = [name for name, rule in rules.items() if rule.mode and bits_of(rule.mode) < _EIGHT]
    get = f"get {scheme.backup}" if scheme.exact and scheme.backup != "none" else "are not compressed"
    kept = f"{len(delicate) - len(rules)} weights of recurrent layers {get}: what they add to a state stays there"
    asked = (
        f"{len(few)} weights of recurrent layers get fewer than eight bits, as asked for ({few[0]} …)" if few else ""
    )
    routers = sum(w.router for w in weights)
    chooses = (
        f"{routers} weights of routers {get} where no rule names them: their errors choose other experts"
        if routers
        else ""
    )
    return [said for said in (kept if len(rules) < len(delicate) else "", asked, chooses) if said]


def _giving_way(weights: Sequence[Weight], scheme: Scheme) -> list[str]:
    """Say which weights get another group than their rule says."""
    own = _own(weights, scheme)
    notes = []
    for name, rule in tensor_precision.ruled(own, scheme.tensor_precision).items():
        asked = scheme.group_size if rule.group_size is None else rule.group_size
        given = own[name]
        if rule.mode and rule.mode.startswith("int4") and given != Assignment(rule.mode, asked):
            got = f"groups of {given.group_size}" if given.mode == rule.mode else str(given.mode)
            notes.append(f"{name} gets {got}, for {asked} does not divide its rows")
    return [*notes[:3], f"and {len(notes) - 3} more"] if len(notes) > 4 else notes


def _backup(scheme: Scheme) -> Assignment:
    if scheme.mode.startswith("int8"):
        return Assignment(scheme.mode)
    if scheme.backup == "none":
        return Assignment(None)
    if scheme.backup == "mxfp8_e4m3":
        return Assignment(scheme.backup, 32)
    if scheme.backup == "fp8_e4m3":
        return Assignment(scheme.backup, scheme.group_size)
    return Assignment(scheme.backup)


def _divides(weight: Weight, group: int) -> bool:
    return group == _PER_CHANNEL or weight.shape[-1] % group == 0


def _group(weight: Weight, scheme: Scheme) -> int | None:
    if _divides(weight, scheme.group_size):
        return scheme.group_size
    return adjusted_group(weight.shape[-1]) if scheme.group_size_fallback == "adjust" else None


def _least_sensitive(weights: Sequence[Weight], ratio: float, errors: Sequence[float]) -> list[Weight]:
    """NNCF's order: ascending 1 / (error + eps), i.e. the weights that int8 serves worst go to four bits first."""
    eps = 2.0**-23
    order = sorted(range(len(weights)), key=lambda i: 1 / (errors[i] + eps))
    total = sum(w.size for w in weights)
    chosen: list[Weight] = []
    taken = 0
    for i in order:
        if (taken + weights[i].size) / total >= ratio:
            break
        chosen.append(weights[i])
        taken += weights[i].size
    return chosen


def _refuse_undivided(weights: Sequence[Weight], scheme: Scheme) -> None:
    if not weights:
        return
    rows = sorted({w.shape[-1] for w in weights})
    said = (
        f"Group size {scheme.group_size} does not divide rows of {', '.join(map(str, rows))} "
        f"({len(weights)} weights, for example {weights[0].name}).",
    )
    if scheme.target == "npu":
        raise UsageError(*said, "--target npu takes no others: --group-size -1, or --group-size-fallback ignore.")
    raise UsageError(
        *said,
        f"Sizes that divide every row: {_sizes(rows)}. Or use --group-size-fallback adjust, or leave --group-size out.",
    )


def _refuse_undivided_backup(weights: Sequence[Weight], candidates: Sequence[Weight], scheme: Scheme) -> None:
    """NNCF lets the groups of the main mode give way, never those of a backup precision that has some."""
    backup, main = _backup(scheme), {w.name for w in candidates}
    group = backup.group_size
    wrong = [w for w in weights if w.role != "convolution" and w.name not in main and not _divides(w, group)]
    if backup.mode is None or not wrong:
        return
    rows = sorted({w.shape[-1] for w in weights if w.role != "convolution"})
    raise UsageError(
        f"Embeddings and last layer get {backup.mode} in groups of {group}, which do not divide their rows of "
        f"{', '.join(str(n) for n in sorted({w.shape[-1] for w in wrong}))}.",
        f"Take --backup-precision int8_asym, or a --group-size that divides every row: {_sizes(rows)}."
        if backup.mode == "fp8_e4m3"
        else "Take --backup-precision int8_asym.",
    )


def _sizes(rows: Sequence[int]) -> str:
    common = math.gcd(*rows)
    return ", ".join(str(g) for g in [*range(16, min(common, 1024) + 1, 16), -1] if common % g == 0)
