"""Check 0 for a GGUF: files, keys against the config, and every tensor against its source, by the rule of its type."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...convert.checkpoint import Checkpoint
from ...convert.gguf.export import pooling
from ...convert.gguf.metadata import SAMPLING
from ...convert.gguf.model import Model
from ...convert.gguf.read import GgufFile
from ...convert.gguf_source import claimed
from ...core.errors import ArtifactError
from ...core.manifest import Manifest
from ...core.progress import Progress
from ..report.model import Check
from ..weights.fit import Fit
from ..weights.gguf import GgufWeights, Half, bits
from ..weights.gguf_allowed import RMS
from ..weights.gguf_projector import BothHalves, ProjectorWeights
from . import weights as common
from .weights import Findings

_SAME = 1e-6
"""Relative difference of two numbers that are the same in float32."""
_UNREAD = ("projection_dim", "has_text_encoder", "has_glm_projector", "has_llava_projector")
"""Keys of a mmproj that llama.cpp's graph of this projector does not read; upstream's old converter wrote them."""
_HARMLESS = ("rope.scaling.finetuned",)
"""Keys that no graph of llama.cpp reads."""
_ROPE: dict[str, tuple[Any, ...]] = {
    "rope.scaling.type": ("none",),
    "rope.scaling.factor": (0.0, 1.0),
    "rope.scale_linear": (0.0, 1.0),
    "rope.scaling.attn_factor": (0.0, 1.0),
}
"""Keys of every architecture that change what llama.cpp computes, and the values with which they do not; `claimed` has more."""


def check(
    path: Path,
    manifest: Manifest | None,
    checkpoint: Checkpoint,
    weights: GgufWeights | BothHalves | str,
    progress: Progress,
) -> Check:
    """Check a GGUF against its checkpoint.

    Args:
        path: the file; of a split one any part.
        manifest: its manifest, if there is one.
        checkpoint: the reference.
        weights: the opened file or files, or the sentence that says why it cannot be opened.
        progress: reports the bytes compared.
    """
    started = time.perf_counter()
    found = Findings()
    if manifest:
        common.files(path.parent, manifest, found, progress, others=False)
    else:
        found.warnings.append("There is no manifest, so the file's digest cannot be checked.")
    if isinstance(weights, str):
        found.failures.append(weights)
    else:
        language, halves = _split(weights)
        if manifest:
            common.untrue(_untrue(manifest, language.file), found)
        pooled, _ = pooling(checkpoint, language.model)
        _keys(language.file, replace(language.model, keys={**language.model.keys, **pooled}), found)
        _sampling(language.file, checkpoint, found)
        _constants(language, found)
        if isinstance(weights, BothHalves):
            _projector_keys(weights.projector, found)
        _tensors(checkpoint, halves, found, progress)
    return found.as_check(time.perf_counter() - started)


def compare_all(checkpoint: Checkpoint, weights: GgufWeights | BothHalves, found: Findings, progress: Progress) -> None:
    """Compare every weight with its tensor; `found` takes what is wrong."""
    _tensors(checkpoint, _split(weights)[1], found, progress)


def _split(weights: GgufWeights | BothHalves) -> tuple[GgufWeights, list[Half]]:
    """Return the language model, and all halves that there are."""
    if isinstance(weights, BothHalves):
        return weights.language, [weights.language, weights.projector]
    return weights, [weights]


def _untrue(manifest: Manifest, file: GgufFile) -> list[str]:
    """Name the tensors that the manifest says are of another type than they are."""
    types = {name: info.type.lower() for name, info in file.tensors.items()}
    return [
        f"{entry.name}: {entry.precision}, stored as {types[entry.name]}"
        for entry in manifest.tensors
        if entry.file is None and types.get(entry.name, entry.precision.lower()) != entry.precision.lower()
    ]


def _keys(file: GgufFile, model: Model, found: Findings) -> None:
    """Compare what the file states, or what llama.cpp takes where it states nothing, with what the config says."""
    if file.arch != model.arch:
        found.failures.append(f"general.architecture is {file.arch!r}, of the checkpoint {model.arch!r}.")
        return
    expected = {key.removeprefix(f"{model.arch}."): value.content for key, value in model.keys.items()}
    for key, wanted in expected.items():
        got = file.own(key) if f"{model.arch}.{key}" in model.keys else file.keys.get(key)
        implied = got is None
        if implied:
            got = _implied(key, file, expected)
        if not _equal(got, wanted):
            says = "is not stated, which llama.cpp takes for" if implied else "is"
            named = f"{model.arch}.{key}" if f"{model.arch}.{key}" in model.keys else key
            found.failures.append(f"{named} {says} {_shown(got)}, by the config {_shown(wanted)}.")
    prefix = f"{model.arch}."
    others = {key.removeprefix(prefix) for key in file.keys if key.startswith(prefix)} - set(expected)
    effects = {key: _effect(key, file) for key in sorted(others) if key not in _HARMLESS}
    found.failures += [
        f"{prefix}{key} is {_shown(file.own(key))}, which llama.cpp obeys; the config asks for nothing of the kind."
        for key, effect in effects.items()
        if effect
    ]
    foreign = [key for key, effect in effects.items() if effect is None]
    if foreign:
        found.warnings.append(f"{len(foreign)} keys are nothing that the config asks for: {common.some(foreign)}")
    found.figures["keys"] = len(expected)


def _effect(key: str, file: GgufFile) -> bool | None:
    """Tell whether a key changes what llama.cpp computes, with the value that it has; None: it does not know it."""
    if key in _ROPE:
        return not any(_equal(file.own(key), value) for value in _ROPE[key])
    return claimed.obeyed(file, key)


def _sampling(file: GgufFile, checkpoint: Checkpoint, found: Findings) -> None:
    """Compare what the file proposes for sampling, which llama.cpp's tools take where a user says nothing."""
    prefix = "general.sampling."
    of_field = {name: field for field, (name, _) in SAMPLING.items()}
    for key in sorted(key for key in file.keys if key.startswith(prefix)):
        wanted = checkpoint.generation_config.get(of_field.get(key.removeprefix(prefix), ""))
        if not _equal(file.keys[key], wanted):
            found.failures.append(f"{key} is {_shown(file.keys[key])}, by generation_config.json {_shown(wanted)}.")


