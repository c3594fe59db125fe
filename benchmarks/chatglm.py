"""ChatGLM2-6B in its makers' layout with random weights: float16 pickles, tokenizer.model, code that nothing runs.

The vocabulary is made up: as many pieces as ChatGLM2's, with scores in their order, in sentencepiece's own file format
(https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto).
"""

from __future__ import annotations

import itertools
import json
import string
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

SHARD_BYTES = 1_950_000_000  # as ChatGLM2-6B is cut: 7 shards
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


@dataclass(frozen=True)
class ChatGlm:
    """The sizes of a ChatGLM, by the names of its config.json."""

    hidden_size: int
    ffn_hidden_size: int
    num_layers: int
    num_attention_heads: int
    multi_query_group_num: int
    kv_channels: int
    padded_vocab_size: int
    pieces: int

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return name -> shape [out, in] of each tensor, in the order of the makers' files."""
        hidden, inner, queries = self.hidden_size, self.ffn_hidden_size, self.num_attention_heads * self.kv_channels
        mixed = queries + 2 * self.multi_query_group_num * self.kv_channels
        shapes: dict[str, tuple[int, ...]] = {
            "transformer.embedding.word_embeddings.weight": (self.padded_vocab_size, hidden)
        }
        for i in range(self.num_layers):
            name = f"transformer.encoder.layers.{i}"
            shapes |= {
                f"{name}.input_layernorm.weight": (hidden,),
                f"{name}.self_attention.query_key_value.weight": (mixed, hidden),
                f"{name}.self_attention.query_key_value.bias": (mixed,),
                f"{name}.self_attention.dense.weight": (hidden, queries),
                f"{name}.post_attention_layernorm.weight": (hidden,),
                f"{name}.mlp.dense_h_to_4h.weight": (2 * inner, hidden),
                f"{name}.mlp.dense_4h_to_h.weight": (hidden, inner),
            }
        return shapes | {
            "transformer.encoder.final_layernorm.weight": (hidden,),
            "transformer.output_layer.weight": (self.padded_vocab_size, hidden),
        }

    def parameters(self) -> int:
        """Return the number of weights."""
        return sum(prod(shape) for shape in self.tensors().values())

    def config(self) -> dict[str, Any]:
        """Return config.json."""
        sizes = {key: value for key, value in self.__dict__.items() if key != "pieces"}
        return {
            "_name_or_path": "THUDM/chatglm2-6b", "model_type": "chatglm", "architectures": ["ChatGLMModel"],
            "auto_map": {"AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration"},
            **sizes, "add_bias_linear": False, "add_qkv_bias": True, "apply_query_key_layer_scaling": True,
            "apply_residual_connection_post_layernorm": False, "attention_softmax_in_fp32": True, "eos_token_id": 2,
            "layernorm_epsilon": 1e-05, "multi_query_attention": True, "original_rope": True, "pad_token_id": 0,
            "post_layer_norm": True, "rmsnorm": True, "seq_length": 32768, "tie_word_embeddings": False,
            "torch_dtype": "float16", "use_cache": True,
        }  # fmt: skip


CHATGLM2_6B = ChatGlm(
    hidden_size=4096, ffn_hidden_size=13696, num_layers=28, num_attention_heads=32, multi_query_group_num=2,
    kv_channels=128, padded_vocab_size=65024, pieces=64789,
)  # fmt: skip


def write(folder: Path, sizes: ChatGlm, shards: list[dict[str, tuple[int, ...]]], noise: Any) -> None:
    """Write everything into an empty folder.

    Args:
        folder: where to.
        sizes: of the model.
        shards: name -> shape of the tensors of each file.
        noise: gives the values, as `noise.Noise` does.
    """
    import torch

    weight_map = {}
    for number, tensors in enumerate(shards, 1):
        name = f"pytorch_model-{number:05}-of-{len(shards):05}.bin"
        values = {
            tensor: torch.cat([chunk.reshape(-1).half() for chunk in noise.chunks(tensor, shape)]).view(shape)
            for tensor, shape in tensors.items()
        }
        torch.save(values, folder / name)
        weight_map |= dict.fromkeys(tensors, name)
    index = {"metadata": {"total_size": 2 * sizes.parameters()}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")
    (folder / "config.json").write_text(json.dumps(sizes.config(), indent=2) + "\n")
    (folder / "tokenizer.model").write_bytes(vocabulary(sizes.pieces))


def vocabulary(size: int) -> bytes:
    """Return a sentencepiece model of `size` pieces: bytes, joined letters, then characters, in falling order of score."""
    first = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL), *((f"<0x{i:02X}>", BYTE) for i in range(256))]
    letters = ["\u2581", *string.ascii_letters, *string.digits, *string.punctuation]
    joined: Iterator[str] = itertools.chain(
        map("".join, itertools.product(["\u2581", *string.ascii_lowercase], string.ascii_lowercase)),
        map("".join, itertools.product(["\u2581", *string.ascii_lowercase], *[string.ascii_lowercase] * 2)),
    )
    # the Chinese characters of the basic plane, those of the second, and Korean syllables
    blocks = itertools.chain(range(0x4E00, 0xA000), range(0xAC00, 0xD7A4), range(0x20000, 0x2A6D0))
    characters = map(chr, blocks)
    room = size - len(first) - len(letters)
    merges = list(itertools.islice(joined, room // 3))
    texts = [*merges, *letters, *itertools.islice(characters, room - len(merges))]
    pieces = [
        *((text, 0.0, kind) for text, kind in first),
        *((text, -float(i), NORMAL) for i, text in enumerate(texts)),
    ]
    if len(pieces) != size:
        raise ValueError(f"no vocabulary of {size} pieces can be made, only of {len(pieces)}")
    model = b"".join(_message(1, _piece(*piece)) for piece in pieces)
    trainer = _varint(3 << 3) + _varint(2) + _varint(35 << 3) + _varint(1)  # BPE, byte fallback
    normalizer = _varint(3 << 3) + _varint(1) + _varint(4 << 3) + _varint(0)  # a space in front, white space kept
    return model + _message(2, trainer) + _message(3, normalizer)


def _piece(text: str, score: float, kind: int) -> bytes:
    return _message(1, text.encode()) + b"\x15" + struct.pack("<f", score) + _varint(3 << 3) + _varint(kind)


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])
