"""Tiny encoders of random weights, written by transformers' own classes, with tokenizers trained on the suite's texts."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from edgeconv.validate.suite import load

VOCABULARY = 600
WIDTH, HEADS, LAYERS = 64, 4, 3
COMMON: dict[str, Any] = {
    "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": 128,
}  # fmt: skip
ENCODERS: dict[str, dict[str, Any]] = {
    "bert": {"max_position_embeddings": 160, "pad_token_id": 0},
    "xlm-roberta": {"max_position_embeddings": 162, "type_vocab_size": 1, "layer_norm_eps": 1e-5},
    "modernbert": {
        "local_attention": 16,
        "max_position_embeddings": 160,
        "global_attn_every_n_layers": 2,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "cls_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
    },
}
"""model_type → its fields; windows and tables of positions are short, so that the suite's texts reach beyond."""
SIX = {"num_hidden_layers": 6, "layer_types": [*["sliding_attention"] * 5, "full_attention"]}
"""Layers of a gemma3_text as llama.cpp's gemma-embedding has them built in."""
_WORDPIECE = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_PIECES = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
MEAN = {"pooling_mode_mean_tokens": True}


def make(
    kind: str, folder: Path, *, scores: int = 0, pooling: dict[str, bool] | None = None, normalize: bool = True,
    seed: int = 0, sentencepiece: bool = False, **fields: Any,
) -> Path:  # fmt: skip
    """Write a checkpoint in float32.

    Args:
        kind: of `ENCODERS`.
        folder: made if absent.
        scores: labels of a model that gives scores; 0: one that embeds.
        pooling: of 1_Pooling/config.json; None: no files of sentence-transformers. Without meaning for scores.
        normalize: a Normalize module follows.
        seed: the same seed gives the same bits.
        sentencepiece: of xlm-roberta, with a tokenizer as its makers' is: sentencepiece's table, words split at spaces.
        **fields: of config.json.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    folder.mkdir(parents=True, exist_ok=True)
    size = _sentencepiece(folder) if sentencepiece else _tokenizer(kind, folder)
    labels = {"num_labels": scores} if scores else {}
    config = AutoConfig.for_model(kind, **{**COMMON, **ENCODERS[kind], "vocab_size": size, **labels, **fields})
    chosen = AutoModelForSequenceClassification if scores else AutoModel
    torch.manual_seed(seed)
    model = chosen.from_config(config).eval()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=random)
            if parameter.ndim < 2:
                parameter.add_(0.2 * noise)
            else:
                table = "embeddings" in name
                parameter.copy_(0.3 * noise if table else noise / parameter.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    if pooling is not None and not scores:
        write_sentence(folder, pooling, normalize=normalize)
    return folder


def write_sentence(folder: Path, pooling: dict[str, bool], *, normalize: bool) -> None:
    """Write modules.json and what it names."""
    names = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    modules = [
        {"idx": i, "name": str(i), "path": f"{i}_{name}" if i else "", "type": f"sentence_transformers.models.{name}"}
        for i, name in enumerate(names)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": WIDTH, **pooling}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 150, "do_lower_case": False}))


@cache
def _texts() -> list[str]:
    return [document.text for document in load(None).documents if document.text and document.language == "en"]


def _tokenizer(kind: str, folder: Path) -> int:
    """Train a tokenizer of the kind that such models have, and write it; return the size of its vocabulary."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    if kind == "bert":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=list(_WORDPIECE))
        tokenizer.decoder = decoders.WordPiece()
    elif kind == "xlm-roberta":
        tokenizer = Tokenizer(models.Unigram())
        spaces = normalizers.Replace(Regex(r"\s+"), " ")
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), spaces, normalizers.Strip()])
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=VOCABULARY, special_tokens=list(_PIECES), unk_token="<unk>")
        tokenizer.decoder = decoders.Metaspace()
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY, special_tokens=list(_WORDPIECE), initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
        tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(_texts(), trainer)
    first, last, between = ("<s>", "</s>", " </s>") if kind == "xlm-roberta" else ("[CLS]", "[SEP]", "")
    second = 0 if kind == "xlm-roberta" else 1
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=f"{first} $A {last}{between} $B:{second} {last}:{second}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )  # fmt: skip
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {
        "cls_token": first,
        "sep_token": last,
        "unk_token": _special(kind, 1, 3),
        "pad_token": _special(kind, 0, 1),
    }
    inputs = ["input_ids", "token_type_ids", "attention_mask"] if kind == "bert" else ["input_ids", "attention_mask"]
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": inputs,
        "model_max_length": 160,
        **names,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return int(tokenizer.get_vocab_size())


def _sentencepiece(folder: Path) -> int:
    """Train a Unigram by sentencepiece, and write it as XLM-RoBERTa's is published; return the size of its vocabulary."""
    import io

    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    lines, trained = (line for text in _texts() for line in text.splitlines() if line.strip()), io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=trained, vocab_size=500, model_type="unigram",
        normalization_rule_name="nmt_nfkc", hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(trained.getvalue())
    first = [(piece, 0.0) for piece in _PIECES[:4]]
    vocab = [*first, *((piece.piece, piece.score) for piece in model.pieces[3:]), (_PIECES[4], 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=3))
    tokenizer.normalizer = normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([*_PIECES[:4], AddedToken(_PIECES[4], lstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token", "mask_token"), _PIECES, strict=True))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 160, "cls_token": "<s>", "sep_token": "</s>", **roles,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return int(tokenizer.get_vocab_size())


def _special(kind: str, word: int, piece: int) -> str:
    return _PIECES[piece] if kind == "xlm-roberta" else _WORDPIECE[word]


def make_states(kind: str, folder: Path, *, dense: bool = True, **fields: Any) -> Path:
    """Write a decoder's checkpoint that embeds texts: "qwen3" by its last token, "gemma3_text" both ways.

    Args:
        kind: of these.
        folder: made if absent.
        dense: of gemma3_text, with layers behind the pooling.
        **fields: of config.json.
    """
    import torch
    from safetensors.torch import save_file

    from . import tiny

    both = {"use_bidirectional_attention": True} if kind == "gemma3_text" else {}
    tiny.make(kind, folder, dtype="float32", **both, **fields)
    if kind == "qwen3":
        write_sentence(folder, {"pooling_mode_lasttoken": True, "include_prompt": True}, normalize=True)
        return folder
    write_sentence(folder, MEAN, normalize=True)
    if not dense:
        return folder
    modules = json.loads((folder / "modules.json").read_text())
    sizes = [(WIDTH, 96), (96, WIDTH)]
    random = torch.Generator().manual_seed(1)
    for number, (width, out) in enumerate(sizes, 2):
        place = folder / f"{number}_Dense"
        place.mkdir()
        identity = {"activation_function": "torch.nn.modules.linear.Identity"}
        (place / "config.json").write_text(
            json.dumps({"in_features": width, "out_features": out, "bias": False} | identity)
        )
        save_file(
            {"linear.weight": torch.randn((out, width), generator=random) / width**0.5}, place / "model.safetensors"
        )
        module = {"idx": number, "name": str(number), "path": place.name, "type": "sentence_transformers.models.Dense"}
        modules.insert(number, module)
    modules[-1] |= {"idx": len(modules) - 1, "path": f"{len(modules) - 1}_Normalize"}
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder
