"""`edgeconv gguf` on the built-in model, whole: options, plans, results, refusals."""

from pathlib import Path

import pytest

from edgeconv.convert import conversion
from edgeconv.convert.gguf.read import open_gguf

from ..hub import conftest as of_the_hub
from ..hub.server import HubServer
from .conftest import Command

hub = of_the_hub.hub
NAME = "glm_tiny-Q4_K_M.gguf"


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[conversion.GgufJob]:
    """The jobs that the command asked to be planned; nothing runs."""
    seen: list[conversion.GgufJob] = []
    true_plan = conversion.plan

    def plan(job: conversion.GgufJob, progress: object = None) -> conversion.GgufPlan:
        seen.append(job)
        return true_plan(job)

    monkeypatch.setattr(conversion, "plan", plan)
    return seen


def test_from_a_checkpoint_to_a_file_that_llama_cpp_loads(
    edgeconv: Command, builtin_model: Path, tmp_path: Path
) -> None:
    from ..convert.gguf import llama_cpp

    result = edgeconv("gguf", "--model", builtin_model, "--output", tmp_path / "out")
    assert (result.code, result.out) == (0, f"{tmp_path / 'out'}\n")
    for text in ("Writing tensors …", "Q4_K_M: 32 q4_k", "bits per weight", "5.05", "11.8 MB → 3.8 MB"):
        assert text in result.err
    assert llama_cpp.load(tmp_path / "out" / NAME).n_vocab == 4096


@pytest.mark.parametrize(
    ("options", "file_type"),
    [
        ("", "q4_k_m"),
        ("--precision int4", "q4_k_m"),
        ("--precision int8", "q8_0"),
        ("--precision bf16", "bf16"),
        ("--precision fp16", "f16"),
        ("--precision fp32", "f32"),
        ("--type q5_k_m", "q5_k_m"),
        ("--type Q3_K", "q3_k_m"),
    ],
)
def test_precisions_and_types(
    options: str, file_type: str, edgeconv: Command, jobs: list[conversion.GgufJob], builtin_model: Path
) -> None:
    result = edgeconv("gguf", "-m", builtin_model, *options.split(), "--dry-run", "--json")
    assert result.code == 0, result.err
    assert result.data["recipe"]["file_type"] == jobs[0].recipe.file_type == file_type
    assert result.data["output"] == f"glm_tiny-gguf-{file_type}"


def test_every_option_reaches_the_result(edgeconv: Command, builtin_model: Path, tmp_path: Path) -> None:
    line = (
        "--type q5_k_m --pure --output-type q8_0 --token-embedding-type q8_0 --tensor-type attn_v=q4_0 "
        "--tensor-type blk\\.0\\..*=f16 --split-max-size 1M --pre chatglm-bpe --local-files-only --force"
    )
    assert edgeconv("gguf", "-m", builtin_model, "-o", tmp_path / "x.gguf").code == 0
    result = edgeconv("gguf", "-m", builtin_model, "-o", tmp_path / "x.gguf", *line.split(), "--json")
    assert result.code == 0, result.err
    opened = open_gguf(Path(result.data["output"]))
    types = {name: info.type for name, info in opened.tensors.items()}
    assert types["token_embd.weight"] == "q8_0"
    assert (types["blk.0.attn_v.weight"], types["blk.1.attn_v.weight"]) == ("q4_0", "q4_0")
    assert (types["blk.0.ffn_down.weight"], types["blk.1.ffn_down.weight"]) == ("f16", "q5_k")
    assert len(opened.files) == len(result.data["files"]) > 1


def test_revision_and_matrix_reach_the_job(edgeconv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[conversion.GgufJob] = []

    def plan(job: conversion.GgufJob, progress: object) -> object:
        seen.append(job)
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "plan", plan)
    edgeconv("gguf", "-m", "org/name", "--revision", "v1", "--imatrix", "m.dat", "--leave-output-tensor", "--dry-run")
    assert (seen[0].model, seen[0].revision, seen[0].imatrix) == ("org/name", "v1", Path("m.dat"))
    assert seen[0].recipe.leave_output


@pytest.mark.parametrize(("text", "size"), [("5", 5), ("2G", 2 * 10**9), ("300m", 3 * 10**8), ("7K", 7000)])
def test_sizes_are_decimal_as_llama_cpps_are(
    text: str, size: int, edgeconv: Command, jobs: list[conversion.GgufJob], builtin_model: Path
) -> None:
    edgeconv("gguf", "-m", builtin_model, "--split-max-size", text, "--dry-run")
    assert jobs[0].split_max_size == size


