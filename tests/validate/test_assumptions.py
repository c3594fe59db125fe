"""Sound checkpoints have no wrong row; what no file settles is listed as assumed, with its evidence."""

from __future__ import annotations

import json
import math
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.builtin import model_path
from edgeconv.convert import families
from edgeconv.convert.families.glm_edge_v_model.facts import CHAT_TEMPLATE
from edgeconv.validate.checkpoint_checks.glm_edge import EVIDENCE, MARKERS, ROTARY_NOTE, VOCABULARY
from edgeconv.validate.checkpoint_checks.row import some

from ..models import tiny_v
from ..models.tiny import FAMILIES
from .assumed import CONFIG, GENERATION, TOKENIZER, edit, of_status, remove, replace, report, rows, tensors, write

Maker = Callable[..., Path]
OPEN_FACTS = ["config: the adapter's normalization has eps = 1e-05", "config: the adapter's GELU is exact"]
SIGLIP_DEFAULTS = [f"config: vision_config.{key}" for key in ("hidden_act", "num_channels", "layer_norm_eps")]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family: str, tiny_model: Maker) -> None:
    found = rows(tiny_model(family))
    assert [name for name, row in found.items() if row.status != "ok"] == []
    assert found["engine: engine"].found.startswith("stream: ")
    assert found["config: max_position_embeddings"].found == "512 positions"
    assert found["tokens: tokenizer"].found == "4,096 tokens"


def test_the_built_in_model(builtin_model: Path) -> None:
    found = report(builtin_model)
    assert found.sound
    assert {row.status for row in found.rows} == {"ok"}
    assert (found.model_type, found.parameters, found.commit) == ("glm", 5_770_496, None)
    named = rows(builtin_model)
    assert named["template: text"].found == "the same, to the letter"
    assert named["scheme: int4"].found.startswith("int4_sym, group 128, ratio 0.8")
    assert named["config: partial_rotary_factor"].found.startswith("1: 64 of 64")


@pytest.mark.parametrize(
    "options", [{}, {"pooling_head": True}, {"max_shard_size": "200KB"}, {"tie_word_embeddings": True}]
)
def test_a_model_that_sees(options: dict[str, Any], tiny_vision_model: Maker) -> None:
    folder = tiny_vision_model(**options)
    found = rows(folder)
    assert report(folder).model_type == "glm_edge_v"
    assert of_status(folder, "wrong") == []
    assert of_status(folder, "assumed") == [*SIGLIP_DEFAULTS, *OPEN_FACTS]
    assert all(found[fact].note in EVIDENCE.values() for fact in OPEN_FACTS)
    assert found["pictures: image tokens"].expected == "6 <|begin_of_image|> a picture: (56/14/2)² + 2"
    assert found["scheme: int4"].found.startswith("int4_sym, group 64, ratio 0.6")
    left = found["tensors: left over"].found
    assert ("2 known to be unused" in left) == bool(options.get("pooling_head"))


def test_evidence_is_there_for_every_open_fact(tiny_vision_model: Maker) -> None:
    assert len(EVIDENCE) == sum("no config states it" in row.found for row in report(tiny_vision_model()).rows)


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Path], Path]:
    return lambda source: shutil.copytree(source, tmp_path / "model")


def assumed_after(folder: Path, change: Callable[[Path], object], name: str) -> str:
    """Found, with its note, after a change that makes exactly this row (more) assumed."""
    before = of_status(folder, "assumed")
    change(folder)
    assert of_status(folder, "wrong") == []
    assert set(of_status(folder, "assumed")) - set(before) == {name}
    row = rows(folder)[name]
    return f"{row.found} ({row.note})"


def test_a_value_that_config_json_leaves_out(tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_model("llama"))
    said = assumed_after(folder, edit(CONFIG, rms_norm_eps=None), "config: rms_norm_eps")
    assert said == "absent; 1e-06 is used (transformers' default)"


def test_a_rotary_factor_that_is_left_out_is_doubted(tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_model("glm"))
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    change = edit(CONFIG, partial_rotary_factor=None, rope_parameters=rope)
    said = assumed_after(folder, change, "config: partial_rotary_factor")
    assert said == f"absent; 0.5 is used ({ROTARY_NOTE})"


def test_positions_that_are_left_out(tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_model("qwen2"))
    assert "absent" in assumed_after(
        folder, edit(CONFIG, max_position_embeddings=None), "config: max_position_embeddings"
    )


