import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import tokenizer as tokenizer_ir
from edgeconv.convert.openvino import tokenizer_graph
from edgeconv.core.progress import Silent
from edgeconv.validate.checks import tokens
from edgeconv.validate.checks.runtime_defects import as_failures
from edgeconv.validate.report.model import Check

from .planted import copy_of, replace


@pytest.fixture(scope="module")
def checkpoint(builtin_model: Path) -> Checkpoint:
    return open_checkpoint(builtin_model)


@pytest.fixture
def copy(converted: Path, tmp_path: Path) -> Path:
    return copy_of(converted, tmp_path / "copy")


def check(folder: Path, checkpoint: Checkpoint) -> Check:
    return tokens.check(folder, checkpoint, Silent())


def with_tokenizer(model: Path, to: Path, change: Callable[[dict], None]) -> Path:  # type: ignore[type-arg]
    """A copy of the checkpoint whose tokenizer.json was changed."""
    source = shutil.copytree(model, to)
    content = json.loads((source / "tokenizer.json").read_text("utf-8"))
    change(content)
    (source / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return source


def test_an_untouched_artifact_passes(converted: Path, checkpoint: Checkpoint) -> None:
    result = check(converted, checkpoint)
    assert (result.status, result.failures, result.warnings) == ("passed", [], [])
    assert result.figures["tokens"] > 20_000
    assert result.figures["different"] == result.figures["known_defects"] == 0


@pytest.mark.parametrize("merge", [0, 1500, -1])
def test_one_missing_merge_is_found(
    merge: int, copy: Path, checkpoint: Checkpoint, builtin_model: Path, tmp_path: Path
) -> None:
    lost: list[str] = []

    def drop(content: dict) -> None:  # type: ignore[type-arg]
        lost.extend(content["model"]["merges"].pop(merge))

    source = with_tokenizer(builtin_model, tmp_path / "source", drop)
    tokenizer_ir.export(source, copy, trust_remote_code=False)
    result = check(copy, checkpoint)
    assert result.status == "failed"
    left, right = (checkpoint_text(token) for token in lost)
    assert result.failures[0] == (
        f"The tokenizer IR has 3,827 merges, the checkpoint 3,828; 1 missing: {left!r} + {right!r}."
    )
    assert result.warnings == []


def checkpoint_text(token: str) -> str:
    """A token of tokenizer.json as text: of its printable stand-ins for bytes these merges use only the space's."""
    return token.replace("Ġ", " ")


def test_another_split_is_shown_where_it_first_matters(
    copy: Path, checkpoint: Checkpoint, builtin_model: Path, tmp_path: Path
) -> None:
    def plain(content: dict) -> None:  # type: ignore[type-arg]
        content["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}

    source = with_tokenizer(builtin_model, tmp_path / "source", plain)
    tokenizer_ir.export(source, copy, trust_remote_code=False)
    result = check(copy, checkpoint)
    assert result.status == "failed"
    assert result.failures[0].startswith("Text '")
    assert "expected [" in result.failures[0]


def test_a_dropped_stop_token_is_found(copy: Path, checkpoint: Checkpoint) -> None:
    path = copy / "generation_config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"eos_token_id": content["eos_token_id"][:1]}))
    result = check(copy, checkpoint)
    assert result.status == "failed"
    assert len(result.failures) == 2
    assert (
        "stops at 4084 '<|endoftext|>', the checkpoint at 4084 '<|endoftext|>', 4091 '<|user|>'" in result.failures[0]
    )
    assert result.failures[1].startswith("openvino_genai stops at")


def test_no_eos_at_all_is_found(copy: Path, checkpoint: Checkpoint) -> None:
    for name in ("generation_config.json", "config.json"):
        content = json.loads((copy / name).read_text())
        content.pop("eos_token_id")
        (copy / name).write_text(json.dumps(content))
    result = check(copy, checkpoint)
    assert result.status == "failed"
    assert any("stops at no token" in f for f in result.failures)


def test_another_eos_in_the_tokenizer_ir_is_found(copy: Path, checkpoint: Checkpoint) -> None:
    replace(copy / "openvino_tokenizer.xml", '<eos_token_id value="4084"', '<eos_token_id value="4091"')
    result = check(copy, checkpoint)
    assert result.status == "failed"
    assert any(f.startswith("eos_token_id is 4091 for") for f in result.failures)


def test_a_detokenizer_of_another_model_is_found(
    copy: Path, checkpoint: Checkpoint, builtin_model: Path, tmp_path: Path
) -> None:
    def swap(content: dict) -> None:  # type: ignore[type-arg]
        vocabulary = content["model"]["vocab"]
        one, other = (t for t, i in vocabulary.items() if i in (1000, 1001))
        vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]

    source = with_tokenizer(builtin_model, tmp_path / "source", swap)
    (tmp_path / "ir").mkdir()
    tokenizer_ir.export(source, tmp_path / "ir", trust_remote_code=False)
    for suffix in ("xml", "bin"):
        shutil.copy(tmp_path / "ir" / f"openvino_detokenizer.{suffix}", copy)
    result = check(copy, checkpoint)
    assert result.status == "failed"
    assert any("decodes" in f and "expected" in f for f in result.failures)


def test_the_known_defect_is_listed_and_only_where_it_applies(
    copy: Path, checkpoint: Checkpoint, builtin_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sequence[Digits, ByteLevel]: an IR of openvino_tokenizers' own converter splits white space before digits otherwise."""
    stages = [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    ]

    def digits(content: dict) -> None:  # type: ignore[type-arg]
        content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": stages}

    source = with_tokenizer(builtin_model, tmp_path / "source", digits)
    tokenizer_ir.export(source, copy, trust_remote_code=False)
    assert check(copy, open_checkpoint(source)).defects == []  # ours is mended
    monkeypatch.setattr(tokenizer_graph, "mend", lambda *_: None)
    tokenizer_ir.export(source, copy, trust_remote_code=False)
    result = check(copy, open_checkpoint(source))
    assert (result.status, result.failures) == ("passed", [])
    (defect,) = result.defects
    assert (defect.name, defect.engine) == ("white space before digits", "openvino_tokenizers")
    assert result.figures["known_defects"] == defect.count > 0
    assert "known defect" in result.summary
    strict = as_failures(result)
    assert (strict.status, len(strict.failures)) == ("failed", 1)
    assert strict.failures[0].startswith("openvino_tokenizers 2026.4, white space before digits (two or more")
    # the same artifact for a checkpoint that splits otherwise is simply wrong
    assert check(copy, checkpoint).status == "failed"


def test_a_tokenizer_that_is_not_there_is_a_sentence(copy: Path, checkpoint: Checkpoint) -> None:
    (copy / "openvino_detokenizer.xml").unlink()
    result = check(copy, checkpoint)
    assert result.status == "failed"
    assert "openvino_detokenizer.xml is missing" in result.failures[0]


@pytest.mark.slow
def test_a_real_tokenizer_of_49152_tokens(smollm2_llama: Path, builtin_model: Path, tmp_path: Path) -> None:
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(smollm2_llama / name, tmp_path)
    tokenizer_ir.export(smollm2_llama, tmp_path, trust_remote_code=False)
    result = check(tmp_path, open_checkpoint(smollm2_llama))
    assert (result.status, result.failures) == ("passed", [])
    assert result.figures["tokens"] > 90_000
