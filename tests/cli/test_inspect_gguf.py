"""`edgeconv inspect` of GGUF files: edgeconv's own, and those of others with what is wrong in them."""

import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from edgeconv.convert.conversion import GgufJob, run
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.manifest import MANIFEST_NAME

from .conftest import Command
from .test_inspect import facts


@pytest.fixture(scope="module")
def made(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(GgufJob(str(builtin_model), recipe("int4"), output=tmp_path_factory.mktemp("a") / "out")).path


def sections(text: str) -> list[dict[str, str]]:
    return [facts(part) for part in text.split("\n\n")]


def test_a_folder_of_ours(edgeconv: Command, made: Path) -> None:
    result = edgeconv("inspect", made)
    assert result.code == 0
    manifest, model, *_ = sections(result.out)
    assert manifest["scheme"] == "Q4_K_M"
    assert manifest["files"] == "1, all whole"
    assert model["architecture"] == "chatglm"
    assert model["file type"] == "Q4_K_M"
    assert model["context length"] == "8,192"
    assert model["rope base"] == "10000"
    assert model["pre tokenizer"] == "chatglm-bpe"
    assert model["chat template"] == "present"
    assert model["end tokens"].startswith("4084 <|endoftext|>, 4091 <|user|>")
    assert "warning" not in result.out
    table = [line.split() for line in result.out.split("\n\n")[2].splitlines()]
    assert table[1] == ["q4_k", "32", "32", "4,259,840", "2.4", "MB"]


def test_tensors_are_listed_on_demand(edgeconv: Command, made: Path) -> None:
    assert "blk.3.ffn_up.weight" not in edgeconv("inspect", made).out
    assert "blk.3.ffn_up.weight" in edgeconv("inspect", made, "--tensors").out
    models = edgeconv("inspect", made, "--tensors", "--json").data["models"]
    assert len(models[0]["tensors"]) == 50


def test_a_file_alone_is_unchecked(edgeconv: Command, made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(next(made.glob("*.gguf")), tmp_path / "x.gguf"))
    for where in (path, tmp_path):
        result = edgeconv("inspect", where)
        assert result.code == 0
        assert "There is no edgeconv.json" in result.out
        assert sections(result.out)[1]["architecture"] == "chatglm"
    assert edgeconv("inspect", path, "--json").data["manifest"] is None


def test_a_flipped_bit_is_found_in_a_folder_and_beside_a_sidecar(
    edgeconv: Command, builtin_model: Path, tmp_path: Path
) -> None:
    for output in (tmp_path / "out", tmp_path / "x.gguf"):
        path = run(GgufJob(str(builtin_model), recipe("q8_0"), output=output)).path
        file = path if path.is_file() else path / "glm_tiny-Q8_0.gguf"
        data = bytearray(file.read_bytes())
        data[-100] ^= 1
        file.write_bytes(data)
        result = edgeconv("inspect", path)
        assert result.code == 1
        assert f"{file.name} is damaged" in result.err
        file.unlink()
        (tmp_path / "neighbor").mkdir(exist_ok=True)
        assert edgeconv("inspect", path).code == 1


def test_a_manifest_of_a_later_version(edgeconv: Command, made: Path, tmp_path: Path) -> None:
    out = shutil.copytree(made, tmp_path / "out")
    text = (out / MANIFEST_NAME).read_text().replace('"pure": false', '"pure": false, "rotation": "hadamard"')
    (out / MANIFEST_NAME).write_text(text)
    assert "rotation hadamard" in facts(edgeconv("inspect", out).out)["scheme"]


def write(path: Path, changes: dict[str, Any], arch: str = "llama") -> Path:
    """A small GGUF as another tool would write it; a change to None leaves a key out."""
    stated: dict[str, Any] = {
        "llama.context_length": 512,
        "llama.embedding_length": 64,
        "llama.rope.dimension_count": 16,
        "llama.rope.freq_base": 1e4,
        "general.file_type": 7,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": ["a", "<end>"],
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.chat_template": "{{ messages }}",
    }
    writer = gguf.GGUFWriter(path, arch)
    for name, value in (stated | changes).items():
        key = name.replace("llama.", f"{arch}.")
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif value is not None:
            writer.add_uint32(key, value)
    writer.add_tensor("token_embd.weight", np.zeros((4, 68), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("output_norm.weight", np.zeros(64, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_sound_file_of_another_tool(edgeconv: Command, tmp_path: Path) -> None:
    document = edgeconv("inspect", write(tmp_path / "a.gguf", {}), "--json").data["models"][0]
    assert document["warnings"] == []
    assert document["facts"]["end_tokens"] == ["1 <end>"]
    assert document["facts"]["file_type"] == "Q8_0"
    assert document["precisions"][0] == {
        "precision": "q8_0", "group_size": 32, "tensors": 1, "parameters": 256, "bytes": 272,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"llama.context_length": None}, "context length is not stated"),
        ({"tokenizer.ggml.eos_token_id": None}, "No end token"),
        ({"tokenizer.ggml.eos_token_id": 2}, "The end token 2 is none of the 2 tokens"),
        ({"tokenizer.chat_template": None}, "no chat template"),
        ({"tokenizer.ggml.pre": None}, "pre-tokenizer is not stated"),
        ({"tokenizer.ggml.pre": "default"}, "pre-tokenizer is not stated"),
        ({"tokenizer.ggml.pre": "none-such"}, "'none-such' is none"),
        ({"general.file_type": 15}, "calls itself Q4_K_M, but no matrix is stored so: 100% of the weights are q8_0"),
        ({"llama.rope.freq_base": None}, "base of the rotary embeddings is not stated"),
    ],
)
def test_what_looks_wrong(changes: dict[str, Any], said: str, edgeconv: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf", changes)
    warnings = edgeconv("inspect", path, "--json").data["models"][0]["warnings"]
    assert len(warnings) == 1
    assert said in warnings[0]
    assert f"warning: {warnings[0]}" in edgeconv("inspect", path).out


def test_a_context_as_long_as_the_model_is_wide(edgeconv: Command, tmp_path: Path) -> None:
    """Llama 2 7B has 4,096 of both; of a ChatGLM it is what a converter takes where it finds no length."""
    for arch, count in (("llama", 0), ("chatglm", 1)):
        path = write(tmp_path / f"{arch}.gguf", {"llama.context_length": 64}, arch)
        warnings = edgeconv("inspect", path, "--json").data["models"][0]["warnings"]
        assert len([said for said in warnings if "The context length of 64 is the width" in said]) == count


NO_TEXT: dict[str, tuple[str, dict[str, Any]]] = {
    "an encoder": ("bert", {"tokenizer.ggml.model": "bert"}),
    "a causal encoder": ("llama", {"llama.attention.causal": False}),
    "an embedding model": ("qwen3", {"llama.pooling_type": 3}),
    "an encoder of T5": ("t5encoder", {"tokenizer.ggml.model": "t5"}),
    "a model of pictures": ("flux", {"tokenizer.ggml.tokens": None, "llama.context_length": None}),
}


@pytest.mark.parametrize("name", NO_TEXT)
def test_a_model_that_makes_no_text_is_not_judged_as_one(name: str, edgeconv: Command, tmp_path: Path) -> None:
    arch, changes = NO_TEXT[name]
    path = write(
        tmp_path / "a.gguf", {"tokenizer.chat_template": None, "tokenizer.ggml.eos_token_id": None, **changes}, arch
    )
    assert edgeconv("inspect", path, "--json").data["models"][0]["warnings"] == []


def test_values_of_other_kinds_do_no_harm(edgeconv: Command, tmp_path: Path) -> None:
    changes = {
        "general.name": "evil \x1b[2J name",
        "general.file_type": "q8",
        "llama.attention.head_count": [8, 8, 4],
        "tokenizer.ggml.tokens": "none",
        "tokenizer.ggml.eos_token_id": "end",
        "tokenizer.ggml.pre": ["a"],
        "tokenizer.chat_template": 3,
    }
    result = edgeconv("inspect", write(tmp_path / "a.gguf", changes))
    assert result.code == 0
    assert "\x1b" not in result.out
    assert sections(result.out)[1]["heads"] == "4, 8"


def test_rows_too_narrow_for_the_mix_are_no_fault(edgeconv: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf", {"general.file_type": 18})  # q6_k falls back on q8_0
    assert edgeconv("inspect", path, "--json").data["models"][0]["warnings"] == []


def test_files_that_hold_no_language_model_are_not_judged_as_one(edgeconv: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "mmproj.gguf", {"general.type": "mmproj", "tokenizer.chat_template": None})
    assert edgeconv("inspect", path, "--json").data["models"][0]["warnings"] == []


def test_a_hostile_file_is_refused(edgeconv: Command, tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(8) + (1 << 60).to_bytes(8, "little"))
    result = edgeconv("inspect", path)
    assert result.code == 1
    assert "more than it can hold" in result.err


def test_pieces_of_a_file_are_told_wherever_they_are_given(edgeconv: Command, made: Path, tmp_path: Path) -> None:
    whole = next(made.glob("*.gguf")).read_bytes()
    for number, piece in enumerate((whole[: 1 << 16], whole[1 << 16 :]), 1):
        path = tmp_path / f"x.gguf.part{number}of2"
        path.write_bytes(piece)
        for words in (("inspect", path), ("gguf", "--model", path), ("openvino", "--model", path)):
            result = edgeconv(*words)
            assert result.code == 1
            assert "join all pieces" in result.err
