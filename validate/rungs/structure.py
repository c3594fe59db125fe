"""Rung 0: every file opens, counts and shapes fit the config, and every weight is its source's within its scheme.

Cheap (the weights are read once, no model runs), and it says which tensor is wrong.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...convert import families
from ...convert.checkpoint import Checkpoint, read_json
from ...convert.families.decoder import Decoder, NotExpressible
from ...core.errors import ArtefactError, CheckpointError
from ...core.manifest import MANIFEST_NAME, read_manifest
from ...core.progress import Progress
from ...models.glm_edge_v.facts import MODEL_TYPE
from ...quantize.integer import to_float32
from .. import irs
from ..artefact import check_files
from ..report.model import Rung
from ..weights import ArtefactWeights
from ..weights.constant import StoredWeight
from ..weights.fit import Fit, compare

TOKENIZERS = ("openvino_tokenizer.xml", "openvino_detokenizer.xml")
_NAMED = 5
"""Tensors that are named in full; the rest are counted."""
_DATA_AWARE_RMS = 3.0
_ROUNDED, _WRONG = 1e-6, 1e-3
_SIZES = (
    "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim",
)  # fmt: skip


def check(folder: Path, checkpoint: Checkpoint, weights: ArtefactWeights | None, progress: Progress) -> Rung:
    """Check an OpenVINO artefact against its checkpoint.

    Args:
        folder: the artefact.
        checkpoint: the reference.
        weights: the opened artefact; None: it is opened here, and one that cannot be opened fails the rung.
        progress: hears of the bytes compared.
    """
    started = time.perf_counter()
    found = _Findings()
    _files(folder, found, progress)
    _tokenizers(folder, found)
    try:
        weights = weights or ArtefactWeights(folder, checkpoint)
    except ArtefactError as error:
        found.failures.append(error.message)
    else:
        _config(folder, checkpoint, weights, found)
        _unmatched(checkpoint, weights, found)
        _weights(checkpoint, weights, found, progress)
    return Rung(
        name="structure",
        status="failed" if found.failures else "passed",
        summary=_summary(found),
        failures=found.failures,
        warnings=found.warnings,
        figures=found.figures,
        seconds=time.perf_counter() - started,
    )


class _Findings:
    def __init__(self) -> None:
        self.failures: list[str] = []
        self.warnings: list[str] = []
        self.figures: dict[str, float] = {}
        self.largest = ""


def _summary(found: _Findings) -> str:
    figures = found.figures
    if "weights" not in figures:
        return "The artefact cannot be opened."
    matched = f"{figures['weights']:.0f} weights compared with the checkpoint"
    if found.failures:
        wrong = f", {figures['wrong']:.0f} of them wrong" if figures["wrong"] else ""
        return f"{matched}{wrong}; {len(found.failures)} failures in all."
    return f"{matched}: {found.largest}; the worst element is {figures['worst_error']:.2f} of what its scheme allows."


def _files(folder: Path, found: _Findings, progress: Progress) -> None:
    if not (folder / MANIFEST_NAME).is_file():
        found.warnings.append(f"There is no {MANIFEST_NAME}, so the files' digests cannot be checked.")
        return
    try:
        files = check_files(folder, read_manifest(folder), progress)
    except ArtefactError as error:
        found.failures.append(error.message)
        return
    found.failures += [f"{name} is not the file that the manifest records." for name in files.damaged]
    found.failures += [f"{name} is missing." for name in files.missing]
    found.warnings += [f"{name} is not in the manifest." for name in files.extra]


def _tokenizers(folder: Path, found: _Findings) -> None:
    import openvino
    import openvino_tokenizers  # noqa: F401 - registers its operations with openvino

    for name in TOKENIZERS:
        if not (folder / name).is_file():
            found.failures.append(f"{name} is missing: openvino_genai cannot run this folder.")
            continue
        try:
            openvino.Core().read_model(folder / name)
        except RuntimeError as error:
            found.failures.append(f"openvino cannot read {name}: {str(error).strip().splitlines()[-1].rstrip('.')}.")


def _config(folder: Path, checkpoint: Checkpoint, weights: ArtefactWeights, found: _Findings) -> None:
    """Counts and shapes: the artefact's config, its vocabulary, its states, its rotary frequencies."""
    if (folder / "config.json").is_file():
        try:
            own = read_json(folder / "config.json")
        except CheckpointError as error:
            found.failures.append(error.message)
        else:
            for key in _SIZES:
                expected = checkpoint.config.get(key)
                if key == "model_type" and irs.sees(folder):
                    expected = MODEL_TYPE  # the checkpoint calls itself glm, as the text models do
                if own.get(key) != expected:
                    found.failures.append(f"config.json: {key} is {own.get(key)}, in the checkpoint {expected}.")
    else:
        found.failures.append("config.json is missing.")
    try:
        decoder = families.decoder(checkpoint.config)
    except (NotExpressible, CheckpointError) as error:
        found.warnings.append(f"States, vocabulary and rotary frequencies were not checked: {error}.")
        return
    _graph(decoder, weights, found)


