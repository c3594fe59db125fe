"""The layer that was spoilt comes out first; a part's figure is that of a whole pass; a stopped run goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import UsageError
from edgeconv.core.progress import Silent
from edgeconv.study.options import SensitivityOptions
from edgeconv.study.sensitivity import estimate, exact, picture
from edgeconv.study.sensitivity.codec import Codec, codec
from edgeconv.study.sensitivity.path import Path as Way
from edgeconv.study.sensitivity.run import run
from edgeconv.study.sensitivity.subject import Subject, open_subject
from edgeconv.validate.checks.logits import heads_apart
from edgeconv.validate.metrics import compare
from edgeconv.validate.reference import LayeredReference

from .models import PLANTED, with_outliers

PER_ROW = Codec("int4_sym", -1)


@pytest.fixture(scope="module")
def planted(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_outliers(tiny_model("llama", num_hidden_layers=4), tmp_path_factory.mktemp("planted") / "model")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))


def opened(model: Path, tokens: int = 256, window: int = 64) -> Subject:
    return open_subject(open_checkpoint(model), "planted", Silent(), tokens=tokens, window=window)


def test_the_layer_with_outliers_is_the_most_sensitive(planted: Path, tiny_model: Callable[..., Path]) -> None:
    figures = {part.name: part.mean_kl.value for part in exact.measure(opened(planted), "layer", PER_ROW, Silent())}
    layers = {name: kl for name, kl in figures.items() if name.startswith("layer")}
    assert max(layers, key=lambda name: layers[name]) == f"layer {PLANTED}"
    sound = opened(tiny_model("llama", num_hidden_layers=4))
    before = {part.name: part.mean_kl.value for part in exact.measure(sound, "layer", PER_ROW, Silent())}
    assert layers[f"layer {PLANTED}"] > 5 * before[f"layer {PLANTED}"]


@pytest.mark.parametrize("name", ["embeddings", "layer 1", "mlp", "head"])
def test_a_part_is_what_a_whole_pass_gives(name: str, planted: Path) -> None:
    """From the activations that were kept, bit for bit what the whole model gives with that part compressed."""
    subject = opened(planted)
    part = next(p for by in ("layer", "component") for p in subject.parts(by) if p.name == name)
    way = Way(subject.checkpoint, subject.ids, Silent())
    tensors = way.compressed(part.tensors, PER_ROW)
    made = compare("quantisation", "", "", way.scores(part.first, tensors, lambda _: None))
    model = LayeredReference(subject.checkpoint.folder, tensors)
    whole = model.hidden_states(subject.ids, Silent(), "")
    expected = compare("quantisation", "", "", heads_apart((way.head, way.final), (model.head(), whole), subject.ids))
    assert made.figures == expected.figures
    assert made.figures["mean_kl"].value > 0


def test_estimates_rank_as_full_passes_do(tiny_model: Callable[..., Path]) -> None:
    subject, one = opened(tiny_model("llama"), tokens=384, window=32), Codec("int4_asym", 32)
    guessed = np.array([part.mean_kl.value for part in estimate.measure(subject, one, Silent())])
    true = np.array([part.mean_kl.value for part in exact.measure(subject, "tensor", one, Silent())])
    ranks = [np.argsort(np.argsort(values)) for values in (guessed, true)]
    assert np.corrcoef(*ranks)[0, 1] > 0.9
    assert 0.7 < guessed.sum() / true.sum() < 1.4


def test_a_stopped_run_goes_on(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, runs = opened(planted), []
    plain = exact._run

    def counted(*given: Any) -> dict[str, Any]:
        if len(runs) == 2:
            raise KeyboardInterrupt
        runs.append(given[2].name)
        return plain(*given)

    monkeypatch.setattr(exact, "_run", counted)
    with pytest.raises(KeyboardInterrupt):
        exact.measure(subject, "layer", codec("int8"), Silent())
    monkeypatch.setattr(exact, "_run", lambda *given: runs.append(given[2].name) or plain(*given))
    figures = exact.measure(subject, "layer", codec("int8"), Silent())
    names = [part.name for part in figures]
    assert runs == names == ["embeddings", *(f"layer {i}" for i in range(4)), "head"]
    monkeypatch.setattr(exact, "_run", None)
    assert exact.measure(subject, "layer", codec("int8"), Silent()) == figures


def test_the_whole_result_and_its_picture(planted: Path) -> None:
    found = run(SensitivityOptions(model=str(planted), precision="q4_k", by="component", tokens=256))
    assert [part.name for part in found.parts] == ["embeddings", "attention", "mlp", "head"]
    assert found.parts[2].stored_as == {"q5_0": 12}
    assert found.parts[2].bytes < found.parts[2].saved
    drawn = str(picture.draw(found))
    assert drawn.count('class="bar"') == 4
    assert "attention: KL" in drawn
    with pytest.raises(UsageError, match="estimate"):
        run(SensitivityOptions(model=str(planted), method="estimate"))
