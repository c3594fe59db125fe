"""The trace engine for models of images and text: one IR a part, split and named as optimum-intel does.

The language model takes the user's scheme, and so does the table of embeddings, as far as the scheme is about tables; every
other part takes the vision scheme. What the parts need besides their graphs (LLaVA-NeXT's end of line) goes into config.json.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...core.errors import ConversionError
from ...core.progress import Progress
from ...quantize.assign import Weight
from ...quantize.scheme import Request, Scheme, resolve, resolve_vision
from ..checkpoint import Checkpoint
from ..families.traced import VISION_LAYER
from . import trace, trace_names
from .engine import Exported

LANGUAGE, TEXT_EMBEDDINGS = "language_model", "text_embeddings_model"
_ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError)
_OTHERS = re.compile(
    r"(^|\.)(vision_tower|vision_model|visual|multi_modal_projector|connector|image_newline|embed_vision)(\.|$)"
)
_ADDED = ("image_newline",)
"""What optimum-intel's split adds to the config: values of tensors that are in no graph, which the runtimes read there."""


def resolve_others(precision: str | None, language: Scheme, family: str) -> Scheme:
    """Complete `--vision-precision` for the parts that are neither language model nor table.

    Left out, they are int8 beside a compressed language model, as optimum-intel's default is, and of its own type beside a
    floating one.

    Raises:
        UsageError: no such precision.
    """
    if precision is None and language.compresses:
        return replace(resolve(Request("int8")), chosen_by="optimum-intel")
    return resolve_vision(precision, language, family)


def language_weights(checkpoint: Checkpoint) -> list[Weight]:
    """Guess the language model's weights and the table's from names and shapes (as `trace.weights`)."""
    return [weight for weight in trace.weights(checkpoint) if not _OTHERS.search(weight.name)]


def predicted_size(checkpoint: Checkpoint, scheme: Scheme, others: Scheme) -> int:
    """Return the bytes of all the .bin files, about."""
    sizes = {name: checkpoint.info(name).size for name in checkpoint.names}
    vision = sum(size for name, size in sizes.items() if _OTHERS.search(name))
    return int(((sum(sizes.values()) - vision) * scheme.bits + vision * others.bits) / 8)


def export(
    checkpoint: Checkpoint,
    scheme: Scheme,
    vision_scheme: Scheme,
    out: Path,
    *,
    compressor: str = "auto",
    progress: Progress,
) -> Exported:
    """Write openvino_PART.xml and .bin for each part.

    Args:
        checkpoint: of a type that `trace_support.takes_images`.
        scheme: of the language model and of the table of embeddings.
        vision_scheme: of the other parts.
        out: the staging folder.
        compressor: as for `trace.export`.
        progress: reports the steps.

    Raises:
        CheckpointError: a tensor is missing, superfluous, NaN or infinite, or in none of the graphs.
        ConversionError: the export or NNCF refuses.
    """
    from . import trace_model
    from .trace_load import load
    from .trace_quiet import tracing

    release = trace.releaser(checkpoint)
    trace.check_finite(checkpoint, set(), release)
    with tracing():
        torch_model = load(checkpoint)
        with _refusals(checkpoint):
            parts = trace_model.parts(torch_model, trace_model.VISION_TASK, compresses=scheme.compresses)
    note = f"Language model and embeddings take the scheme; the other parts are {vision_scheme.describe()}."
    exported = Exported([], "none", [note], {}, vision_scheme)
    reached: set[str] = set()
    with trace_model.traceable(torch_model):
        for part in sorted(parts, key=lambda part: part.name != LANGUAGE):
            own = scheme if part.name in (LANGUAGE, TEXT_EMBEDDINGS) else vision_scheme
            task = progress.task(f"Tracing {part.name} of {checkpoint.model_type}")
            with tracing(), _refusals(checkpoint):
                model = trace_model.trace(part).clone()
            named = trace_names.adopt(model, checkpoint, torch_model, part.path)
            reached |= trace_names.reached(model, part.path)
            task.finish()
            one = trace.write(
                model, named, own, out, name=f"openvino_{part.name}", generates=part.generates,
                compressor=compressor, release=release, progress=progress,
            )  # fmt: skip
            exported = _joined(exported, one, own, f"openvino_{part.name}.xml")
    trace_names.check_used(reached, torch_model, unused(checkpoint.config))
    added = {name: value for name in _ADDED if (value := getattr(torch_model.config, name, None)) is not None}
    return replace(exported, config=added)


def unused(config: dict[str, Any]) -> Callable[[str], bool]:
    """Return what says of a parameter that the model itself makes no use of it.

    LLaVA takes the tower's features from before its last layers (`vision_feature_layer`): these, and the norm and the pooling
    head after them, change nothing.
    """
    stated = config.get("vision_feature_layer", VISION_LAYER.get(config["model_type"]))
    if stated is None:
        return lambda _: False
    count = config["vision_config"].get("num_hidden_layers", 24)
    last = max(
        layer if layer >= 0 else count + 1 + layer for layer in ([stated] if isinstance(stated, int) else stated)
    )

    def says(name: str) -> bool:
        if "vision_tower." not in name:
            return False
        layer = re.search(r"\.layers\.(\d+)\.", name)
        return int(layer[1]) >= last if layer else bool(re.search(r"\.(post_layernorm|head)\.", name))

    return says


@contextmanager
def _refusals(checkpoint: Checkpoint) -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        raise ConversionError(f"optimum-intel cannot export this {checkpoint.model_type}: {error}") from error


def _joined(all_: Exported, one: Exported, scheme: Scheme, file: str) -> Exported:
    """Add what one IR gave to what the others gave."""
    rows = [entry.model_copy(update={"file": file}) for entry in one.tensors]
    rank = ("none", "edgeconv", "nncf")
    return replace(
        all_,
        tensors=all_.tensors + rows,
        compressor=max(all_.compressor, one.compressor if scheme.compresses else "none", key=rank.index),
        notes=all_.notes + [f"{file}: {note}" for note in one.notes],
        digests=all_.digests | one.digests,
    )