def _graph(decoder: Decoder, weights: ArtefactWeights, found: _Findings) -> None:
    vocabulary = weights.model.output(0).get_partial_shape()[-1]
    if vocabulary.is_static and vocabulary.get_length() != decoder.vocab_size:
        found.failures.append(f"The logits have {vocabulary.get_length()} columns; by the config {decoder.vocab_size}.")
    states = sum(node.get_type_name() == "ReadValue" for node in weights.model.get_ops())
    if states not in (0, 2 * decoder.num_layers):
        found.failures.append(
            f"The graph has {states} states; {decoder.num_layers} layers have {2 * decoder.num_layers}."
        )
    expected = decoder.rope.inverse_frequencies()
    tables = [s for s in weights.unmatched_artefact if not s.unreadable and s.size == expected.size]
    for table in tables:
        error = _relative(table, expected)
        if error > _WRONG:
            found.failures.append(
                f"The rotary frequencies {table.name} differ from those of the config (theta {decoder.rope.theta:g}) "
                f"by up to {error:.1%}."
            )
        elif error > _ROUNDED:
            found.warnings.append(f"The rotary frequencies {table.name} are rounded: off by up to {error:.1e}.")
        weights.unmatched_artefact.remove(table)
    found.figures["rotary_tables"] = len(tables)


def _relative(stored: StoredWeight, expected: Any) -> float:
    values = stored.whole().reshape(-1)
    return float(np.max(np.abs(values - expected) / np.abs(expected)))


def _unmatched(checkpoint: Checkpoint, weights: ArtefactWeights, found: _Findings) -> None:
    """What has no counterpart is shown, never counted as compared."""
    neutral = [name for name in weights.unmatched_checkpoint if _is_neutral(checkpoint, name)]
    absent = [name for name in weights.unmatched_checkpoint if name not in neutral]
    if absent:
        found.failures.append(
            f"{len(absent)} tensors of the checkpoint have no counterpart in the artefact: {_some(absent)}"
        )
    if neutral:
        found.warnings.append(
            f"{len(neutral)} tensors are not in the artefact, and need not be (all ones, or zeros as a bias): {_some(neutral)}"
        )
    foreign = [
        f"{stored.name} {list(stored.shape)}" + (f" ({stored.unreadable})" if stored.unreadable else "")
        for stored in weights.unmatched_artefact
    ]
    if foreign:
        found.warnings.append(
            f"{len(foreign)} constants of the artefact are no tensors of the checkpoint: {_some(foreign)}"
        )
    by_content = sorted(name for name, matches in weights.matched.items() if any(m.how == "content" for m in matches))
    if by_content:
        found.warnings.append(
            f"{len(by_content)} weights were matched by shape and content, not by name: {_some(by_content)}"
        )
    found.figures["unmatched_checkpoint"] = len(weights.unmatched_checkpoint)
    found.figures["unmatched_artefact"] = len(weights.unmatched_artefact)
    found.figures["matched_by_content"] = len(by_content)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else ".")


