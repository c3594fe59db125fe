"""What the user is told before code of a checkpoint runs: every file, and the commit that it is of."""

import json
from pathlib import Path

import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.remote_code import consented, is_needed
from edgeconv.core.errors import CheckpointError

COMMIT = "0123456789abcdef" * 2 + "01234567"


def checkpoint(folder: Path, **files: object) -> Path:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    for name in ("tokenization.py", "helper.py"):
        (folder / name).write_text("")
    return folder


def test_every_file_and_the_commit_are_named(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, tokenizer_config={"auto_map": {"AutoTokenizer": ["tokenization.T", None]}})
    (said,) = consented(folder, "org/name", COMMIT)
    assert said.endswith(f"helper.py, tokenization.py; from org/name at commit {COMMIT}")
    (said,) = consented(folder, "name", None)
    assert said.endswith("from the folder name, of no known commit")


def test_nothing_is_said_where_nothing_asks_to_run(tmp_path: Path) -> None:
    assert consented(checkpoint(tmp_path, config={}), "org/name", COMMIT) == []


@pytest.mark.parametrize(
    ("kind", "needed"), [("glm", False), ("chatglm", False), ("falcon", False), ("llava", False), ("own", True)]
)
def test_code_that_transformers_has_taken_over_is_not_asked_for(kind: str, needed: bool, tmp_path: Path) -> None:
    """falcon's first checkpoints come with code that is of no use any more."""
    config = {"model_type": kind, "auto_map": {"AutoModelForCausalLM": "modeling.Model"}}
    assert is_needed(config) == needed
    with pytest.raises(CheckpointError, match="is not run" if needed else r"safetensors|weights|config\.json"):
        open_checkpoint(checkpoint(tmp_path, config=config))


@pytest.mark.parametrize("file", ["config", "tokenizer_config"])
def test_code_of_a_second_repository_is_refused(file: str, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, **{file: {"auto_map": {"AutoConfig": "other/code--module.Class"}}})
    with pytest.raises(CheckpointError, match=rf"{file}\.json takes code from another repository, other/code"):
        consented(folder, "org/name", COMMIT)