def test_another_template_is_used_as_it_is(tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_model("glm"))
    said = assumed_after(folder, replace("chat_template.jinja", "<|user|>\n", "<|user|> "), "template: text")
    assert "another from character" in said
    assert "the checkpoint's own template is used" in said


MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token}}{% endif %}{% endfor %}"
)


def test_a_template_that_knows_of_no_opening(tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    """Mistral's and Llama 2's official ones."""
    folder = copy(tiny_model("llama"))
    (folder / "chat_template.jinja").write_text(MISTRAL)
    (row,) = [row for row in rows(folder).values() if row.name == "plain conversation"]
    assert row.status == "assumed"


def test_a_class_of_which_transformers_makes_another_tokenizer(tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_model("llama"))
    path = folder / "tokenizer_config.json"
    stated = json.loads(path.read_text())
    assert "tokens: pipeline" not in rows(folder)
    path.write_text(json.dumps(stated | {"tokenizer_class": "LlamaTokenizerFast"}))
    row = rows(folder)["tokens: pipeline"]
    assert (row.status, "transformers rebuilds it otherwise" in row.note) == ("assumed", True)


def test_a_final_newline_is_no_other_template(builtin_model: Path, copy: Callable[[Path], Path]) -> None:
    folder = copy(builtin_model)
    write("chat_template.jinja", (folder / "chat_template.jinja").read_text("utf-8") + "\n")(folder)
    assert of_status(folder, "assumed") == []


def test_a_tied_model_that_stores_its_head(tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_model("llama", tie_word_embeddings=True))
    twice = tensors(lambda stored: stored.update({"lm_head.weight": stored["model.embed_tokens.weight"].clone()}))
    assert "compares every value" in assumed_after(folder, twice, "tensors: lm_head.weight")
    tensors(lambda stored: stored.update({"lm_head.weight": stored["lm_head.weight"][:-1].clone()}))(folder)
    assert of_status(folder, "wrong") == ["tensors: lm_head.weight"]


def test_buffers_of_old_checkpoints_are_known(tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_model("llama"))
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    tensors(lambda stored: stored.update({name: stored["model.norm.weight"].clone()}))(folder)
    assert of_status(folder, "wrong") == []
    assert name in rows(folder)["tensors: left over"].found


def test_ends_that_only_one_file_states(tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_model("llama"))
    remove(GENERATION)(folder)
    assert of_status(folder, "wrong") == of_status(folder, "assumed") == []
    said = assumed_after(folder, edit(CONFIG, eos_token_id=None), "tokens: eos_token_id")
    assert "runtimes take the tokenizer's eos_token" in said


def test_ends_that_differ(tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_model("llama"))
    edit(GENERATION, eos_token_id=[4084, 4091])(folder)
    assert of_status(folder, "wrong") == []
    assert of_status(folder, "assumed") == ["tokens: eos_token_id in config.json"]
    edit(CONFIG, eos_token_id=4084)(folder)  # fewer are not contradiction
    assert of_status(folder, "assumed") == []


def test_a_tokenizer_of_other_files_is_left_to_transformers(tiny_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_model("llama"))
    remove(TOKENIZER)(folder)
    assert "there is no tokenizer.json" in assumed_after(folder, write("tokenizer.model", "x"), "tokens: tokenizer")


def test_steps_that_the_preparation_leaves_out(tiny_vision_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_vision_model())
    change = edit("preprocessor_config.json", do_pad=None, rescale_factor=None, max_image_tiles=None)
    assert "do_pad True, rescale_factor 1/255, max_image_tiles 1" in assumed_after(
        folder, change, "pictures: preparation"
    )


def test_an_end_of_image_that_no_file_states(tiny_vision_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_vision_model())
    assert "no use for it" in assumed_after(folder, edit(CONFIG, eoi_token_id=None), "pictures: eoi_token_id")


def test_code_that_is_not_needed_is_not_run(tiny_vision_model: Maker, copy: Callable[[Path], Path]) -> None:
    folder = copy(tiny_vision_model())
    (folder / "modeling_glm.py").write_text("raise SystemExit('it was run')")
    assert rows(folder)["engine: custom code"].status == "ok"
    assert "it is not run" in rows(folder)["engine: custom code"].found


def test_an_unknown_block_goes_to_the_trace_engine(tiny_model: Maker) -> None:
    assert rows(tiny_model("mistral", sliding_window=32))["engine: engine"].found.startswith("stream: ")
    found = rows(tiny_model("starcoder2"))
    assert found["engine: engine"].found.startswith("trace: no block is known of model_type starcoder2")
    assert found["tensors: names"].status == "assumed"


def test_long_lists_are_cut() -> None:
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(list("abcde")) == "a, b, c and 2 more"


def test_nothing_heavy_is_imported(builtin_model: Path) -> None:
    code = (
        "import sys; from edgeconv.cli.main import run; "
        f"code = run(['doctor', '--model', {str(builtin_model)!r}, '--json']); "
        "sys.exit(code or ', '.join({'torch', 'transformers', 'openvino', 'nncf'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


PUBLISHED: dict[str, Any] = {
    "architectures": ["GlmForCausalLM"], "model_type": "glm", "attention_bias": False, "boi_token_id": 59256,
    "eoi_token_id": 59257, "eos_token_id": [59246, 59253, 59255], "pad_token_id": 59246, "vocab_size": VOCABULARY,
    "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16,
    "num_key_value_heads": 4, "head_dim": 128, "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "partial_rotary_factor": 1.0, "tie_word_embeddings": False, "max_position_embeddings": 8192,
    "vision_config": {
        "hidden_size": 1152, "image_size": 672, "intermediate_size": 4304, "model_type": "siglip_vision_model",
        "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14,
    },
}  # fmt: skip
"""GLM-Edge-V-2B, as far as it is known."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GLM-Edge-V-2B's geometry and ids, 4 GB of which only the header takes room on the disk."""
    folder = tmp_path_factory.mktemp("published")
    write_json(folder / CONFIG, PUBLISHED)
    write_json(folder / GENERATION, {"eos_token_id": PUBLISHED["eos_token_id"], "pad_token_id": 59246})
    size = {"size": {"height": 672, "width": 672}}
    write_json(folder / "preprocessor_config.json", tiny_v.PREPROCESSOR | size)
    write_json(
        folder / "tokenizer_config.json",
        {"eos_token": "<|endoftext|>", "chat_template": CHAT_TEMPLATE.format(image_tokens=578)},
    )
    tokenizer = json.loads((model_path() / TOKENIZER).read_text("utf-8"))
    words = tokenizer["model"]["vocab"]
    words |= {f"filler {number}": number for number in range(len(words), 59246)}
    for number, token in enumerate(tokenizer["added_tokens"], 59246):
        token["id"] = number
    write_json(folder / TOKENIZER, tokenizer)
    decoder = families.decoder(PUBLISHED)
    vision = families.vision(PUBLISHED, ["model.vision.adapter.boi"], decoder)
    assert vision
    write_header(folder / "model.safetensors", decoder.tensors() | vision.tensors())
    return folder


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), "utf-8")


