"""Where llama.cpp is not the model, by name and with what it costs: no fault of a file, and nothing that a file could mend.

Sources, in llama.cpp: `clip_graph_llava` for the projector "adapter" (one epsilon for all normalizations, `ggml_gelu`),
`ggml_vec_gelu_f32` (the table), `mtmd_image_preprocessor_fixed_size` with PAD_CEIL (resizing), `mtmd_helper_bitmap_init_from_buf`
(files, by stb_image).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..runtimes.llama_cpp_vision import VisionOutput
from .checks.vision_gguf import typical, worst
from .passes import TorchPasses
from .report.model import Deviation
from .vision_reference import MODEL

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """Rows of all pictures by torch, each float32 [rows, hidden].

    Attributes:
        model: the checkpoint's weights, the model's own arithmetic.
        noise: the same in bfloat16.
        epsilon: the checkpoint's weights, llama.cpp's epsilon in the adapter alone.
        tanh: the checkpoint's weights, the tanh form of the adapter's GELU alone.
        both: the two together.
        reference: and every GELU by llama.cpp's table: all of its arithmetic.
        own: the same on the file's weights.
    """

    model: list[Array]
    noise: list[Array]
    epsilon: list[Array]
    tanh: list[Array]
    both: list[Array]
    reference: list[Array]
    own: list[Array]

    @classmethod
    def measure(cls, passes: TorchPasses, pictures: Sequence[Array], epsilon: float) -> Rows:
        """Run torch; `epsilon` of the tower, which llama.cpp takes for the adapter too."""
        other = replace(MODEL, norm_eps=epsilon)
        both = replace(other, gelu="tanh")
        wanted = [MODEL, other, replace(MODEL, gelu="tanh"), both, replace(both, table=True)]
        model, eps, tanh, two, reference = passes.variants(pictures, wanted, own=False)
        (own,) = passes.variants(pictures, wanted[-1:], own=True)
        (noise,) = passes.variants(pictures, [MODEL], own=False, dtype="bfloat16")
        return cls(model, noise, eps, tanh, two, reference, own)


def of_rows(rows: Rows) -> list[Deviation]:
    """Name what llama.cpp computes otherwise in tower and adapter, each alone on the checkpoint's weights, and all together."""
    return [
        _rows(
            "adapter epsilon", "It normalizes the adapter's rows with the tower's epsilon.", rows.epsilon, rows.model
        ),
        _rows(
            "adapter GELU", "It takes the tanh form of the adapter's GELU; the model's is exact.", rows.tanh, rows.model
        ),
        _rows("GELU table", "It looks GELU up in a table of float16, in tower and adapter.", rows.reference, rows.both),
        _rows("arithmetic", "These three together.", rows.reference, rows.model),
    ]


def of_pictures(
    squares: Sequence[VisionOutput],
    wholes: Sequence[VisionOutput],
    files: Sequence[VisionOutput],
    changed: Sequence[float],
) -> list[Deviation]:
    """Name what llama.cpp does otherwise before the tower.

    Args:
        squares: of pictures that were prepared as the model prepares them.
        wholes: of the pictures as they are, upright and in RGB.
        files: of their files.
        changed: of each picture the share of pixels that its resizing changes; empty if that is not known.
    """
    same = float(np.mean([a.made == b.made for a, b in zip(squares, wholes, strict=True)]))
    resizing = _pictures(
        "resizing",
        "It resizes pictures itself: it interpolates between neighboring pixels however far it shrinks, where the model's "
        "filter averages; and it puts them to the middle of the square, the model to the top left.",
        wholes,
        squares,
        {"same_captions": same} | ({"changed_pixels": float(np.mean(changed))} if changed else {}),
    )
    decoding = _pictures(
        "picture files",
        "It decodes files by stb_image: JPEGs are rounded otherwise, no picture is turned upright, what is transparent is not "
        "made white.",
        files,
        wholes,
    )
    return [resizing, decoding]


def _pictures(
    name: str,
    summary: str,
    made: Sequence[VisionOutput],
    expected: Sequence[VisionOutput],
    more: dict[str, float] | None = None,
) -> Deviation:
    found = _rows(name, summary, [glance.rows for glance in made], [glance.rows for glance in expected])
    touched = sum(not np.array_equal(a.rows, b.rows) for a, b in zip(made, expected, strict=True))
    counts = {"pictures": float(touched), "of_pictures": float(len(made))}
    return found.model_copy(update={"figures": {**found.figures, **counts, **(more or {})}})


def _rows(name: str, summary: str, made: Sequence[Array], expected: Sequence[Array]) -> Deviation:
    return Deviation(
        name=name, summary=summary, figures={"worst_row": worst(made, expected), "rows": typical(made, expected)}
    )
