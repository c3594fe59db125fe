"""OLMo 3: OLMo 2's block, with windows in three of four layers; the scaling of positions is for the others alone.

transformers 5.5 scales in all layers (`core.mended_models`); its versions before 5, vLLM and llama.cpp do not.
Sources: `transformers/models/olmo3/` (4.57); `src/models/olmo2.cpp` and `conversion/olmo.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..gguf_values import Value, u32
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, UnsupportedArchitecture
from ..program.spec import Family
from ..program.windows import SLIDING, layer_kinds
from . import olmo2

_EVERY = 4
"""Every so many layers one has no window."""


def _described(read: Reader, decoder: Decoder) -> Decoder:
    plain = replace(decoder.rope, scaling={})
    if plain == decoder.rope:
        return decoder
    kinds = layer_kinds(read, _EVERY)
    return replace(decoder, ropes=tuple(plain if kind == SLIDING else decoder.rope for kind in kinds))


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return the window; refuse other layers with one than llama.cpp's graph has."""
    read = FAMILY.reader(config)
    if any((kind == SLIDING) != ((layer + 1) % _EVERY != 0) for layer, kind in enumerate(layer_kinds(read, _EVERY))):
        raise UnsupportedArchitecture("its layers without a window are not each fourth one, as in llama.cpp's olmo2")
    return olmo2.keys(config, decoder) | {"attention.sliding_window": u32(read.size("sliding_window"))}


_DEFAULTS: dict[str, Any] = {**olmo2.FAMILY.defaults, "sliding_window": 4096}
FAMILY: Family = replace(
    olmo2.FAMILY,
    model_type="olmo3",
    architecture="Olmo3ForCausalLM",
    defaults=_DEFAULTS,
    full_every=_EVERY,
    details=_described,
    gguf=Gguf("olmo2", square_heads=True, windows=True, output_bias=False, keys=_keys),
)
