"""Full-size checkpoints of random weights, written in seconds: `python -m benchmarks.geometry 1.5b OUT` (--help lists the sizes).

Time, memory and disk of a conversion depend on the sizes of the tensors, not on what the model knows, so these stand in
for GLM-Edge where its weights cannot be had. The values are bell-shaped, with a width of its own for each output
channel, so that a quantizer has real work to do. They say nothing about accuracy.

One block of noise is drawn and read again from other places for each tensor; no tensor is ever whole in memory.
"""

import argparse
import json
import shutil
import time
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from edgeconv.builtin import model_path
from edgeconv.convert import families
from edgeconv.convert.families.glm_edge_v_model.facts import CHAT_TEMPLATE, VISION, image_tokens

from . import chatglm
from .chatglm import CHATGLM2_6B, ChatGlm
from .noise import Noise
from .published import Published, published
from .published_vision import PublishedVision, published_vision

SHARD_BYTES = 5_000_000_000  # transformers' own limit for a shard
BYTES_PER_VALUE = 2
MARKER_ROOM = 18  # GLM-Edge: 59264 rows, the first marker is 59246


SIGLIP = {
    "hidden_size": 1152,
    "image_size": 672,
    "intermediate_size": 4304,
    "model_type": "siglip_vision_model",
    "num_attention_heads": 16,
    "num_hidden_layers": 27,
    "patch_size": 14,
}
"""GLM-Edge-V's `vision_config`."""


@dataclass(frozen=True)
class Geometry:
    """The sizes of a GLM or a Llama, in transformers' sense of the terms; `vision` is its vision_config."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool = False
    vision: dict[str, Any] | None = None
    model_type: str = "glm"

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return name -> shape [out, in] of each tensor, in the order of the forward pass."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        layer: dict[str, tuple[int, ...]] = {
            "input_layernorm": (self.hidden,),
            "self_attn.q_proj": (queries, self.hidden),
            "self_attn.k_proj": (keys, self.hidden),
            "self_attn.v_proj": (keys, self.hidden),
            "self_attn.o_proj": (self.hidden, queries),
            "post_attention_layernorm": (self.hidden,),
            **self._gates(),
            "mlp.down_proj": (self.hidden, self.intermediate),
        }
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens": (self.vocab, self.hidden)}
        for i in range(self.layers):
            shapes |= {f"model.layers.{i}.{name}": shape for name, shape in layer.items()}
        shapes["model.norm"] = (self.hidden,)
        if not self.tied:
            shapes["lm_head"] = (self.vocab, self.hidden)
        return {f"{name}.weight": shape for name, shape in shapes.items()} | self._vision_tensors()

    def _gates(self) -> dict[str, tuple[int, ...]]:
        if self.model_type == "glm":
            return {"mlp.gate_up_proj": (2 * self.intermediate, self.hidden)}
        return {f"mlp.{name}_proj": (self.intermediate, self.hidden) for name in ("gate", "up")}

    def _vision_tensors(self) -> dict[str, tuple[int, ...]]:
        config = _config(self)
        seen = families.vision(config, [VISION] if self.vision else [], families.decoder(config))
        return seen.tensors() if seen else {}

    def parameters(self) -> int:
        """Return the number of weights, a tied head counted once."""
        return sum(prod(shape) for shape in self.tensors().values())


GLM_EDGE_1_5B = Geometry(hidden=2048, intermediate=6144, layers=28, heads=16, kv_heads=4, head_dim=128, vocab=59264)
GLM_EDGE_4B = Geometry(hidden=3072, intermediate=8192, layers=40, heads=24, kv_heads=6, head_dim=128, vocab=59264)
GLM_0_4B = Geometry(hidden=1024, intermediate=4096, layers=20, heads=16, kv_heads=4, head_dim=64, vocab=59264)
"""No model of theirs: a third point for how cost grows."""
LLAMA_1B = Geometry(
    hidden=2048,
    intermediate=8192,
    layers=16,
    heads=32,
    kv_heads=8,
    head_dim=64,
    vocab=128256,
    tied=True,
    model_type="llama",
)
"""Llama 3.2 1B."""
GLM_EDGE_V_2B = replace(GLM_EDGE_1_5B, vision=SIGLIP)
GLM_EDGE_V_5B = replace(GLM_EDGE_4B, vision=SIGLIP)
SIZES: dict[str, Geometry | ChatGlm | Published] = {
    "1.5b": GLM_EDGE_1_5B, "4b": GLM_EDGE_4B, "v-2b": GLM_EDGE_V_2B, "v-5b": GLM_EDGE_V_5B, "chatglm2-6b": CHATGLM2_6B,
    "0.4b": GLM_0_4B, "llama-1b": LLAMA_1B, **published(), **published_vision(),
}  # fmt: skip


def make(
    folder: Path, geometry: Geometry | ChatGlm | Published, *, seed: int = 0, shard_bytes: int | None = None
) -> Path:
    """Write a bfloat16 checkpoint, or ChatGLM's pickles, to `folder`, which must be absent or empty, and return it.

    Raises:
        FileExistsError: `folder` holds something already.

    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    noise = Noise(seed)
    if isinstance(geometry, ChatGlm):
        chatglm.write(folder, geometry, _shards(geometry.tensors(), shard_bytes or chatglm.SHARD_BYTES), noise)
        return folder
    tensors = geometry.tensors()
    shards = _shards(tensors, shard_bytes or SHARD_BYTES)
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        alone = len(shards) == 1
        name = "model.safetensors" if alone else f"model-{number:05}-of-{len(shards):05}.safetensors"
        _write_shard(folder / name, shard, noise)
        weight_map |= dict.fromkeys(shard, name)
    if len(shards) > 1:
        total = sum(map(prod, tensors.values())) * BYTES_PER_VALUE
        _write_json(
            folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map}
        )
    if isinstance(geometry, PublishedVision):
        geometry.write_files(folder)
    else:
        _write_tokenizer(folder, geometry.vocab)
    _write_config(folder, geometry)
    if isinstance(geometry, Geometry) and geometry.vision:
        _write_vision_files(folder, geometry.vision)
    return folder


