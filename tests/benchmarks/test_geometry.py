import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from edgeconv.benchmarks import chatglm, geometry, published

SMALL = geometry.Geometry(hidden=64, intermediate=96, layers=2, heads=4, kv_heads=2, head_dim=16, vocab=4200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return geometry.make(tmp_path_factory.mktemp("geometry"), SMALL, shard_bytes=300_000)


@pytest.mark.parametrize(
    ("size", "parameters", "tensors"),
    [
        (geometry.GLM_EDGE_1_5B, 1_593_427_968, 227),
        (geometry.GLM_EDGE_4B, 4_327_984_128, 323),
        (geometry.GLM_EDGE_V_2B, 1_593_427_968 + 466_192_112, 227 + 447),
        (geometry.GLM_EDGE_V_5B, 4_327_984_128 + 513_907_440, 323 + 447),
    ],
)
def test_sizes_are_those_of_glm_edge(size, parameters, tensors):
    assert size.parameters() == parameters
    assert len(size.tensors()) == tensors


@pytest.mark.parametrize(
    ("size", "billions", "tensors"),
    [
        ("qwen3.5-4b", 4.206, 426),
        ("gemma4-e2b", 4.629, 540),
        ("lfm2-1.2b", 1.170, 148),
        ("lfm2-8b-a1b", 8.340, 2302),
        ("gemma3-4b", 4.300, 883),
        ("qwen2.5-vl-3b", 3.755, 824),
        ("qwen3-vl-2b", 2.128, 625),
        ("smolvlm2-2.2b", 2.247, 657),
        ("internvl3-2b", 2.089, 781),
        ("ministral3-3b", 3.849, 458),
    ],
)
def test_published_sizes(size, billions, tensors):
    known = geometry.SIZES[size]
    assert round(known.parameters() / 1e9, 3) == billions
    assert len(known.tensors()) == tensors


@pytest.mark.parametrize("size", ["qwen3.5-4b", "lfm2-8b-a1b"])
def test_a_published_size_is_taken_by_transformers(tmp_path, size):
    """With its layers, experts and widths shrunk, so that there is something to load."""
    known = geometry.SIZES[size]
    small = {"vocab_size": 4200, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_experts": 4}
    small |= {"moe_intermediate_size": 32, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "head_dim": 32}
    if "layer_types" in known.fields:
        small["layer_types"] = known.fields["layer_types"][:4]
    folder = geometry.make(tmp_path / "m", published.Published(known.fields | small))
    _, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_transformers_takes_every_tensor(folder):
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert type(model).__name__ == "GlmForCausalLM"
    assert sum(p.numel() for p in model.parameters()) == SMALL.parameters()
    rotated = model.model.rotary_emb.inv_freq.numel() * 2
    assert rotated == SMALL.head_dim
    assert model(torch.tensor([[1, 2, 3]])).logits.isfinite().all()


def test_shards_and_index_agree(folder):
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 2
    found = {}
    for shard in shards:
        with safe_open(shard, "pt") as file:
            found |= {name: (shard.name, tuple(file.get_slice(name).get_shape())) for name in file.keys()}  # noqa: SIM118
    assert {name: shape for name, (_, shape) in found.items()} == SMALL.tensors()
    assert {name: shard for name, (shard, _) in found.items()} == index["weight_map"]
    assert index["metadata"]["total_size"] == 2 * SMALL.parameters()


def test_weights_are_bell_shaped_with_a_width_a_row(tmp_path):
    wide = geometry.Geometry(hidden=1024, intermediate=512, layers=1, heads=4, kv_heads=2, head_dim=32, vocab=4200)
    with safe_open(geometry.make(tmp_path / "m", wide) / "model.safetensors", "pt") as file:
        weight = file.get_tensor("model.layers.0.mlp.gate_up_proj.weight").float()
    widths = weight.std(dim=1, keepdim=True)
    assert widths.max() > 4 * widths.min()
    kurtosis = ((weight - weight.mean(dim=1, keepdim=True)) / widths).pow(4).mean()
    assert abs(kurtosis - 3) < 0.1  # 3 for a normal distribution, 1.8 for a uniform one
    assert weight.unique(dim=0).shape == weight.shape


def test_markers_lie_where_glm_edge_has_them(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    assert len(tokenizer) == SMALL.vocab
    markers = ["<|endoftext|>", "<|user|>", "<|observation|>"]
    assert tokenizer.convert_tokens_to_ids(markers) == config["eos_token_id"] == [4182, 4189, 4191]
    text = "The capital of 日本\n[unused4100]"
    ids = tokenizer(text + "<|user|>")["input_ids"]
    assert ids[-1] == 4189
    assert max(ids[:-1]) < 4084
    assert tokenizer.decode(ids[:-1]) == text


def test_one_that_sees_is_a_whole_checkpoint(tmp_path):
    from edgeconv.convert.conversion import Job, plan
    from edgeconv.convert.families import glm_edge_v_model as glm_edge_v
    from edgeconv.quantize.scheme import Request

    tower = geometry.SIGLIP | {"hidden_size": 32, "image_size": 56, "intermediate_size": 48, "num_attention_heads": 2}
    seeing = replace(SMALL, vision=tower | {"num_hidden_layers": 2})
    folder = geometry.make(tmp_path / "v", seeing)
    model = glm_edge_v.load(folder)  # refuses tensors that are missing, left over or of another shape
    assert sum(p.numel() for p in model.parameters()) == seeing.parameters()
    assert glm_edge_v.load_processor(folder).image_tokens == 6
    planned = plan(Job(str(folder), Request("int4"), output=tmp_path / "ov"))
    assert (planned.model_type, planned.parameters) == ("glm_edge_v", seeing.parameters())


def test_same_seed_same_bits(folder, tmp_path):
    again = geometry.make(tmp_path / "again", SMALL, shard_bytes=300_000)
    other = geometry.make(tmp_path / "other", SMALL, shard_bytes=300_000, seed=1)
    names = [path.name for path in folder.glob("*.safetensors")]
    assert all((folder / name).read_bytes() == (again / name).read_bytes() for name in names)
    assert not any((folder / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_refuses_a_folder_in_use_and_a_vocabulary_too_small(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        geometry.make(tmp_path, SMALL)
    tiny = geometry.Geometry(hidden=8, intermediate=8, layers=1, heads=1, kv_heads=1, head_dim=8, vocab=4000)
    with pytest.raises(ValueError, match="too small"):
        geometry.make(tmp_path / "m", tiny)


def test_chatglm_is_one_of_its_makers(tmp_path, monkeypatch):
    from sentencepiece import SentencePieceProcessor

    from edgeconv.convert.open_checkpoint import open_checkpoint

    assert geometry.CHATGLM2_6B.parameters() == 6_243_584_000  # as its makers count them
    assert len(geometry.CHATGLM2_6B.tensors()) == 199
    whole = SentencePieceProcessor(model_proto=chatglm.vocabulary(geometry.CHATGLM2_6B.pieces))
    assert (whole.vocab_size(), whole.eos_id(), whole.unk_id()) == (64789, 2, 0)
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    small = replace(
        geometry.CHATGLM2_6B, hidden_size=64, ffn_hidden_size=96, num_layers=2, num_attention_heads=4, kv_channels=16,
        padded_vocab_size=4096, pieces=4000,
    )  # fmt: skip
    folder = geometry.make(tmp_path / "m", small, shard_bytes=300_000)
    assert len(list(folder.glob("*.bin"))) > 2
    checkpoint = open_checkpoint(folder)
    assert checkpoint.parameters == small.parameters()
    assert checkpoint.tensor("model.layers.0.self_attn.k_proj.weight").std() > 0.05
    original = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert original.vocab_size() == 4000
    text = "the people 一丁 \n x1"
    made = AutoTokenizer.from_pretrained(checkpoint.folder)(text, add_special_tokens=False)["input_ids"]
    assert made == original.encode(text)
