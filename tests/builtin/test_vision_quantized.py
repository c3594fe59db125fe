"""What the built-in vision model says once converted: the same as before, with 8 and with 4 bits per weight."""

import numpy as np
import pytest
from transformers import AutoTokenizer

from edgeconv.builtin import pictures, vision_model_path
from edgeconv.builtin.vision_exam import MOST_TOKENS, captions
from edgeconv.convert import conversion
from edgeconv.convert.families.glm_edge_v_model import load
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes.answers import Sampling
from edgeconv.runtimes.openvino_vision_chat import VisionChat

pytestmark = pytest.mark.slow

SAME = 0.95
"""Part of the captions that must be the same to the letter as the checkpoint's own in float32."""
PER_FORM = 6


@pytest.fixture(scope="module")
def samples():
    return pictures.samples(PER_FORM)


@pytest.fixture(scope="module")
def reference(samples):
    folder = vision_model_path()
    return captions(load(folder), AutoTokenizer.from_pretrained(folder), samples)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_captions_survive_quantization(precision, samples, reference, tmp_path):
    job = conversion.Job(model=str(vision_model_path()), request=Request(precision), output=tmp_path / precision)
    chat = VisionChat(conversion.run(job, Silent()).path, sampling=Sampling(max_new_tokens=MOST_TOKENS, temperature=0))
    said = []
    for sample in samples:
        chat.reset()
        said.append(chat.reply(sample.question, [sample.picture]).text)
    same = np.mean([one == other for one, other in zip(said, reference, strict=True)])
    right = np.mean([one == sample.answer for one, sample in zip(said, samples, strict=True)])
    print(f"{precision}: {same:.3f} as before, {right:.3f} right")
    assert same >= SAME
    assert right >= SAME
