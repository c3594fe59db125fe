"""The models that come with edgeconv, so that a first conversion needs neither a download nor a token."""

from pathlib import Path

from ..core.errors import CheckpointError


def model_path() -> Path:
    """Return the folder of the built-in checkpoint: a GLM of 5.8 million parameters in bfloat16, 12 MB.

    It has GLM-Edge's structure, split rule and chat template, and answers simple questions in English and Chinese.

    Raises:
        CheckpointError: the installation lacks the checkpoint's files.

    """
    return _installed("glm_tiny")


def vision_model_path() -> Path:
    """Return the folder of the built-in vision checkpoint: a GLM-Edge-V of 8.1 million parameters in bfloat16, 17 MB.

    It has GLM-Edge-V's structure, tensor names and files at 112 px, and describes the pictures of `builtin.pictures`.

    Raises:
        CheckpointError: the installation lacks the checkpoint's files.

    """
    return _installed("glm_edge_v_tiny")


def _installed(name: str) -> Path:
    folder = Path(__file__).parent / name
    if not (folder / "model.safetensors").is_file():
        raise CheckpointError(
            f"the built-in model is missing from this installation ({folder})", "Install edgeconv again."
        )
    return folder