def test_a_dry_run_prints_the_plan_and_writes_nothing(edgeconv: Command, builtin_model: Path, tmp_path: Path) -> None:
    result = edgeconv("gguf", "-m", builtin_model, "--dry-run", "-o", tmp_path / "out")
    assert result.code == 0
    assert list(tmp_path.iterdir()) == []
    said = dict(line.split(":", 1) for line in result.out.splitlines())
    assert said["architecture"].strip() == "chatglm of llama.cpp"
    assert said["output"].strip() == f"{tmp_path / 'out'}, 3,796,544 bytes"


def test_json_quiet_and_inspect_agree(edgeconv: Command, builtin_model: Path, tmp_path: Path) -> None:
    quiet = edgeconv("gguf", "-m", builtin_model, "-o", tmp_path / "a", "-q")
    assert (quiet.out, quiet.err) == (f"{tmp_path / 'a'}\n", "")
    result = edgeconv("gguf", "-m", builtin_model, "-o", tmp_path / "b.gguf", "--json")
    assert result.err == ""
    data = result.data
    assert (data["output"], data["files"]) == (str(tmp_path / "b.gguf"), ["b.gguf"])
    assert data["output_bytes"] == (tmp_path / "b.gguf").stat().st_size == data["plan"]["output_bytes"]
    for path in (tmp_path / "a", tmp_path / "b.gguf"):
        inspected = edgeconv("inspect", path, "--json").data
        assert inspected["files"]["whole"] is True
        assert inspected["models"][0]["bits_per_weight"] == data["bits_per_weight"]
        assert inspected["models"][0]["warnings"] == []


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("--type q9_9", 2, "Unknown GGUF type 'q9_9'"),
        ("--precision int4 --type q8_0", 2, "contradict each other"),
        ("--precision int3", 2, "int3"),
        ("--leave-output-tensor --output-type q8_0", 2, "contradicts --output-type"),
        ("--output-type q9", 2, "'q9' is not a ggml type"),
        ("--tensor-type attn_v", 2, "is not REGEX=TYPE"),
        ("--tensor-type (=q8_0", 2, "not a regular expression"),
        ("--split-max-size 2T", 2, "is not a size"),
        ("--split-max-size 0", 2, "is not a size"),
        ("--imatrix absent.gguf", 1, "There is no file absent.gguf"),
        ("--pre none-such", 2, "llama.cpp has no pre-tokenizer 'none-such'"),
    ],
)
def test_options_that_cannot_work(
    options: str, code: int, said: str, edgeconv: Command, builtin_model: Path, tmp_path: Path
) -> None:
    result = edgeconv("gguf", "-m", builtin_model, "-o", tmp_path / "out", *options.split())
    assert result.code == code
    assert said in result.err
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_exists(edgeconv: Command, builtin_model: Path, tmp_path: Path) -> None:
    for output in (tmp_path / "out", tmp_path / "x.gguf"):
        assert edgeconv("gguf", "-m", builtin_model, "-o", output).code == 0
        again = edgeconv("gguf", "-m", builtin_model, "-o", output)
        assert again.code == 1
        assert "--force" in again.err
        assert edgeconv("gguf", "-m", builtin_model, "-o", output, "--force").code == 0


def test_an_architecture_that_cannot_be_written(edgeconv: Command, builtin_model: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for path in builtin_model.iterdir():
        (tmp_path / "model" / path.name).symlink_to(path)
    config = tmp_path / "model" / "config.json"
    text = config.read_text().replace('"model_type": "glm"', '"model_type": "mamba"')
    config.unlink()
    config.write_text(text)
    result = edgeconv("gguf", "-m", tmp_path / "model", "-o", tmp_path / "out", "--json")
    assert result.code == 1
    assert result.error["message"] == "GGUF files cannot be written for model_type mamba."
    assert (
        result.error["hint"].endswith("take it either.")
        and "more types (the README lists them)" in result.error["hint"]
    )


def test_a_model_of_the_hub_is_planned_by_headers_and_to_the_byte(
    edgeconv: Command, hub: HubServer, builtin_model: Path, tmp_path: Path
) -> None:
    hub.add_repo("org/glm-tiny", builtin_model)
    planned = edgeconv("gguf", "-m", "org/glm-tiny", "-o", tmp_path / "x.gguf", "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert not list((tmp_path / "hf").rglob("*.safetensors"))
    made = edgeconv("gguf", "-m", "org/glm-tiny", "-o", tmp_path / "x.gguf", "--json")
    assert made.code == 0, made.err
    assert made.data["output_bytes"] == planned.data["output_bytes"]
    keys = open_gguf(tmp_path / "x.gguf").keys
    assert keys["general.source.url"] == f"https://huggingface.co/org/glm-tiny/tree/{planned.data['commit']}"
