"""ChatGLMs in their makers' layout, seen as GlmForCausalLM: the logits are those of a plain reading of their block."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeconv.convert import chatglm, families
from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.open_checkpoint import open_checkpoint, open_headers
from edgeconv.core.errors import CheckpointError

from ...models import chatglm_plain, tiny_chatglm

KINDS: dict[str, dict[str, Any]] = {
    "chatglm2-6b": {},
    "chatglm2-6b-32k": {"rope_ratio": 4},
    "chatglm3-6b": {},
    "chatglm3-6b-32k": {"rope_ratio": 50},
    "glm-4-9b-chat": {"rope_ratio": 500, "vocabulary": "ranks"},
    "without biases": {"add_qkv_bias": False},
    "four groups": {"multi_query_group_num": 4, "num_attention_heads": 8, "layernorm_epsilon": 1e-3},
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def native_logits(checkpoint: Checkpoint, ids: list[int]) -> torch.Tensor:
    from transformers import AutoConfig, GlmForCausalLM

    config = AutoConfig.from_pretrained(checkpoint.folder)
    model = GlmForCausalLM._from_config(config, dtype=torch.float32).eval()
    model.load_state_dict({name: torch.from_numpy(checkpoint.tensor(name).copy()) for name in checkpoint.names})
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0]


@pytest.mark.parametrize("pickled", [True, False], ids=["pickles", "safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_a_plain_reading(kind: str, pickled: bool, tmp_path: Path) -> None:
    fields = dict(KINDS[kind])
    vocabulary = fields.pop("vocabulary", "pieces")
    folder = tmp_path / kind
    weights = tiny_chatglm.make(folder, vocabulary=vocabulary, pickled=pickled, dtype=torch.float32, **fields)
    checkpoint = open_checkpoint(folder)
    ids = torch.randint(0, 1000, (100,), generator=torch.Generator().manual_seed(1)).tolist()
    got = native_logits(checkpoint, ids)
    config = tiny_chatglm.CONFIG | fields
    divides = kind.startswith("chatglm2")
    expected = chatglm_plain.logits(weights, config, ids, divides=divides)
    assert (got - expected).abs().max() < 1e-4
    if fields.get("rope_ratio", 1) != 1:  # the other reading of rope_ratio is another model
        other = chatglm_plain.logits(weights, config, ids, divides=not divides)
        assert (got - other).abs().max() > 0.1


def test_a_cut_in_the_middle_of_a_layer(tmp_path: Path) -> None:
    tiny_chatglm.make(tmp_path / "m", shards=5)
    homes: dict[str, set[str]] = {}
    for shard, file in open_checkpoint(tmp_path / "m").shards.items():
        for name in file.tensors:
            homes.setdefault(name.split(".")[2] if "layers" in name else name, set()).add(shard)
    assert len(homes["0"]) > 1 and len(homes["1"]) > 1


def test_nothing_is_copied(tmp_path: Path) -> None:
    """q, k and v follow one another in the file, and end where the source's tensor ends."""
    tiny_chatglm.make(tmp_path / "m", shards=1)
    checkpoint = open_checkpoint(tmp_path / "m")
    for kind in ("weight", "bias"):
        q, k, v = (checkpoint.info(f"model.layers.1.self_attn.{part}_proj.{kind}") for part in "qkv")
        assert (q.end, k.end) == (k.start, v.start)
        assert [info.shape[0] for info in (q, k, v)] == [128, 64, 64]
        assert checkpoint.tensor(k.name).base is not None
    assert checkpoint.tensor("lm_head.weight").dtype == np.float16
    assert checkpoint.names == set(families.decoder(checkpoint.config).tensors())
    assert checkpoint.parameters == sum(np.prod(shape) for shape in tiny_chatglm.shapes(tiny_chatglm.CONFIG).values())


