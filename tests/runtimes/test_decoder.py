"""Every decoder of graphs keeps its cache alike: read in parts, shortened, emptied, in a batch, stopped."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes.cached import StoppedError
from edgeconv.runtimes.decoder import Decoder, DecoderRuntime, read_on
from edgeconv.runtimes.onnx_decoder import OnnxDecoder
from edgeconv.runtimes.openvino import ACCURATE, OpenVINODecoder

IDS = np.random.default_rng(5).integers(5, 4000, (1, 40))
EXACT = 2e-4

OPEN: dict[str, Callable[[Path], Decoder]] = {
    "openvino": lambda folder: OpenVINODecoder(folder, "CPU", ACCURATE),
    "onnx": lambda folder: OnnxDecoder(folder / "model.onnx", accurate=True),
}
JOBS = {"openvino": conversion.Job, "onnx": conversion.OnnxJob}


@pytest.fixture(scope="module", params=OPEN)
def decoder(request: pytest.FixtureRequest, builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    out = tmp_path_factory.mktemp("decoder") / "out"
    conversion.run(JOBS[request.param](str(builtin_model), Request("fp32"), output=out, smoke_test=False), Silent())
    return OPEN[request.param](out)


@pytest.fixture(scope="module")
def whole(decoder: Decoder) -> np.ndarray:
    decoder.empty()
    return read_on(decoder, decoder.embed(IDS), 0).copy()


def read(decoder: Decoder, start: int, stop: int) -> np.ndarray:
    return read_on(decoder, decoder.embed(IDS[:, start:stop]), start).copy()


def test_what_is_read_in_parts_is_what_is_read_at_once(decoder: Decoder, whole: np.ndarray) -> None:
    decoder.empty()
    made = [read(decoder, start, stop) for start, stop in ((0, 17), (17, 18), (18, 40))]
    np.testing.assert_allclose(np.concatenate(made), whole, atol=EXACT)


def test_a_shortened_cache_is_read_on_from(decoder: Decoder, whole: np.ndarray) -> None:
    decoder.empty()
    read(decoder, 0, 20)
    read_on(decoder, decoder.embed(IDS[:, ::-1]), 20)
    assert decoder.shorten(20)
    np.testing.assert_allclose(read(decoder, 20, 40), whole[20:], atol=EXACT)


def test_what_is_in_the_cache_counts(decoder: Decoder, whole: np.ndarray) -> None:
    decoder.empty()
    read_on(decoder, decoder.embed(IDS[:, ::-1]), 0)
    behind = read_on(decoder, decoder.embed(IDS), IDS.shape[1])
    assert np.abs(behind - whole).max() > 0.01


def test_a_stop_leaves_a_decoder_that_can_be_emptied(decoder: Decoder, whole: np.ndarray) -> None:
    stop = threading.Event()
    stop.set()
    decoder.empty()
    with pytest.raises(StoppedError):
        read_on(decoder, decoder.embed(IDS), 0, stop)
    decoder.empty()
    np.testing.assert_allclose(read(decoder, 0, 40), whole, atol=EXACT)


def test_rows_of_a_batch_are_read_beside_each_other(decoder: Decoder, whole: np.ndarray) -> None:
    runtime = DecoderRuntime(decoder, "a")
    assert runtime.paddings == ("left", "right")
    assert runtime.beams == decoder.beams
    for padding in runtime.paddings:
        made = runtime.batch([IDS[0].tolist(), IDS[0, :11].tolist()], padding)
        np.testing.assert_allclose(made.rows[0], whole, atol=EXACT)
        np.testing.assert_allclose(made.rows[1], whole[:11], atol=EXACT)