def _is_neutral(checkpoint: Checkpoint, name: str) -> bool:
    """True for a vector that an export may drop: it multiplies by one, or adds zero."""
    if len(checkpoint.info(name).shape) != 1:
        return False
    values = to_float32(checkpoint.tensor(name))
    return bool((values == (0.0 if name.endswith("bias") else 1.0)).all())


def _weights(checkpoint: Checkpoint, weights: ArtefactWeights, found: _Findings, progress: Progress) -> None:
    data_aware = _data_aware(weights.model)
    if data_aware:
        found.warnings.append(
            f"The weights were compressed with {data_aware}, which moves them on purpose: they are held to "
            f"{_DATA_AWARE_RMS:g} times the RMS error of plain rounding, not to a bound for every element."
        )
    total = sum(checkpoint.info(n).end - checkpoint.info(n).start for n in weights.matched)
    task = progress.task("Comparing weights", total)
    fits = [
        compare(name, match, checkpoint, task) for name in sorted(weights.matched) for match in weights.matched[name]
    ]
    task.finish()
    limit = _DATA_AWARE_RMS if data_aware else 0.0
    wrong = [fit for fit in fits if _is_wrong(fit, limit)]
    wrong.sort(key=lambda fit: (-fit.over, -fit.rms))
    found.failures += [_sentence(fit, weights) for fit in wrong[:_NAMED]]
    if len(wrong) > _NAMED:
        found.failures.append(
            f"{len(wrong) - _NAMED} more weights are wrong: {_some([f.name for f in wrong[_NAMED:]])}"
        )
    largest = max(fits, key=lambda fit: fit.rms, default=None)
    if largest:
        found.largest = f"largest relative RMS error {largest.rms:.4f} ({largest.name}, {largest.stored})"
    found.figures |= {
        "weights": len(fits),
        "wrong": len(wrong),
        "worst_error": max((fit.worst for fit in fits if math.isfinite(fit.worst)), default=0.0),
        "worst_rms": max((fit.rms for fit in fits), default=0.0),
        "mean_rms": sum(fit.rms for fit in fits) / max(len(fits), 1),
    }
    if not fits:
        found.failures.append("No weight of the artefact could be matched with the checkpoint.")


def _is_wrong(fit: Fit, rms_limit: float) -> bool:
    if fit.not_finite or fit.zero:
        return True
    if rms_limit:
        return fit.rms > rms_limit * max(fit.expected_rms, 2.0**-8)
    return fit.over > 0


def _sentence(fit: Fit, weights: ArtefactWeights) -> str:
    head = f"{fit.name} ({fit.stored})"
    if fit.not_finite:
        return f"{head}: {fit.not_finite} of its values are NaN or infinite."
    if fit.zero:
        return f"{head}: all its values are zero."
    expected = f"relative RMS error {fit.rms:.3g}, where {fit.expected_rms:.2g} is expected"
    text = f"{head}: {fit.over:.2%} of its values, in {fit.rows_over} of {fit.rows} rows, are further off than its scheme allows"
    text += f", the worst by a factor of {fit.worst:.3g} ({expected})."
    other = weights.lookalike(fit.name) if fit.over > 0.1 else None
    return text + (f" It holds the values of {other}." if other else "")


def _data_aware(model: Any) -> str:
    """Return the methods with which NNCF moved weights, as its rt_info tells; empty if it only rounded."""
    methods = ("awq", "gptq", "scale_estimation", "lora_correction")
    used = []
    for method in methods:
        path = ["nncf", "weight_compression", method]
        if model.has_rt_info(path) and str(model.get_rt_info(path).astype(str)).lower() in ("true", "1"):
            used.append(method)
    return " and ".join(used)