def write_header(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def test_the_published_geometry_and_ids(published: Path) -> None:
    found, named = report(published), rows(published)
    assert found.sound
    assert of_status(published, "assumed") == [*SIGLIP_DEFAULTS, *OPEN_FACTS]
    assert named["tensors: names"].found == "all 674"
    assert found.parameters == 1_593_427_968 + 466_192_112
    assert named["pictures: image tokens"].expected == "578 <|begin_of_image|> a picture: (672/14/2)² + 2"
    assert named["pictures: boi_token_id"].found == "59256 <|begin_of_image|>"
    assert all(f"{number} {text}" in named["tokens: role tokens"].found for text, number in MARKERS.items())
    assert named["scheme: groups"].found == "rows are multiples of 64"


def test_ids_that_are_not_the_published_ones(published: Path, tmp_path: Path) -> None:
    """In a vocabulary of GLM-Edge's size the ids themselves are known, not only that they agree with the tokenizer."""
    folder = tmp_path / "other"
    folder.mkdir()
    for path in published.iterdir():
        (folder / path.name).symlink_to(path)
    text = (published / TOKENIZER).read_text("utf-8")
    (folder / TOKENIZER).unlink()
    swapped = text.replace("<|system|>", "<|x|>").replace("<eop>", "<|system|>").replace("<|x|>", "<eop>")
    (folder / TOKENIZER).write_text(swapped, "utf-8")
    assert of_status(folder, "wrong") == ["tokens: role tokens"]
    assert "59251 <|system|>" in rows(folder)["tokens: role tokens"].found
