"""How far an encoder's artifact may be from its reference, by the bits of its weights.

What fewer bits cost was measured on all-MiniLM-L6-v2 (22.7 M parameters, the smallest that people use): docs/validation.md has
the figures. A larger model loses less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..budget import Budget

_ROUNDING = "the graph computes what its own weights say, to float32 rounding"
_STATE = "a token's states, as a whole: MiniLM measures 4e-6, GELU by its tanh makes 2e-4 of the smallest model"
_NEVER = "a NaN or an infinity is never right"
_KEPT = "the same steps make a vector of the states on both sides"

_STORED = (
    (
        16,
        (
            Budget("quantisation", "cosine", 0.9999, "nothing is compressed: float16 measures 0.9999999"),
            Budget("quantisation", "rank", 0.999, "nothing is compressed: float16 measures 0.99999"),
        ),
    ),
    (
        8,
        (
            Budget("quantisation", "cosine", 0.998, "MiniLM at int8 measures 0.9996"),
            Budget("quantisation", "rank", 0.99, "MiniLM at int8 measures 0.9989"),
        ),
    ),
    (
        0,
        (
            Budget(
                "quantisation", "cosine", 0.95, "MiniLM at int4 measures 0.949, and loses one of five best passages"
            ),
            Budget("quantisation", "rank", 0.90, "MiniLM at int4 measures 0.94"),
        ),
    ),
)
"""From so many bits on: what fewer of them may cost."""
_RUNTIME = (
    Budget("runtime", "cosine", 0.999, "activations in bfloat16: MiniLM measures 0.99998"),
    Budget("runtime", "rank", 0.99, "activations in bfloat16: MiniLM measures 0.9998"),
)


def table(bits: int, *, scores: bool, graph: Mapping[str, tuple[float, str]] | None = None) -> list[Budget]:
    """Return the budgets for weights of so many bits.

    Args:
        bits: of a weight.
        scores: the model gives scores.
        graph: metric of "conversion" → limit and reason, where the runtime's graph errs by itself.
    """
    largest = "max_abs_logit" if scores else "max_abs_state"
    made = [
        Budget("conversion", largest, 1e-3, _ROUNDING),
        Budget("conversion", "not_finite", 0, _NEVER),
        Budget("quantisation", "not_finite", 0, _NEVER),
    ]
    if not scores:
        made.append(Budget("conversion", "state", 5e-5, _STATE))
        made += [Budget("conversion", "length", 1e-3, _KEPT), Budget("conversion", "cosine", 0.99999, _KEPT)]
    made = [
        replace(one, limit=graph[one.metric][0], reason=graph[one.metric][1])
        if graph and one.comparison == "conversion" and one.metric in graph
        else one
        for one in made
    ]
    kept = next(rows for least, rows in _STORED if bits >= least)
    made += [one for one in kept if not (scores and one.metric == "cosine")]
    return [*made, *(one for one in _RUNTIME if not (scores and one.metric == "cosine"))]
