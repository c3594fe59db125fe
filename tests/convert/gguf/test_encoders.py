"""GGUF files of encoders: names as llama.cpp's package knows them, WordPiece's vocabulary, and refusals."""

import base64
import json

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file

from edgeconv.convert import encoders
from edgeconv.convert.gguf import encoders as gguf_encoders
from edgeconv.convert.gguf import tokenizer
from edgeconv.convert.gguf.describe import describe_as_claimed, of_checkpoint
from edgeconv.convert.gguf.vocabulary import TokenType
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import CheckpointError

from ...models import tiny_encoder

CASES = ("bert", "xlm-roberta", "modernbert")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def get(kind, scores=0):
        if (kind, scores) not in made:
            place = tmp_path_factory.mktemp("encoder") / f"{kind}-{scores}"
            made[kind, scores] = tiny_encoder.make(kind, place, scores=scores, pooling=tiny_encoder.MEAN)
        return made[kind, scores]

    return get


def described(folder):
    checkpoint = open_checkpoint(folder)
    encoder = encoders.describe(checkpoint.config, checkpoint.names, checkpoint.sentence)
    return checkpoint, gguf_encoders.describe(encoder)


@pytest.mark.parametrize("kind", CASES)
def test_names_are_those_of_the_converter(folders, kind):
    checkpoint, model = described(folders(kind))
    arch = next(one for one, name in gguf.MODEL_ARCH_NAMES.items() if name == model.arch)
    known = gguf.get_tensor_name_map(arch, model.decoder.num_layers)
    for tensor in model.tensors:
        assert known.get_name(tensor.source, try_suffixes=(".weight", ".bias")) == tensor.name
    assert {tensor.source for tensor in model.tensors} == set(checkpoint.names) - {
        name for name in checkpoint.names if "pooler" in name
    }


def test_positions_begin_behind_the_padding(folders):
    checkpoint, model = described(folders("xlm-roberta"))
    (places,) = (one for one in model.tensors if one.name == "position_embd.weight")
    whole = checkpoint.tensor(places.source)
    assert places.shape == (160, 64) == (model.keys["bert.context_length"].content, 64)
    np.testing.assert_array_equal(places.held.cut(whole, 0, 160), whole[2:])


def test_words_have_a_space_in_front(folders):
    folder = folders("bert")
    held = tokenizer.read(folder, 600, json.loads((folder / "config.json").read_text()), {})
    vocab = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    assert held.model == "bert"
    assert (held.special["bos"], held.special["sep"]) == (vocab["[CLS]"], vocab["[SEP]"])
    for token, number in vocab.items():
        marker = token.startswith("[") and token.endswith("]")
        assert held.types[number] == (TokenType.CONTROL if marker else TokenType.NORMAL)
        assert held.tokens[number] == (token if marker else token[2:] if token[:2] == "##" else "\u2581" + token)


@pytest.mark.parametrize(
    ("part", "field", "value", "said"),
    [
        ("normalizer", "lowercase", False, "lowercase off"),
        ("normalizer", "strip_accents", False, "accents"),
        ("normalizer", "handle_chinese_chars", False, "handle_chinese_chars off"),
        ("pre_tokenizer", "type", "Whitespace", "split"),
        ("model", "continuing_subword_prefix", "@@", "##"),
        ("post_processor", None, None, "one token"),
    ],
)
def test_another_wordpiece_is_refused(folders, tmp_path, part, field, value, said):
    content = json.loads((folders("bert") / "tokenizer.json").read_text())
    if field:
        content[part][field] = value
    else:
        content[part] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=said):
        tokenizer.read(tmp_path, 600, {}, {})


def test_scores_are_refused(folders):
    checkpoint = open_checkpoint(folders("bert", 1))
    with pytest.raises(CheckpointError, match="scores"):
        describe_as_claimed(checkpoint.config, checkpoint.names, checkpoint.sentence)