def _shards(tensors: dict[str, tuple[int, ...]], shard_bytes: int) -> list[dict[str, tuple[int, ...]]]:
    """Deal the tensors out in order; a shard is closed when the next tensor would make it larger than `shard_bytes`."""
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    size = 0
    for name, shape in tensors.items():
        length = prod(shape) * BYTES_PER_VALUE
        if shards[-1] and size + length > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = shape
        size += length
    return shards


def _write_shard(path: Path, tensors: dict[str, tuple[int, ...]], noise: Noise) -> None:
    """Write one safetensors file: the header's length (u64, little-endian), the header (JSON), the values."""
    import torch

    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        start, end = end, end + prod(shape) * BYTES_PER_VALUE
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # values begin at a multiple of 8, as safetensors wants
    with path.open("wb", buffering=0) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in tensors.items():
            for chunk in noise.chunks(name, shape):
                file.write(chunk.contiguous().view(torch.uint8).numpy().data)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_tokenizer(folder: Path, vocab: int) -> None:
    """Write the built-in tokenizer, filled up to `vocab` entries and with the markers where GLM-Edge has them.

    Fillers take the ids between the last merge and the first marker. No merge makes them, so no text contains them.
    """
    tokenizer = json.loads((model_path() / "tokenizer.json").read_text(encoding="utf-8"))
    markers = tokenizer["added_tokens"]
    names = {marker["content"] for marker in markers}
    known = {token: i for token, i in tokenizer["model"]["vocab"].items() if token not in names}
    first = vocab - MARKER_ROOM
    if first < len(known):
        raise ValueError(f"a vocabulary of {vocab} is too small for the built-in tokenizer's {len(known)} tokens")
    known |= {f"[unused{i}]": i for i in [*range(len(known), first), *range(first + len(markers), vocab)]}
    for i, marker in enumerate(markers, first):
        marker["id"] = known[marker["content"]] = i
    tokenizer["model"]["vocab"] = dict(sorted(known.items(), key=lambda entry: entry[1]))
    _write_json(folder / "tokenizer.json", tokenizer)
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(model_path() / name, folder / name)


def _write_vision_files(folder: Path, vision: dict[str, Any]) -> None:
    """Write preprocessor_config.json, and the chat template where GLM-Edge-V has it: inside tokenizer_config.json."""
    side = vision["image_size"]
    preprocessor = {
        "do_convert_rgb": True, "do_normalize": True, "do_pad": True, "do_rescale": True, "do_resize": True,
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "image_processor_type": "MllamaImageProcessor",
        "max_image_tiles": 1, "resample": 3, "rescale_factor": 1 / 255, "size": {"height": side, "width": side},
    }  # fmt: skip
    _write_json(folder / "preprocessor_config.json", preprocessor)
    (folder / "chat_template.jinja").unlink()
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    template = CHAT_TEMPLATE.format(image_tokens=image_tokens(side, vision["patch_size"]))
    _write_json(folder / "tokenizer_config.json", tokenizer | {"chat_template": template})


def _write_config(folder: Path, geometry: Geometry | Published) -> None:
    """Write config.json and generation_config.json."""
    config = _config(geometry) if isinstance(geometry, Geometry) else geometry.config() | _ends(geometry.vocab)
    _write_json(folder / "generation_config.json", {key: config[key] for key in ("eos_token_id", "pad_token_id")})
    _write_json(folder / "config.json", config)


def _ends(vocab: int) -> dict[str, Any]:
    end = vocab - MARKER_ROOM
    return {"eos_token_id": [end, end + 7, end + 9], "pad_token_id": end}  # <|endoftext|>, <|user|>, <|observation|>


def _config(geometry: Geometry) -> dict[str, Any]:
    """Return config.json with the keys of GLM-Edge's own, those of transformers 4."""
    ids = _ends(geometry.vocab)
    end = ids["pad_token_id"]
    if geometry.vision:
        ids |= {"boi_token_id": end + 10, "eoi_token_id": end + 11, "vision_config": geometry.vision}
    config = {
        "architectures": [f"{geometry.model_type.title()}ForCausalLM"],
        "model_type": geometry.model_type,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "head_dim": geometry.head_dim,
        "hidden_act": "silu",
        "hidden_size": geometry.hidden,
        "initializer_range": 0.02,
        "intermediate_size": geometry.intermediate,
        "max_position_embeddings": 8192,
        "num_attention_heads": geometry.heads,
        "num_hidden_layers": geometry.layers,
        "num_key_value_heads": geometry.kv_heads,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "tie_word_embeddings": geometry.tied,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": geometry.vocab,
    }
    if geometry.model_type == "glm":
        config["partial_rotary_factor"] = 1.0
    return config | ids


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.geometry", description="Write a full-size random checkpoint."
    )
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("out", type=Path, help="absent or empty folder")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started = time.perf_counter()
    geometry = SIZES[arguments.size]
    make(arguments.out, geometry, seed=arguments.seed)
    size = geometry.parameters() * BYTES_PER_VALUE / 1e9
    print(f"{arguments.out}: {size:.2f} GB in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
