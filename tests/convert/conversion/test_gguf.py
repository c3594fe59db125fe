"""From a checkpoint to a GGUF in a folder or under a name, and that llama.cpp takes it."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert.conversion import GgufJob, plan, run
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.errors import CheckpointError, OutputError, UsageError
from edgeconv.core.manifest import manifest_of, read_manifest

from ..gguf.test_imatrix import write_gguf as write_imatrix

Q4 = recipe("int4")
QUESTION = "日本的首都是哪里？"
ANSWER = "日本的首都是东京。"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def job(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> GgufJob:
    return GgufJob(str(builtin_model), Q4, output=tmp_path_factory.mktemp("a") / "out")


@pytest.fixture(scope="module")
def folder(job: GgufJob) -> Path:
    return run(job).path


def test_files_and_manifest(folder: Path, builtin_model: Path) -> None:
    assert names(folder) == ["edgeconv.json", "edgeconv.log.json", "glm_tiny-Q4_K_M.gguf"]
    manifest = read_manifest(folder)
    assert (manifest.target, manifest.engine) == ("gguf", "stream")
    assert manifest.scheme == Q4.as_dict()
    assert list(manifest.outputs) == ["glm_tiny-Q4_K_M.gguf"]
    for root, digests in ((folder, manifest.outputs), (builtin_model, manifest.source.files)):
        for name, digest in digests.items():
            data = (root / name).read_bytes()
            assert (digest.size, digest.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= set(manifest.source.files)
    assert {entry.precision for entry in manifest.tensors} == {"q4_k", "q6_k", "f32"}
    assert 4.5 < manifest.bits_per_weight < 5.5
    assert str(builtin_model) not in (folder / "edgeconv.json").read_text()
    assert json.loads((folder / "edgeconv.log.json").read_text())["source"] == str(builtin_model)


def test_the_plan_knows_every_byte_and_writes_nothing(job: GgufJob, folder: Path, tmp_path: Path) -> None:
    planned = plan(replace(job, output=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
    assert planned.output_bytes == (folder / planned.files[0]).stat().st_size
    manifest = read_manifest(folder)
    assert sum(planned.types.values()) == len(manifest.tensors)
    assert planned.compressor == manifest.compressor
    json.dumps(planned.as_dict())
    rows = dict(planned.rows())
    assert rows["output"] == f"{tmp_path / 'out'}, {planned.output_bytes:,} bytes"
    assert rows["types"].startswith("Q4_K_M: 32 q4_k")


def test_the_same_input_gives_the_same_bytes(job: GgufJob, folder: Path, tmp_path: Path) -> None:
    again = run(replace(job, output=tmp_path / "again")).path
    for name in ("glm_tiny-Q4_K_M.gguf", "edgeconv.json"):
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name


def test_the_folders_name_when_none_is_given(
    builtin_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = run(GgufJob(str(builtin_model), recipe("q8_0")))
    assert made.path == Path("glm_tiny-gguf-q8_0")
    assert "glm_tiny-Q8_0.gguf" in names(made.path)


def test_one_file_by_name_with_its_manifest_beside_it(job: GgufJob, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    made = run(replace(job, output=tmp_path / "x.gguf"))
    assert made.path == tmp_path / "x.gguf"
    assert names(tmp_path) == ["letter.txt", "x.edgeconv.json", "x.edgeconv.log.json", "x.gguf"]
    assert made.path.read_bytes() == (folder / "glm_tiny-Q4_K_M.gguf").read_bytes()
    assert manifest_of(made.path) == made.manifest
    assert list(made.manifest.outputs) == ["x.gguf"]
    with pytest.raises(OutputError, match="exists"):
        run(replace(job, output=tmp_path / "x.gguf"))
    again = run(replace(job, output=tmp_path / "x.gguf", recipe=recipe("q8_0"), force=True))
    assert open_gguf(again.path).tensors["token_embd.weight"].type == "q8_0"
    assert manifest_of(again.path) == again.manifest


def test_splits(job: GgufJob, folder: Path, tmp_path: Path) -> None:
    planned = plan(replace(job, output=tmp_path / "x.gguf", split_max_size=1_000_000))
    made = run(replace(job, output=tmp_path / "x.gguf", split_max_size=1_000_000))
    assert len(planned.files) == 4
    assert made.path == tmp_path / "x-00001-of-00004.gguf"
    assert sorted(made.manifest.outputs) == planned.files
    assert names(tmp_path) == [*planned.files, "x.edgeconv.json", "x.edgeconv.log.json"]
    assert sum((tmp_path / name).stat().st_size for name in planned.files) == planned.output_bytes
    assert {entry.file for entry in made.manifest.tensors} == set(planned.files)
    assert all(manifest_of(tmp_path / name) == made.manifest for name in planned.files)
    parts, whole = open_gguf(made.path), open_gguf(folder / "glm_tiny-Q4_K_M.gguf")
    assert all(np.array_equal(parts.data(name), whole.data(name)) for name in whole.tensors)
    (tmp_path / "x-00001-of-00002.gguf").write_bytes(b"GGUF of someone else")
    forced = run(replace(job, output=tmp_path / "x.gguf", force=True))
    assert names(tmp_path) == ["x-00001-of-00002.gguf", "x.edgeconv.json", "x.edgeconv.log.json", "x.gguf"]
    assert manifest_of(forced.path) == forced.manifest
    run(replace(job, output=tmp_path / "x.gguf", split_max_size=1_000_000, force=True))
    assert "x.gguf" not in names(tmp_path)
    with pytest.raises(OutputError, match=r"x-00001-of-00004\.gguf exists"):
        (tmp_path / "x.edgeconv.json").unlink()
        run(replace(job, output=tmp_path / "x.gguf", split_max_size=1_000_000))
    inside = run(replace(job, output=tmp_path / "out", split_max_size=1_000_000))
    assert names(inside.path)[2:] == [f"glm_tiny-Q4_K_M-0000{number}-of-00004.gguf" for number in range(1, 5)]


def test_an_importance_matrix_weighs_and_is_recorded(job: GgufJob, folder: Path, tmp_path: Path) -> None:
    heavy = np.geomspace(1e-3, 1e3, 256).astype(np.float32)
    matrix = write_imatrix(tmp_path / "m.gguf", {"blk.0.attn_q.weight": heavy}, {"blk.0.attn_q.weight": [2]})
    made = run(replace(job, output=tmp_path / "out", imatrix=matrix))
    assert made.manifest.scheme["imatrix"] == {
        "file": "m.gguf", "sha256": hashlib.sha256(matrix.read_bytes()).hexdigest(), "dataset": "wiki.txt", "chunks": 3,
    }  # fmt: skip
    opened, plain = open_gguf(made.path / "glm_tiny-Q4_K_M.gguf"), open_gguf(folder / "glm_tiny-Q4_K_M.gguf")
    assert opened.keys["quantize.imatrix.file"] == "m.gguf"
    assert opened.keys["quantize.imatrix.entries_count"] == 1
    changed = [name for name in plain.tensors if not np.array_equal(opened.data(name), plain.data(name))]
    assert changed == ["blk.0.attn_q.weight"]
    assert dict(plan(replace(job, output=None, imatrix=matrix)).rows())["importance"].startswith("m.gguf (1 tensors")
    assert any("knows 1 of" in note and "rounded without it" in note for note in made.manifest.notes)
    other = write_imatrix(tmp_path / "o.gguf", {"other.weight": heavy}, {"other.weight": [2]})
    with pytest.raises(UsageError, match="knows no tensor of this model"):
        plan(replace(job, output=None, imatrix=other))


def test_faults_are_said_before_anything_is_written(job: GgufJob, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not empty"):
        run(replace(job, output=folder))
    source = shutil.copytree(job.model, tmp_path / "model")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "model_type": "mamba"}))
    for step in (plan, run):
        with pytest.raises(CheckpointError, match="cannot be written for model_type mamba") as caught:
            step(replace(job, model=str(source), output=tmp_path / "out"))
    assert "more types (the README lists them)" in str(caught.value.hint)
    assert names(tmp_path) == ["model"]


def test_code_in_a_checkpoint_needs_no_consent_because_none_is_run(job: GgufJob, folder: Path, tmp_path: Path) -> None:
    source = shutil.copytree(job.model, tmp_path / "glm_tiny")
    config = json.loads((source / "config.json").read_text()) | {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}
    (source / "config.json").write_text(json.dumps(config))
    (source / "evil.py").write_text("raise SystemExit('it ran')")
    made = run(replace(job, model=str(source), output=tmp_path / "out")).path
    assert (made / "glm_tiny-Q4_K_M.gguf").read_bytes() == (folder / "glm_tiny-Q4_K_M.gguf").read_bytes()
    (source / "config.json").write_text(json.dumps(config | {"model_type": "mamba"}))
    with pytest.raises(CheckpointError, match="cannot be written for model_type mamba"):
        plan(replace(job, model=str(source), output=tmp_path / "other"))


def test_the_half_that_sees_is_said_to_be_left_out(tiny_vision_model, tmp_path: Path) -> None:
    made = plan(GgufJob(str(tiny_vision_model()), recipe("q8_0"), output=tmp_path / "out", vision_precision="none"))
    assert made.architecture == "chatglm"
    assert [note for note in made.notes if note.startswith("Only the language model is written")]


def test_a_plan_of_headers_knows_every_byte(tiny_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a Hub model's plan has: small files, generation_config.json among them, and the shards' headers."""
    from edgeconv.convert import conversion
    from edgeconv.convert.conversion.source import OpenedSource
    from edgeconv.convert.open_checkpoint import open_checkpoint, open_headers

    source = shutil.copytree(tiny_model("glm"), tmp_path / "model")
    settings = {"do_sample": True, "temperature": 0.5, "top_p": 0.7}
    (source / "generation_config.json").write_text(json.dumps(settings))
    whole = open_checkpoint(source)
    headers = {
        name: {
            t.name: {"dtype": t.dtype, "shape": list(t.shape), "data_offsets": [t.start - base, t.end - base]}
            for t in file.tensors.values()
        }
        for name, file in whole.shards.items()
        for base in [min(t.start for t in file.tensors.values())]
    }
    seen = open_headers(source, headers, {name: file.size for name, file in whole.shards.items()})
    monkeypatch.setattr(conversion.source, "headers", lambda *a, **k: OpenedSource(seen, "org/model", "0" * 40))
    monkeypatch.setattr(conversion.source, "whole", lambda *a, **k: OpenedSource(whole, "org/model", "0" * 40))
    job = GgufJob("org/model", recipe("q8_0"), output=tmp_path / "out")
    made = run(job)
    assert plan(replace(job, force=True)).output_bytes == made.manifest.outputs["model-Q8_0.gguf"].size
    keys = open_gguf(made.path / "model-Q8_0.gguf").keys
    assert keys["general.sampling.temp"] == 0.5
    assert keys["general.source.repo_url"] == "https://huggingface.co/org/model"
    assert (made.manifest.source.repo_id, made.manifest.source.commit) == ("org/model", "0" * 40)