def test_headers_are_enough_for_a_plan(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    tiny_chatglm.make(folder, pickled=False)
    whole = open_checkpoint(folder)
    headers, sizes = {}, {}
    for path in folder.glob("*.safetensors"):
        data = path.read_bytes()
        headers[path.name] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        sizes[path.name] = len(data)
        path.unlink()
    plan = open_headers(folder, headers, sizes)
    assert not plan.has_weights
    assert {name: plan.info(name).shape for name in plan.names} == {n: whole.info(n).shape for n in whole.names}


def test_folders(tmp_path: Path, cache: Path) -> None:
    """`folder` holds what transformers reads, in the cache; `origin` is the checkpoint's own."""
    source = tmp_path / "m"
    tiny_chatglm.make(source)
    (source / "README.md").write_text("---\nlicense: other\n---\n")
    (source / "MODEL_LICENSE").write_text("terms")
    checkpoint = open_checkpoint(source)
    assert checkpoint.origin == source and checkpoint.folder.is_relative_to(cache)
    assert {path.name for path in checkpoint.folder.iterdir()} == {
        "MODEL_LICENSE", "README.md", "chat_template.jinja", "config.json", "generation_config.json", "tokenizer.json",
        "tokenizer.model", "tokenizer_config.json",
    }  # fmt: skip
    assert open_checkpoint(source).folder == checkpoint.folder
    (source / "README.md").write_text("another")
    assert open_checkpoint(source).folder != checkpoint.folder
    assert not list(cache.rglob(".partial-*"))


def test_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "file" / "cache"))
    tiny_chatglm.make(tmp_path / "m")
    assert (open_checkpoint(tmp_path / "m").folder / "tokenizer.json").is_file()


def test_config_is_of_transformers(tmp_path: Path) -> None:
    from transformers import AutoConfig, GlmConfig

    tiny_chatglm.make(tmp_path / "m", layernorm_epsilon=1e-3)
    config = AutoConfig.from_pretrained(open_checkpoint(tmp_path / "m").folder)
    assert isinstance(config, GlmConfig)
    assert (config.num_key_value_heads, config.head_dim, config.vocab_size) == (2, 32, 1024)
    assert (config.rms_norm_eps, config.max_position_embeddings, config.attention_bias) == (1e-3, 512, True)
    assert config.rope_parameters["partial_rotary_factor"] == 0.5


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"quantization_bit": 4}, "quantization_bit = 4"),
        ({"multi_query_attention": False}, "multi_query_attention = False"),
        ({"add_bias_linear": True}, "add_bias_linear = True"),
        ({"pre_seq_len": 128}, "pre_seq_len = 128"),
        ({"original_rope": False}, "original_rope = False"),
        ({"vision_config": {"hidden_size": 1}}, "vision_config"),
        ({"inner_hidden_size": 64, "position_encoding_2d": True}, "first ChatGLM-6B"),
        ({"kv_channels": None}, "kv_channels is None"),
        ({"rope_ratio": -1}, "rope_ratio is -1"),
        ({"padded_vocab_size": 1003}, "1005 tokens"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], says: str, tmp_path: Path) -> None:
    tiny_chatglm.make(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(json.dumps(tiny_chatglm.CONFIG | fields))
    with pytest.raises(CheckpointError, match=says):
        open_checkpoint(tmp_path / "m")


def test_rows_that_do_not_fit(tmp_path: Path) -> None:
    tiny_chatglm.make(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(json.dumps(tiny_chatglm.CONFIG | {"multi_query_group_num": 1}))
    with pytest.raises(CheckpointError, match=r"query_key_value.weight is \[256, 128\].*128 \+ 32 \+ 32"):
        open_checkpoint(tmp_path / "m")


def test_only_chatglm_is_looked_at_so(builtin_model: Path) -> None:
    checkpoint = open_checkpoint(builtin_model)
    assert checkpoint.origin == checkpoint.folder == builtin_model
    assert checkpoint.model_type != chatglm.MODEL_TYPE and checkpoint.notes == ()


def test_optimum_s_int4_for_chatglm2(tmp_path: Path) -> None:
    from optimum.intel.openvino.configuration import get_default_quantization_config

    from edgeconv.convert.families.glm import CHATGLM_VOCABULARY, int4_default

    theirs = get_default_quantization_config("THUDM/chatglm2-6b", "int4")
    assert {k: theirs[k] for k in ("sym", "group_size", "ratio")} == int4_default({"vocab_size": CHATGLM_VOCABULARY})
    assert int4_default({"vocab_size": 151552}) is None