def test_another_activation_is_refused(folders):
    checkpoint = open_checkpoint(folders("bert"))
    with pytest.raises(CheckpointError, match="always GELU"):
        describe_as_claimed({**checkpoint.config, "hidden_act": "silu"}, checkpoint.names, checkpoint.sentence)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"norm_bias": True}, "biases"),
        ({"layer_types": ["sliding_attention", "full_attention", "full_attention"]}, "every so many"),
    ],
)
def test_a_modernbert_that_llama_cpp_lacks_is_refused(folders, fields, said):
    checkpoint = open_checkpoint(folders("modernbert"))
    with pytest.raises(CheckpointError, match=said):
        describe_as_claimed({**checkpoint.config, **fields}, checkpoint.names, checkpoint.sentence)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"layer_types": ["full_attention", *["sliding_attention"] * 5]}, "each 6th"),
        ({"query_pre_attn_scalar": 7}, "width of a head"),
        ({"attn_logit_softcapping": 30.0}, "caps"),
    ],
)
def test_a_gemma_that_llama_cpp_lacks_is_refused(tmp_path, fields, said):
    folder = tiny_encoder.make_states("gemma3_text", tmp_path / "gemma", dense=False, **tiny_encoder.SIX)
    checkpoint = open_checkpoint(folder)
    with pytest.raises(CheckpointError, match=said):
        describe_as_claimed({**checkpoint.config, **fields}, checkpoint.names, checkpoint.sentence)


def test_layers_behind_the_pooling_are_tensors_of_the_file(tmp_path):
    folder = tiny_encoder.make_states("gemma3_text", tmp_path / "gemma", **tiny_encoder.SIX)
    checkpoint = open_checkpoint(folder)
    model = of_checkpoint(checkpoint)
    behind = {tensor.name: tensor for tensor in model.tensors if tensor.source is None}
    assert {name: one.shape for name, one in behind.items()} == {"dense_2.weight": (96, 64), "dense_3.weight": (64, 96)}
    stored = load_file(folder / "2_Dense" / "model.safetensors")["linear.weight"]
    np.testing.assert_array_equal(behind["dense_2.weight"].values, stored)
    assert model.keys["gemma-embedding.dense_2_feat_out"].content == 96
    (folder / "2_Dense" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"2_Dense/model\.safetensors is missing"):
        of_checkpoint(checkpoint)


def test_other_layers_behind_the_pooling_are_refused(tmp_path):
    folder = tiny_encoder.make_states("gemma3_text", tmp_path / "gemma", **tiny_encoder.SIX)
    config = folder / "2_Dense" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "bias": True}))
    checkpoint = open_checkpoint(folder)
    with pytest.raises(CheckpointError, match="two without biases"):
        describe_as_claimed(checkpoint.config, checkpoint.names, checkpoint.sentence)


def test_a_unigram_has_its_scores_and_its_table(tmp_path):
    folder = tiny_encoder.make("xlm-roberta", tmp_path / "e5", sentencepiece=True)
    content = json.loads((folder / "tokenizer.json").read_text())
    size = len(content["model"]["vocab"])
    held = tokenizer.read(folder, size, {}, {})
    assert held.model == "t5"
    assert (held.special["bos"], held.special["eos"], held.special["pad"]) == (0, 2, 1)
    assert [[token, score] for token, score in zip(held.tokens, held.scores, strict=True)] == content["model"]["vocab"]
    assert base64.b64encode(held.charsmap).decode() == content["normalizer"]["precompiled_charsmap"]
    assert held.keys()["tokenizer.ggml.precompiled_charsmap"].pack()[16:] == held.charsmap
    for field, value, said in (
        ("normalizer", {"type": "NFKC"}, "other steps"),
        ("pre_tokenizer", {"type": "Metaspace", "replacement": "\u2581"}, "split otherwise"),
        ("post_processor", None, "one token"),
        ("model", {**content["model"], "unk_id": None}, "unknown"),
        ("model", {**content["model"], "byte_fallback": True}, "bytes"),
    ):
        (folder / "tokenizer.json").write_text(json.dumps({**content, field: value}))
        with pytest.raises(CheckpointError, match=said):
            tokenizer.read(folder, size, {}, {})