@pytest.mark.parametrize("output", ["out", "x.gguf"])
def test_a_killed_run_leaves_nothing_under_the_final_name(job: GgufJob, output: str, tmp_path: Path) -> None:
    program = f"""
        import sys, time
        from pathlib import Path
        from edgeconv.convert.gguf import export
        from edgeconv.convert.gguf.recipe import recipe
        from edgeconv.convert.conversion import GgufJob, run
        true = export.export
        def slow(*arguments, **options):
            made = true(*arguments, **options)
            print("written", flush=True)
            time.sleep(60)
            return made
        export.export = slow
        run(GgufJob({job.model!r}, recipe("int4"), output=Path({str(tmp_path / output)!r})))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert all(name.startswith(f"{output}.partial-") for name in names(tmp_path))
    made = run(replace(job, output=tmp_path / output))
    assert made.path.exists()
    assert not [name for name in names(tmp_path) if "partial" in name]


def test_llama_cpp_runs_it_and_gives_the_trained_answer(folder: Path, builtin_model: Path) -> None:
    from transformers import AutoTokenizer

    from ..gguf import llama_cpp

    tokenizer = AutoTokenizer.from_pretrained(builtin_model)
    message = [{"role": "user", "content": QUESTION}]
    ids = list(tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=True)["input_ids"])
    said: list[int] = []
    for _ in range(16):
        following = int(llama_cpp.logits(folder / "glm_tiny-Q4_K_M.gguf", ids + said)[-1].argmax())
        if tokenizer.decode(following) == "<|user|>":
            break
        said.append(following)
    assert tokenizer.decode(said) == ANSWER
