import json
from pathlib import Path

import pytest

from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.validate.checks import template

from .planted import copy_of, replace


@pytest.fixture(scope="module")
def checkpoint(builtin_model: Path) -> Checkpoint:
    return open_checkpoint(builtin_model)


@pytest.fixture
def copy(converted: Path, tmp_path: Path) -> Path:
    return copy_of(converted, tmp_path / "copy")


def test_an_untouched_artifact_passes(converted: Path, checkpoint: Checkpoint) -> None:
    one = template.check(converted, checkpoint, Silent())
    assert (one.status, one.failures) == ("passed", [])
    # two renderings, with and without the generation prompt
    assert one.figures == {"prompts": 4 * len(template.CONVERSATIONS), "different": 0}


def test_a_template_changed_in_the_files_is_shown_at_its_place(copy: Path, checkpoint: Checkpoint) -> None:
    replace(copy / "chat_template.jinja", "<|system|>\n", "<|system|> ")
    one = template.check(copy, checkpoint, Silent())
    assert one.status == "failed"
    assert any("Conversation 'system'" in f and "differs from character 10" in f for f in one.failures)
    assert all("the artifact's files" in f for f in one.failures)


def test_a_template_changed_only_in_the_tokenizer_ir_is_found(copy: Path, checkpoint: Checkpoint) -> None:
    path = copy / "openvino_tokenizer.xml"
    text = path.read_text("utf-8")
    start = text.index("<chat_template")
    end = text.index("/>", start)
    assert "add_generation_prompt" in text[start:end]
    path.write_text(text[:start] + text[start:end].replace("&lt;|assistant|>", "&lt;|user|>") + text[end:], "utf-8")
    one = template.check(copy, checkpoint, Silent())
    assert one.status == "failed"
    assert "The chat template in openvino_genai is another than the checkpoint's" in one.failures[0]
    assert all("by openvino_genai" in f for f in one.failures[1:])


def test_no_template_at_all_is_skipped_and_one_on_one_side_fails(
    converted: Path, copy: Path, checkpoint: Checkpoint, builtin_model: Path, tmp_path: Path
) -> None:
    import shutil

    bare_source = shutil.copytree(builtin_model, tmp_path / "source")
    for folder in (bare_source, copy):
        (folder / "chat_template.jinja").unlink()
        config = json.loads((folder / "tokenizer_config.json").read_text())
        assert "chat_template" not in config
    path = copy / "openvino_tokenizer.xml"
    text = path.read_text("utf-8")
    start = text.index("<chat_template")
    path.write_text(text[:start] + text[text.index("/>", start) + 2 :], "utf-8")
    bare = open_checkpoint(bare_source)
    one = template.check(copy, bare, Silent())
    assert (one.status, one.failures) == ("skipped", [])
    one = template.check(copy, checkpoint, Silent())
    assert one.status == "failed"
    assert len(one.failures) == 2
    assert all(f.startswith("The checkpoint has a chat template") for f in one.failures)
    one = template.check(converted, bare, Silent())
    assert one.status == "failed"
    assert all(f.endswith("has a chat template, the checkpoint has none.") for f in one.failures)


def test_a_template_that_cannot_be_opened_is_a_sentence(copy: Path, checkpoint: Checkpoint) -> None:
    (copy / "openvino_tokenizer.xml").unlink()
    one = template.check(copy, checkpoint, Silent())
    assert one.status == "failed"
    assert "openvino_tokenizer.xml is missing" in one.failures[0]
