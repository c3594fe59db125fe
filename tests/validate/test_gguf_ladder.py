"""GGUF through the whole parity suite, in llama.cpp: untouched files pass, planted faults are caught by the check one expects."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import ArtifactError, UsageError
from edgeconv.core.progress import Silent
from edgeconv.runtimes import llama_cpp_binding
from edgeconv.validate import cache, parity
from edgeconv.validate.formats import open_artifact
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report.model import Report

from ..convert.gguf.samples import config, write_checkpoint
from ..convert.gguf.test_tokenizer_spm import tokenizer_json
from ..convert.gguf.test_tokenizer_spm import write as write_tokenizer
from .gguf_files import copy_of, edit, edit_weights, halves, set_key, write

TOKENS = 400


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(parity, "LONG", 512)  # llama.cpp's attention over 4,608 positions takes ten seconds
        yield


def climb(file: Path, reference: Path, *, quick: bool = True, tokens: int = TOKENS) -> Report:
    return validate(Ask(file, reference=str(reference), max_tokens=tokens, quick=quick))


def figure(report: Report, comparison: str, name: str) -> float:
    return next(c for c in report.comparisons if c.name == comparison).figures[name].value


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["f32", "q8_0", "q4_k_m"])
def test_an_untouched_file_passes(kind: str, builtin_model: Path, tmp_path: Path) -> None:
    report = climb(write(builtin_model, tmp_path / "a.gguf", kind), builtin_model, quick=False)
    assert report.verdict == "passed", [check.failures for check in report.rungs]
    assert {check.status for check in report.rungs} == {"passed"}
    assert figure(report, "conversion", "mean_kl") < 1e-9
    assert figure(report, "conversion", "max_abs_logit") < 3e-4
    kl = figure(report, "quantisation", "mean_kl")
    low, high = {"f32": (0, 1e-6), "q8_0": (1e-5, 1e-3), "q4_k_m": (1e-3, 0.05)}[kind]
    assert low <= kl < high
    if kind == "f32":
        assert figure(report, "quantisation", "top1") > 0.99
    # what llama.cpp rounds by default is seen apart, and is not nothing
    assert 1e-9 < figure(report, "runtime", "mean_kl") < 2e-3
    assert {pair.runtime for pair in report.generations} == {"", "llama.cpp", "llama.cpp, turn 2"}
    assert report.artifact.facts["file type"] == kind.upper()
    assert report.versions["cyllama"]
    assert list(cache.folder().glob("float32/*")) == []


def test_values_that_upstream_loses_are_kept(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    rope = {"rope_type": "default", "rope_theta": 1e6, "partial_rotary_factor": 1.0}
    source = tiny_model("glm", rope_parameters=rope, rms_norm_eps=1e-3, max_position_embeddings=512)
    report = climb(write(source, tmp_path / "a.gguf", "f32"), source, quick=False)
    assert report.verdict == "passed", [check.failures for check in report.rungs]
    assert figure(report, "quantisation", "mean_kl") < 1e-6


@pytest.mark.slow
def test_a_context_capped_to_the_window_is_measured_up_to_it(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_model("mistral", sliding_window=320, max_position_embeddings=1024)
    report = climb(write(source, tmp_path / "a.gguf", "f32"), source, quick=False)
    assert report.verdict == "passed", [check.failures for check in report.rungs]
    assert any("ends at 320 positions" in note for note in report.notes)


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")


# Faults of the source: the file is made of a spoilt copy, and held against the sound checkpoint.


def theta(folder: Path) -> None:
    edit_json(folder / "config.json", lambda c: c.update(rope_theta=1e6, rope_parameters={"rope_theta": 1e6}))


def eps(folder: Path) -> None:
    edit_json(folder / "config.json", lambda c: c.update(rms_norm_eps=1e-3))


def context(folder: Path) -> None:
    edit_json(folder / "config.json", lambda c: c.update(max_position_embeddings=256))


def gate_and_up(folder: Path) -> None:
    name = "model.layers.2.mlp.gate_up_proj.weight"
    edit_weights(folder, lambda t: t.update({name: t[name].roll(t[name].shape[0] // 2, 0)}))


def zeroed_layer(folder: Path) -> None:
    edit_weights(folder, lambda t: t["model.layers.4.self_attn.o_proj.weight"].zero_())


def missing_merge(folder: Path) -> None:
    edit_json(folder / "tokenizer.json", lambda c: c["model"]["merges"].pop(20))


def dropped_eos(folder: Path) -> None:
    for name in ("generation_config.json", "config.json"):
        edit_json(folder / name, lambda c: c.update(eos_token_id=c["eos_token_id"][:1]))


def other_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("<|user|>\n", "<|user|> "))


SOURCE_FAULTS: dict[Callable[[Path], None], tuple[str, str]] = {
    theta: ("structure", "chatglm.rope.freq_base is 1e+06, by the config 10000."),
    eps: ("structure", "chatglm.attention.layer_norm_rms_epsilon is 0.001, by the config 1e-05."),
    context: ("structure", "chatglm.context_length is 256, by the config 8192."),
    gate_and_up: ("structure", "model.layers.2.mlp.gate_up_proj.weight (q8_0)"),
    zeroed_layer: ("structure", "model.layers.4.self_attn.o_proj.weight (q8_0): all its values are zero."),
    missing_merge: ("tokens", "1 missing: 'o' + 'n'."),
    dropped_eos: ("tokens", "llama.cpp does not stop at 4091 '<|user|>', 4093 '<|observation|>'"),
    other_template: ("template", "differs from character"),
}


@pytest.mark.parametrize("fault", SOURCE_FAULTS, ids=lambda f: f.__name__)
def test_a_fault_of_the_source(fault: Callable[[Path], None], builtin_model: Path, tmp_path: Path) -> None:
    spoilt = copy_of(builtin_model, tmp_path / "model")
    fault(spoilt)
    report = climb(write(spoilt, tmp_path / "a.gguf", "q8_0"), builtin_model)
    check, sentence = SOURCE_FAULTS[fault]
    assert (report.verdict, report.first_failed) == ("failed", check)
    (found,) = [r.failures for r in report.rungs if r.name == check]
    assert any(sentence in failure for failure in found), found


# Faults of the file's own making.


def test_a_scale_moved_by_one_block(builtin_model: Path, tmp_path: Path) -> None:
    file = write(builtin_model, tmp_path / "a.gguf", "q4_k_m")
    edit(file, "blk.1.ffn_up.weight", roll)
    report = climb(file, builtin_model)
    assert report.first_failed == "structure"
    assert any("layers.1.mlp.gate_up_proj" in failure for failure in report.rungs[0].failures)


def roll(data: np.ndarray) -> None:
    scales = halves(data, 0, 144)
    scales[:] = np.roll(scales, 1)


@pytest.mark.slow
def test_a_graph_that_is_another_is_seen_in_the_logits(builtin_model: Path, tmp_path: Path) -> None:
    from edgeconv.convert.gguf.export import export, prepare
    from edgeconv.convert.gguf.header import f32, string
    from edgeconv.convert.gguf.recipe import recipe

    stretched = {"chatglm.rope.scaling.type": string("linear"), "chatglm.rope.scaling.factor": f32(1.001)}
    checkpoint = open_checkpoint(builtin_model)
    prepared = prepare(checkpoint, recipe("q8_0"), "a.gguf", keys=stretched)
    export(checkpoint, prepared, tmp_path, progress=Silent())
    report = climb(tmp_path / "a.gguf", builtin_model, quick=False)
    assert (report.verdict, report.first_failed) == ("failed", "structure")  # by the key; and its effect is measured
    assert {check.name for check in report.rungs if check.status == "failed"} >= {"structure", "logits"}
    assert figure(report, "quantisation", "mean_kl") < 1e-3  # the compression alone would have hidden it
    assert any("rope.scaling.factor" in failure for check in report.rungs for failure in check.failures)


def test_a_truncated_file(builtin_model: Path, tmp_path: Path) -> None:
    file = write(builtin_model, tmp_path / "a.gguf", "q8_0")
    file.write_bytes(file.read_bytes()[:3_000_000])
    report = climb(file, builtin_model)
    assert (report.verdict, report.first_failed) == ("failed", "structure")
    assert "truncated" in report.rungs[0].failures[0]
    assert {check.status for check in report.rungs} == {"failed"}


def test_a_file_over_which_llama_cpp_falls_does_not_take_us_with_it(builtin_model: Path, tmp_path: Path) -> None:
    file = write(builtin_model, tmp_path / "a.gguf", "q8_0")
    set_key(file, "chatglm.rope.dimension_count", 4096)
    report = climb(file, builtin_model)
    assert (report.verdict, report.first_failed) == ("failed", "structure")
    (check,) = [check for check in report.rungs if check.name == "logits"]
    assert check.failures[0].startswith("llama.cpp does not run")


def test_sentencepiece_is_compared_too(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "source", config(vocab_size=270, eos_token_id=2))
    replace, strip = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "Strip", "content": " "}
    decoders = [replace, {"type": "ByteFallback"}, {"type": "Fuse"}, strip | {"start": 1, "stop": 0}]
    write_tokenizer(source, fast=tokenizer_json(decoder={"type": "Sequence", "decoders": decoders}))
    markers = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    fields = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **markers}
    (source / "tokenizer_config.json").write_text(json.dumps(fields))
    file, checkpoint = write(source, tmp_path / "a.gguf", "q8_0"), open_checkpoint(source)
    check = open_artifact(file).tokens(checkpoint, Silent())
    assert (check.status, check.failures) == ("passed", [])
    raw = file.read_bytes()
    place = raw.index(struct.pack("<Q", 3) + b"abc")
    file.write_bytes(raw[: place + 8] + b"abd" + raw[place + 11 :])
    check = open_artifact(file).tokens(checkpoint, Silent())
    assert check.failures[0] == "1 tokens of the vocabulary differ; the first is 261 'abc', in the GGUF no token."


def test_a_folder_with_one_model_counts(builtin_model: Path, tmp_path: Path) -> None:
    file = write(builtin_model, tmp_path / "a.gguf", "q8_0")
    assert open_artifact(tmp_path).path == file
    shutil.copyfile(file, tmp_path / "b.gguf")
    with pytest.raises(ArtifactError, match="holds 2 GGUF models"):
        open_artifact(tmp_path)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nor a \.gguf"):
        open_artifact(tmp_path)
    with pytest.raises(ArtifactError, match="no file"):
        open_artifact(tmp_path / "a.gguf")


def test_without_llama_cpp_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(llama_cpp_binding, "PACKAGE", "no_such_package")
    with pytest.raises(UsageError) as caught:
        open_artifact(tmp_path / "a.gguf")
    assert caught.value.hint == "pip install 'edgeconv[gguf]'"


def test_a_device_without_llama_cpp(builtin_model: Path, tmp_path: Path) -> None:
    file = write(builtin_model, tmp_path / "a.gguf", "q8_0")
    with pytest.raises(UsageError, match="on GPU"):
        validate(Ask(file, reference=str(builtin_model), device="GPU"))


def test_another_tools_file_needs_a_reference(builtin_model: Path, tmp_path: Path) -> None:
    file = write(builtin_model, tmp_path / "a.gguf", "q8_0")
    with pytest.raises(UsageError, match="names its source"):
        validate(Ask(file))
