"""The cache against a model that reads every prompt from its beginning."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.multimodal import described
from edgeconv.core.errors import ArtifactError
from edgeconv.runtimes.cached import Picture, StoppedError
from edgeconv.runtimes.decoder import read_on
from edgeconv.runtimes.openvino_cached import CachedModel

from ..vision_ir import VisionRunner

BOI, ROWS, SIDE = 4094, 6, 56
EXACT = 1e-4
GO = threading.Event()


class Watched(CachedModel):
    """Counts the positions that the language model reads."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "CPU", described(folder)[1], {"EXECUTION_MODE_HINT": "ACCURACY"})
        self.read: list[int] = []

    def _forward(self, embeds: Any, new: Any, stop: Any, layout: Any = None) -> Any:
        self.read.append(len(new))
        return super()._forward(embeds, new, stop, layout)


@pytest.fixture
def model(artifact: Path) -> Watched:
    return Watched(artifact)


@pytest.fixture(scope="module")
def fresh(artifact: Path) -> VisionRunner:
    return VisionRunner(artifact, BOI)


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (1, 3, SIDE, SIDE)).astype(np.float32)


def picture(seed: int) -> Picture:
    return Picture({"pixel_values": pixels(seed)})


def words(seed: int, count: int = 9) -> list[int]:
    return np.random.default_rng(seed).integers(5, 4000, count).tolist()


def require_fresh(found: np.ndarray, fresh: VisionRunner, ids: list[int], *seeds: int) -> None:
    given = np.concatenate([pixels(seed) for seed in seeds]) if seeds else None
    np.testing.assert_allclose(found, fresh.logits(fresh.merge(ids, given))[-1], atol=EXACT)


def test_a_prompt_that_grows_is_read_on(model: Watched, fresh: VisionRunner) -> None:
    ids = words(1)
    require_fresh(model.prefill(ids, [], GO), fresh, ids)
    require_fresh(model.step(77), fresh, [*ids, 77])
    longer = [*ids, 77, *words(2)]
    require_fresh(model.prefill(longer, [], GO), fresh, longer)
    assert model.read == [9, 1, 9]


def test_what_differs_is_read_again(model: Watched, fresh: VisionRunner) -> None:
    ids = words(1, 30)
    model.prefill(ids, [], GO)
    other = [*ids[:20], 1, *words(3, 5)]
    require_fresh(model.prefill(other, [], GO), fresh, other)
    shorter = other[:12]
    require_fresh(model.prefill(shorter, [], GO), fresh, shorter)
    unlike = [1, *words(4)]
    require_fresh(model.prefill(unlike, [], GO), fresh, unlike)
    assert model.read == [30, 6, 1, 10]


def test_pictures_stay_in_the_cache(model: Watched, fresh: VisionRunner) -> None:
    first, second = picture(1), picture(2)
    ids = [*words(1), *[BOI] * ROWS, *words(2)]
    require_fresh(model.prefill(ids, [first], GO), fresh, ids, 1)
    assert first.made == {}
    both = [*ids, *[BOI] * ROWS, *words(3)]
    require_fresh(model.prefill(both, [first, second], GO), fresh, both, 1, 2)
    cut = [*ids[:12], *ids[12:], 8]  # the pictures' ids are equal, up to a word behind
    require_fresh(model.prefill(cut, [first], GO), fresh, cut, 1)
    assert model.read == [24, 15, 1]


def test_another_picture_in_the_same_place_is_not_taken_from_the_cache(model: Watched, fresh: VisionRunner) -> None:
    ids = [*words(1), *[BOI] * ROWS, *words(2)]
    before = model.prefill(ids, [picture(1)], GO)
    after = model.prefill(ids, [picture(2)], GO)
    require_fresh(after, fresh, ids, 2)
    assert np.abs(after - before).max() > 100 * EXACT
    assert model.read == [24, 15]


def test_the_tower_is_compiled_for_the_first_picture(model: Watched) -> None:
    model.prefill(words(1), [], GO)
    assert model._tower is None
    model.prefill([BOI] * ROWS, [picture(1)], GO)
    assert model._tower is not None


def test_too_few_placeholders(model: Watched) -> None:
    with pytest.raises(ArtifactError, match="makes 6 rows, the prompt has 5 placeholders"):
        model.prefill([1, *[BOI] * (ROWS - 1)], [picture(1)], GO)


def test_only_the_last_position_gets_logits(model: Watched) -> None:
    decoder = model._decoder
    assert read_on(decoder, decoder.embed(np.array([words(1)])), 0).shape == (1, 4096)


def test_a_stop_before_it_begins(model: Watched, fresh: VisionRunner) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        model.prefill(words(1), [], stop)
    require_fresh(model.prefill(words(1), [], GO), fresh, words(1))


def test_a_long_prompt_is_stopped_midway_and_the_model_goes_on(model: Watched, fresh: VisionRunner) -> None:
    model.prefill(words(1), [], GO)
    stop = threading.Event()
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    with pytest.raises(StoppedError):
        model.prefill([*words(1), *words(5, 20_000)], [], stop)  # many seconds, if nobody stops it
    again = [*words(1), 8]
    require_fresh(model.prefill(again, [], GO), fresh, again)


def test_a_damaged_graph(artifact: Path, tmp_path: Path) -> None:
    for path in [*artifact.glob("openvino_*_model.*"), artifact / "config.json"]:
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "openvino_language_model.xml").unlink()
    (tmp_path / "openvino_language_model.xml").write_text("<net")
    with pytest.raises(ArtifactError, match=r"openvino_language_model\.xml cannot be loaded on CPU"):
        Watched(tmp_path)