def _projector_keys(weights: ProjectorWeights, found: Findings) -> None:
    """Compare the keys of a mmproj with what config and preprocessor_config say; llama.cpp has defaults for none of them."""
    keys = weights.file.keys
    for key, wanted in weights.keys.items():
        if not _equal(keys.get(key), wanted):
            found.failures.append(f"{key} is {_shown(keys.get(key))}, by the checkpoint {_shown(wanted)}.")
    others = {key for key in keys if key.startswith("clip.")} - set(weights.keys)
    foreign = sorted(key for key in others if not key.endswith(_UNREAD))
    if foreign:
        found.warnings.append(f"{len(foreign)} keys are nothing that the checkpoint asks for: {common.some(foreign)}")
    found.figures["keys"] = found.figures.get("keys", 0) + len(weights.keys)


def _implied(key: str, file: GgufFile, expected: dict[str, Any]) -> Any:
    """What llama.cpp takes where a key is absent (`llama_model::load_hparams`)."""
    heads = file.own("attention.head_count")
    head_size = file.own("embedding_length", 0) // heads if isinstance(heads, int) and heads else None
    defaults = {
        "vocab_size": len(file.keys.get("tokenizer.ggml.tokens", ())),
        "attention.head_count_kv": heads,
        "attention.key_length": head_size,
        "attention.value_length": head_size,
        "rope.dimension_count": file.own("attention.key_length", head_size),
        "rope.freq_base": 10000.0,
        "attention.sliding_window": 0,
    }
    return defaults.get(key)


def _equal(got: Any, wanted: Any) -> bool:
    if got is None or isinstance(got, str) != isinstance(wanted, str):
        return False
    if isinstance(wanted, str):
        return bool(got == wanted)
    one, other = np.asarray(got, np.float64).reshape(-1), np.asarray(wanted, np.float64).reshape(-1)
    if one.size == 1 or other.size == 1:  # one number for all layers, or the same one for each
        one, other = np.broadcast_arrays(one, other)
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=_SAME, atol=0))


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "nothing" if value is None else str(value)


def _constants(weights: GgufWeights, found: Findings) -> None:
    """Tensors that follow from the config: factors of rotary frequencies."""
    for name, tensor in weights.constants.items():
        if name not in weights.file.tensors:
            found.failures.append(f"{name}, which follows from the config, is missing.")
            continue
        wanted = np.asarray(tensor.values, np.float32).reshape(-1)
        got = weights.file.dequantized(name).reshape(-1)
        if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=1e-5, atol=0):
            found.failures.append(f"{name} is not what follows from the config.")


def _tensors(checkpoint: Checkpoint, halves: Sequence[Half], found: Findings, progress: Progress) -> None:
    foreign: list[str] = []
    matched: set[str] = set()
    for half in halves:
        found.failures += half.misshapen
        read, spare = _foreign(half)
        if read:
            found.failures.append(
                f"{len(read)} tensors of the file are none of the checkpoint's, and llama.cpp computes with every tensor that it "
                f"knows, and opens no file with others: {common.some(read)}"
            )
        foreign += spare
        matched |= set(half.matched)
    absent = {name for half in halves for name in half.unmatched_checkpoint} - matched
    common.unmatched(checkpoint, sorted(absent), foreign, found)
    total = sum(checkpoint.info(name).end - checkpoint.info(name).start for name in matched)
    task = progress.task("Comparing weights", total)
    fits = []
    for half in halves:
        for name in sorted(half.matched):
            for match in half.matched[name]:
                try:
                    fits.append(half.fit(name, match, task))
                except ArtifactError as error:
                    found.failures.append(error.message)
    task.finish()
    by_rms = sorted({fit.stored for fit in fits if math.isinf(fit.expected_rms)})
    if by_rms:
        found.warnings.append(f"Weights of the types {', '.join(by_rms)} are held to their relative RMS error alone.")
    common.judge(fits, _is_wrong, lambda _: None, found)


def _foreign(half: Half) -> tuple[list[str], list[str]]:
    """Name the tensors that hold none of the checkpoint's: those that a graph computes with, and those that change nothing.

    llama.cpp's loader of language models gives each tensor of the file a place in its graph, or refuses the file
    (`llama_model_loader::done_getting_tensors`); that of a mmproj leaves aside what it does not know. A bias of zeros and a
    factor of ones do nothing.
    """
    read: list[str] = []
    spare: list[str] = []
    for name in half.unmatched_artefact:
        info = half.file.info(name)
        does = isinstance(half, GgufWeights) and not _does_nothing(half.file, name)
        (read if does else spare).append(f"{name} {list(info.shape)}")
    return read, spare


def _does_nothing(file: GgufFile, name: str) -> bool:
    if len(file.info(name).shape) != 1:
        return False
    try:
        values = file.dequantized(name)
    except ArtifactError:
        return False
    return bool((values == (0.0 if name.endswith(".bias") else 1.0)).all())


def _is_wrong(fit: Fit) -> bool:
    return fit.over > 0 or fit.rms > RMS.get(bits(fit.stored), 0.02)
