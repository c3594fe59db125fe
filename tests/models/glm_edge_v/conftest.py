"""One tiny random GLM-Edge-V for this folder's tests."""

from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert.families.glm_edge_v_model import load, load_processor

from ..tiny_v import make_glm_edge_v


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as on the Hub, with SigLIP's unused pooling head. Read-only."""
    return make_glm_edge_v(tmp_path_factory.mktemp("glm_edge_v"), pooling_head=True)


@pytest.fixture(scope="package")
def model(folder: Path) -> Any:
    return load(folder)


@pytest.fixture(scope="package")
def processor(folder: Path) -> Any:
    return load_processor(folder)
