"""A tokenizer that does not fit its model is refused; a token that was added beyond its rows is told of."""

import shutil
from pathlib import Path

import pytest

from edgeconv.convert.onnx.tokenizer import check
from edgeconv.core.errors import CheckpointError


def test_a_token_beyond_the_rows_that_was_added(builtin_model: Path, tmp_path: Path) -> None:
    """Gemma 3's `<image_soft_token>`: the text model has no row for it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(builtin_model / "tokenizer.json"))
    rows = tokenizer.get_vocab_size(with_added_tokens=True)
    assert check(builtin_model, {"vocab_size": rows}) == []
    tokenizer.add_special_tokens(["<image_soft_token>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (note,) = check(tmp_path, {"vocab_size": rows})
    assert "<image_soft_token>" in note


def test_a_vocabulary_beyond_the_rows(builtin_model: Path) -> None:
    with pytest.raises(CheckpointError, match="only 1000 rows"):
        check(builtin_model, {"vocab_size": 1000})


def test_none(builtin_model: Path, tmp_path: Path) -> None:
    shutil.copy(builtin_model / "config.json", tmp_path)
    (note,) = check(tmp_path, {"vocab_size": 1000})
    assert "no tokenizer.json" in note
