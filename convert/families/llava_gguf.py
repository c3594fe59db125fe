"""LLaVA with a SigLIP tower in llama.cpp's terms: the projector type "mlp". Towers of CLIP have a class token.

Its converter writes no such file any more. Sources: `tools/mtmd/legacy-models/convert_image_encoder_to_gguf.py` and
`tools/mtmd/models/llava.cpp` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from ..gguf_values import Kind, Value, array
from ..program.mmproj_spec import Mmproj, Seen, Sizes, tower, vision_of
from ..program.mmproj_towers import CLIP_LAYER, SIGLIP_DEFAULTS, clip_embeddings
from ..program.reading import Config, UnsupportedArchitecture, contradicting

_ALONE = "--vision-precision none writes the language model alone."
TOWER, PROJECTOR = "model.vision_tower.vision_model.", "model.multi_modal_projector."


def feature_layers(config: Config) -> list[int]:
    """Return behind how many layers the features are taken, in the order in which they are joined.

    Raises:
        CheckpointError: config.json states none of the tower's.
        UnsupportedArchitecture: in another order than llama.cpp's.
    """
    layers = tower(config, SIGLIP_DEFAULTS).layers
    stated = config.get("vision_feature_layer", -2)
    every = stated if isinstance(stated, list) else [stated]
    if not every or any(type(one) is not int or not -layers - 1 <= one <= layers for one in every):
        raise contradicting(f"vision_feature_layer is {stated!r}, and the tower has {layers} layers")
    found = [one if one >= 0 else layers + 1 + one for one in every]
    if found != sorted(set(found)):
        raise UnsupportedArchitecture(f"it joins the features of layers {found}, and llama.cpp in rising order")
    return found


def _sizes(config: Config) -> Sizes:
    """Return the tower's sizes, of its layers those up to the last feature.

    Raises:
        UnsupportedArchitecture: the tower has a class token, which llama.cpp puts behind the patches and then takes for the last
            of them, or a patch's row is left out in its place.
    """
    if vision_of(config).get("model_type", "clip_vision_model") != "siglip_vision_model":
        raise UnsupportedArchitecture(
            "its tower has a class token, which the graph puts behind the patches, and whose row it then returns in the place of "
            "a patch's (b9190 of May 2026 and later)",
            _ALONE,
        )
    if config.get("vision_feature_select_strategy", "default") != "full":
        raise UnsupportedArchitecture("it leaves the first patch's row out, which llama.cpp keeps")
    return tower(config, SIGLIP_DEFAULTS, layers=max(feature_layers(config)))


def _keys(config: Config, processor: Config) -> dict[str, Value]:
    return {"feature_layer": array(Kind.I32, feature_layers(config))}


MMPROJ = Mmproj(
    "mlp",
    sizes=_sizes,
    layer=f"{TOWER}encoder.layers.",
    before=clip_embeddings(TOWER),
    inner=CLIP_LAYER,
    after={
        f"{PROJECTOR}linear_1": "mm.0",
        f"{PROJECTOR}linear_2": "mm.2",
    },
    keys=_keys,
    exchanges=True,
    unused=(f"{TOWER}post_layernorm.*",),
    deviations=(
        "llama.cpp takes the tanh form of the projector's GELU, from a table of float16; the model's is exact",
    ),
    seen=Seen("<image>", "<image>", stretch=3),
)


def _no_lines(config: Config) -> Sizes:
    raise UnsupportedArchitecture(
        "its pictures' lines end with a row of their own (image_newline), and their padding is cut off, which the graph does not",
        _ALONE,
    )


NEXT = replace(MMPROJ, sizes=_no_lines)
"""LLaVA-NeXT's, which is refused with the reason."""
