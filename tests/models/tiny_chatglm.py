"""Tiny ChatGLMs of random weights in their makers' own layout: tensor names, fused q, k and v, pickles, tokenizer.model.

Their vocabularies are trained here, by sentencepiece itself or by counting pairs of bytes.
"""

import base64
import functools
import io
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
PIECES, RANKS = 1000, 600
CONFIG: dict[str, Any] = {
    "model_type": "chatglm",
    "architectures": ["ChatGLMModel"],
    "auto_map": {"AutoConfig": "configuration_chatglm.ChatGLMConfig", "AutoModel": "modeling_chatglm.ChatGLMModel"},
    "add_bias_linear": False,
    "add_qkv_bias": True,
    "apply_query_key_layer_scaling": True,
    "apply_residual_connection_post_layernorm": False,
    "attention_softmax_in_fp32": True,
    "eos_token_id": 2,
    "ffn_hidden_size": 192,
    "fp32_residual_connection": False,
    "hidden_size": 128,
    "kv_channels": 32,
    "layernorm_epsilon": 1e-5,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "num_attention_heads": 4,
    "num_layers": 2,
    "original_rope": True,
    "pad_token_id": 0,
    "padded_vocab_size": 1024,
    "post_layer_norm": True,
    "rmsnorm": True,
    "seq_length": 512,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "use_cache": True,
}
CHINESE = (
    "今天天气很好，我们一起去公园玩吧。人工智能是计算机科学的一个分支，它企图了解智能的实质。问：晚上睡不着应该怎么办？"
    "答：可以尝试以下方法：首先，保持规律的作息时间；其次，睡前不要看手机。你好，我是人工智能助手，很高兴认识你！"
)


def make(
    folder: Path,
    *,
    vocabulary: str = "pieces",
    pickled: bool = True,
    shards: int = 3,
    dtype: torch.dtype = torch.float16,
    **fields: Any,
) -> dict[str, torch.Tensor]:
    """Write a checkpoint and return its weights.

    Args:
        folder: made if absent.
        vocabulary: "pieces" (ChatGLM2 and 3) or "ranks" (GLM-4).
        pickled: files of torch.save, else safetensors.
        shards: number of files; the cuts lie in the middle of a layer.
        dtype: of the weights.
        **fields: of config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = CONFIG | fields
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.model").write_bytes(pieces() if vocabulary == "pieces" else ranks())
    tensors = {name: tensor.to(dtype) for name, tensor in weights(config).items()}
    _save(folder, tensors, shards, pickled=pickled)
    return tensors


def weights(config: dict[str, Any], seed: int = 0) -> dict[str, torch.Tensor]:
    """Draw float32 weights; norms lie around 1, biases around 0, and each row of a matrix has a width of its own."""
    random = torch.Generator().manual_seed(seed)
    drawn = {}
    for name, shape in shapes(config).items():
        noise = torch.randn(shape, generator=random)
        if len(shape) == 1:
            drawn[name] = (0 if name.endswith("bias") else 1) + 0.1 * noise
        else:
            drawn[name] = noise * torch.exp(0.5 * torch.randn(shape[0], 1, generator=random)) / shape[1] ** 0.5
    drawn["transformer.rotary_pos_emb.inv_freq"] = torch.rand(config["kv_channels"] // 4, generator=random)
    return drawn


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name → shape, in the order of the makers' files."""
    hidden, inner, vocab = (config[key] for key in ("hidden_size", "ffn_hidden_size", "padded_vocab_size"))
    q = config["num_attention_heads"] * config["kv_channels"]
    mixed = q + 2 * config["multi_query_group_num"] * config["kv_channels"]
    found: dict[str, tuple[int, ...]] = {"transformer.embedding.word_embeddings.weight": (vocab, hidden)}
    for layer in range(config["num_layers"]):
        name = f"transformer.encoder.layers.{layer}"
        found |= {
            f"{name}.input_layernorm.weight": (hidden,),
            f"{name}.self_attention.query_key_value.weight": (mixed, hidden),
            f"{name}.self_attention.query_key_value.bias": (mixed,),
            f"{name}.self_attention.dense.weight": (hidden, q),
            f"{name}.post_attention_layernorm.weight": (hidden,),
            f"{name}.mlp.dense_h_to_4h.weight": (2 * inner, hidden),
            f"{name}.mlp.dense_4h_to_h.weight": (hidden, inner),
        }
    if not config["add_qkv_bias"]:
        found = {name: shape for name, shape in found.items() if not name.endswith("bias")}
    return found | {
        "transformer.encoder.final_layernorm.weight": (hidden,),
        "transformer.output_layer.weight": (vocab, hidden),
    }


def _save(folder: Path, tensors: dict[str, torch.Tensor], shards: int, *, pickled: bool) -> None:
    from safetensors.torch import save_file

    stem, suffix = ("pytorch_model", ".bin") if pickled else ("model", ".safetensors")
    save = torch.save if pickled else save_file
    names = list(tensors)
    per = -(-len(names) // shards)
    weight_map = {}
    for number in range(shards):
        part = names[number * per : (number + 1) * per]
        file = f"{stem}-{number + 1:05}-of-{shards:05}{suffix}" if shards > 1 else f"{stem}{suffix}"
        save({name: tensors[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    if shards > 1:
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / f"{stem}{suffix}.index.json").write_text(json.dumps(index))


def corpus() -> list[str]:
    """Text of this repository, code and Chinese."""
    paths = [ROOT / "README.md", *sorted((ROOT / "convert").glob("*.py"))]
    lines = [line for path in paths for line in path.read_text("utf-8").splitlines() if line.strip()]
    return [*lines, *(CHINESE.split("。") * 30)]


@functools.cache
def pieces(size: int = PIECES, lines: tuple[str, ...] = (), **options: Any) -> bytes:
    """A sentencepiece model as ChatGLM's is: a BPE that keeps white space and falls back to bytes; of `corpus`, or of `lines`."""
    from sentencepiece import SentencePieceTrainer, set_min_log_level

    set_min_log_level(2)
    settings = {
        "vocab_size": size, "model_type": "bpe", "byte_fallback": True, "character_coverage": 0.999,
        "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "split_digits": True,
        "allow_whitespace_only_pieces": True, "unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1,
        "num_threads": 1, "minloglevel": 2,
    }  # fmt: skip
    made = io.BytesIO()
    SentencePieceTrainer.train(sentence_iterator=iter(lines or corpus()), model_writer=made, **(settings | options))
    return made.getvalue()


@functools.cache
def ranks(size: int = RANKS, lines: tuple[str, ...] = ()) -> bytes:
    """Byte-pair ranks as tiktoken writes them, learned word by word; of `corpus`, or of `lines`."""
    words = Counter(word.encode() for line in lines or corpus()[::3] for word in line.replace(" ", "\0 ").split("\0"))
    split = {word: [word[i : i + 1] for i in range(len(word))] for word in words}
    learned = [bytes([byte]) for byte in range(256)]
    while len(learned) < size:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, parts in split.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += words[word]
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        learned.append(best[0] + best[1])
        for word, parts in split.items():
            split[word] = _merged(parts, best)
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(dict.fromkeys(learned)))


def _merged(parts: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    made: list[bytes] = []
    for part in parts:
        if made and (made[-1], part) == pair:
            made[-1] += part
        else:
            made.append(part)
    return made
