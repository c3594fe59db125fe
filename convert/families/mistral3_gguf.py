"""Mistral 3's vision part (Pixtral) in llama.cpp's terms: the projector type "pixtral", which ends each row by a token.

llama.cpp turns neighboring pairs, transformers halves: the rows of each head of q and k are reordered.
Sources: `conversion/llava.py` and `tools/mtmd/models/pixtral.cpp` of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...core.errors import CheckpointError
from ...core.json_file import read_json
from ..gguf_values import Value, u32
from ..program.mmproj_spec import Mmproj, Seen, Sizes, neighbors, tower, vision_of
from ..program.piece import Piece
from ..program.reading import Config, Reader, UnsupportedArchitecture

TOWER, PROJECTOR = "model.vision_tower.", "model.multi_modal_projector."
BREAK, BREAK_NAME = "[IMG_BREAK]", "v.token_embd.img_break"
_DEFAULTS = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 1024,
    "patch_size": 16, "hidden_act": "gelu",
}  # fmt: skip
_EPSILON = 1e-5
"""Of the tower's norms in transformers, which no config states."""
_THETA = 10000.0


def _sizes(config: Config) -> Sizes:
    vision = vision_of(config)
    found = tower(config, _DEFAULTS, epsilon=_EPSILON)
    rope = vision.get("rope_parameters") or vision
    theta = rope.get("rope_theta", _THETA) if isinstance(rope, dict) else _THETA
    if theta != _THETA:
        raise UnsupportedArchitecture(f"its tower's positions turn by {theta}, and llama.cpp's by {_THETA:g}")
    if Reader(config, {"rms_norm_eps": 1e-6}).number("rms_norm_eps") != _EPSILON:
        raise UnsupportedArchitecture(
            f"its projector's norm has the language model's epsilon, and llama.cpp's the tower's, {_EPSILON}"
        )
    if vision.get("head_dim") not in (None, found.width // found.heads):
        raise UnsupportedArchitecture("its tower's heads are not as wide as the tower over their number")
    return found


def _keys(config: Config, processor: Config) -> dict[str, Value]:
    return {"spatial_merge_size": u32(Reader(config, {"spatial_merge_size": 2}).size("spatial_merge_size"))}


def _break(config: Config, folder: Path) -> Mapping[str, tuple[str, Piece]]:
    """Return the row of the token that ends a row of patches. Raises CheckpointError if the tokenizer has none."""
    added = read_json(folder / "tokenizer.json").get("added_tokens")
    found = [one.get("id") for one in added or [] if isinstance(one, dict) and one.get("content") == BREAK]
    if not found or type(found[0]) is not int:
        raise CheckpointError(
            f"tokenizer.json has no token {BREAK}, which ends each row of a picture's patches.", "Download it again."
        )
    return {"model.embed_tokens.weight": (BREAK_NAME, Piece(taken=(found[0],)))}


MMPROJ = Mmproj(
    "pixtral",
    sizes=_sizes,
    layer=f"{TOWER}transformer.layers.",
    before={f"{TOWER}patch_conv": "v.patch_embd", f"{TOWER}ln_pre": "v.pre_ln"},
    inner={
        "attention_norm": "ln1", "ffn_norm": "ln2", "attention.q_proj": neighbors("attn_q"),
        "attention.k_proj": neighbors("attn_k"), "attention.v_proj": "attn_v", "attention.o_proj": "attn_out",
        "feed_forward.gate_proj": "ffn_gate", "feed_forward.up_proj": "ffn_up", "feed_forward.down_proj": "ffn_down",
    },
    after={
        f"{PROJECTOR}norm": "mm.input_norm",
        f"{PROJECTOR}patch_merger.merging_layer": "mm.patch_merger",
        f"{PROJECTOR}linear_1": "mm.1",
        f"{PROJECTOR}linear_2": "mm.2",
    },
    keys=_keys,
    language=_break,
    deviations=(
        "llama.cpp takes the tanh form of the projector's GELU, from a table of float16; the model's is exact",
        "llama.cpp fits pictures itself: at least 8 and at most 1024 rows, where preprocessor_config.json may state another size",
    ),
    seen=Seen("[IMG]", "[IMG]", between=(BREAK,)),
)  # fmt: skip
