"""What a model is called by where it lies."""

from pathlib import Path

import pytest

from edgeconv.core.paths import model_name

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"hub/models--org--Qwen3-0.6B/snapshots/{COMMIT}", "Qwen3-0.6B"),
        (f"hub/models--gpt2/snapshots/{COMMIT}", "gpt2"),
        (f"hub/models--org--a--b/snapshots/{COMMIT}", "b"),
        ("hub/models--org--model/snapshots/v2", "v2"),
        (f"snapshots/{COMMIT}", COMMIT),
        ("my-model", "my-model"),
    ],
)
def test_a_folder_is_called_by_its_model(tmp_path: Path, path: str, name: str) -> None:
    assert model_name(tmp_path / path) == name
    (tmp_path / "link").symlink_to(tmp_path / path)
    assert model_name(tmp_path / "link") == name
