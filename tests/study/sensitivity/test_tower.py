"""The vision part is one more part: eight bits at least, and spoilt weights show in the words behind a picture."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.study.options import SensitivityOptions
from edgeconv.study.sensitivity.codec import Codec
from edgeconv.study.sensitivity.model import PartFigure
from edgeconv.study.sensitivity.run import run
from edgeconv.study.sensitivity.tower import NAME, eight_bits

from ...models import tiny_vlm


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))


def compressed(model: Path) -> PartFigure:
    found = run(SensitivityOptions(model=str(model), precision="int4_sym", by="component", tokens=256))
    assert "behind pictures" in found.notes[0]
    assert [part.name for part in found.parts][-1] == NAME
    assert any(part.kind == "attention" for part in found.parts)
    return found.parts[-1]


def test_a_tower_with_outliers_costs_more(tiny_vision_model: Callable[..., Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model = tiny_vision_model()
    sound = compressed(model)
    assert set(sound.stored_as) == {"int8_asym"}
    assert all(name.startswith("model.vision.") for name in sound.tensors)
    assert sound.saved > 0
    assert sound.mean_kl.value > 0
    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    for file in model.iterdir():
        (spoilt / file.name).symlink_to(file)
    for path in spoilt.glob("*.safetensors"):
        tensors = load_file(path)
        for name in sound.tensors:
            if name in tensors:
                tensors[name][:, 3] *= 60  # eight bits a row then round the rest away
        path.unlink()
        save_file(tensors, path, {"format": "pt"})
    assert compressed(spoilt).mean_kl.value > 5 * sound.mean_kl.value


@pytest.mark.parametrize("kind", ["qwen3_vl", "smolvlm"])
def test_a_tower_of_any_kind(kind: str, tmp_path: Path) -> None:
    found = compressed(tiny_vlm.make(kind, tmp_path / "model"))
    assert set(found.stored_as) == {"int8_asym"}
    assert all(name.startswith(("model.visual.", "model.vision_model.", "model.connector.")) for name in found.tensors)
    assert 0 < found.mean_kl.value < 0.1


def test_no_tensor_is_estimated_without_words(tiny_vision_model: Callable[..., Path]) -> None:
    found = run(SensitivityOptions(model=str(tiny_vision_model()), precision="int4_sym", by="tensor", tokens=256))
    assert "left out" in found.notes[0]
    assert not any(part.kind == "vision" for part in found.parts)


def test_eight_bits_at_least() -> None:
    assert eight_bits(Codec("int4_sym", 64)) == Codec("int8_asym")
    assert eight_bits(Codec("int8_sym")) == Codec("int8_sym")
    assert eight_bits(Codec("q4_k")) == Codec("q8_0")
    assert eight_bits(Codec("f16")) == Codec("f16")
