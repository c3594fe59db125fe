"""Sliding windows of config.json: how many positions one sees in each layer, as transformers' config classes say it.

A width stands in `sliding_window`; `layer_types` says which layers have it. Without that list all have it, or all but every so
many-th (`full_every`, which `sliding_window_pattern` may state), or those from `max_window_layers` on where a switch
(`use_sliding_window`) turns windows on at all.
"""

from __future__ import annotations

from .reading import Reader, UnsupportedArchitecture, contradicting, whole, wrong

SLIDING, FULL = KINDS = ("sliding_attention", "full_attention")
WINDOW = 4096
"""The width of a window that is switched on and not stated (Qwen)."""
_FROM = 28
"""`max_window_layers` where no config states it (Qwen)."""


def layer_kinds(read: Reader, full_every: int | None) -> list[str]:
    """Return the kind of each layer.

    Raises:
        CheckpointError: a list or a number that is none, or is not as long as there are layers.
        UnsupportedArchitecture: attention of another kind.
    """
    layers, kinds = read.layers(), read.config.get("layer_types")
    if kinds is None:
        every = read.config.get("sliding_window_pattern") or full_every
        if every is not None:
            every = whole(every, "sliding_window_pattern")
        return [FULL if every and (layer + 1) % every == 0 else SLIDING for layer in range(layers)]
    if not isinstance(kinds, list):
        raise wrong("layer_types", kinds, "a list")
    if len(kinds) != layers:
        raise contradicting(f"layer_types states kinds for {len(kinds)} layers, and there are {layers}")
    if odd := {str(kind) for kind in kinds} - set(KINDS):
        raise UnsupportedArchitecture(f"some of its layers have attention of the kind {min(odd)!r}")
    return kinds


def read_windows(read: Reader, full_every: int | None) -> tuple[int | None, ...]:
    """Return the width of each layer's window, one's own position included; None: it sees all before it. Raises as above."""
    kinds = layer_kinds(read, full_every)
    switched = "use_sliding_window" in read.defaults
    stated = read.config.get("sliding_window", read.defaults.get("sliding_window", WINDOW))
    if switched and not read.config.get("use_sliding_window"):
        stated = None
    if read.config.get("layer_types") is None:
        if stated is None:
            return (None,) * len(kinds)
        if switched:
            first = read.config.get("max_window_layers", _FROM)
            kinds = [SLIDING if layer >= first else FULL for layer in range(len(kinds))]
    if SLIDING not in kinds:
        return (None,) * len(kinds)
    if stated is None:
        raise UnsupportedArchitecture("some layers attend through a sliding window whose width is not stated")
    width = whole(stated, "sliding_window")
    return tuple(width if kind == SLIDING else None for kind in kinds)
