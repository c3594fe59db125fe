"""What compressing the vision part costs: pictures through it as it is and as an artifact holds it, and the words behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.families.glm_edge_v_model.facts import PLACEHOLDER, is_glm_edge_v
from ...convert.openvino import stream_ir
from ...convert.program.vision import Vision
from ...core.kept import Kept
from ...core.progress import Progress
from ...quantize.scheme import INT8_MODES, Request, resolve
from ...runtimes.splice import splice
from ...validate import described
from ...validate.checks import pixels
from ...validate.module_weights import Tensors, checkpoint_tensors
from ...validate.multimodal.conversations import conversations
from ...validate.multimodal.features import Seen
from ...validate.multimodal.processor import Processor
from ...validate.reference import LayeredReference
from ...validate.scores import Scores
from ...validate.tokenizer import open_tokenizer
from ...validate.vision_reference import features
from .codec import Codec
from .exact import figure, summed
from .model import PartFigure
from .parts import Part
from .path import compressed
from .subject import Subject

Array = npt.NDArray[Any]
NAME = "vision tower"
RUNNING = "Running the language model"


def measure(subject: Subject, codec: Codec, progress: Progress) -> PartFigure:
    """Compress every matrix of tower and adapter, and score the positions behind each picture of the suite.

    No artifact stores the vision part in fewer than eight bits, so that is what a codec of fewer is replaced by.

    Raises:
        CheckpointError: a weight is not finite, or the checkpoint's files make no processor.
    """
    part, codec = _part(subject), eight_bits(codec)
    digests = [picture.sha256 for picture in subject.suite.pictures]
    questions = [picture.question for picture in subject.suite.pictures]
    facts = {"weights": subject.digest, "pictures": digests, "questions": questions, "codec": str(codec)}
    kept = Kept("tower", facts, progress)
    found = kept.get(NAME)
    if found is None:
        names = [picture.name for picture in subject.suite.pictures]
        found = summed(NAME, _scores(subject, part, codec, progress), names)
        kept.put(NAME, found)
    return figure(subject, part, codec, found)


def eight_bits(codec: Codec) -> Codec:
    """Return the codec of eight bits that stands for one of fewer; a codec of more as it is."""
    if codec.is_ggml:
        return codec if codec.name in ("f32", "bf16", "f16") else Codec("q8_0")
    return codec if codec.name in INT8_MODES else Codec("int8_asym")


def _part(subject: Subject) -> Part:
    """The matrices that a conversion compresses: `edgeconv openvino`'s choice, without the convolution over pixels."""
    vision = _vision(subject)
    irs = stream_ir.cut_vision(vision.graphs(), vision.kept, resolve(Request("int8")))
    weights = [weight for ir in irs for weight in ir.weights]
    return Part(NAME, "vision", tuple(weight.name for weight in weights if weight.role == "matmul"), 0)


def _vision(subject: Subject) -> Vision:
    vision = described.vision(subject.checkpoint)
    assert vision is not None  # `subject.takes_images`
    return vision


def _scores(subject: Subject, part: Part, codec: Codec, progress: Progress) -> list[Scores]:
    if is_glm_edge_v(subject.checkpoint.config, subject.checkpoint.names):
        return _of_glm_edge_v(subject, part, codec, progress)
    folder, source = subject.checkpoint.folder, checkpoint_tensors(subject.checkpoint)
    processor, model = Processor(folder), LayeredReference(folder, source)
    made = [processor(one.turns) for one in conversations(subject.suite.pictures) if one.is_single]
    prompts, arrays = [one.ids for one in made], [one.arrays for one in made]
    finals = []
    for tensors, label in _weights(subject, part, codec, source):
        found = LayeredReference(folder, tensors).features(arrays, progress, label)
        seen = [Seen(*one) for one in zip(arrays, found, strict=True)]
        finals.append(model.hidden_states(prompts, progress, RUNNING, pictures=seen))
    return _behind(prompts, finals, _vision(subject).placeholder, model.head())


def _weights(subject: Subject, part: Part, codec: Codec, source: Tensors) -> list[tuple[Tensors, str]]:
    """Return the checkpoint's weights and the compressed ones, and what running the vision part on them is called."""
    other = compressed(subject.checkpoint, part.tensors, codec)
    return [(source, "Looking at pictures"), (other, "Looking again, compressed")]


def _of_glm_edge_v(subject: Subject, part: Part, codec: Codec, progress: Progress) -> list[Scores]:
    folder, source = subject.checkpoint.folder, checkpoint_tensors(subject.checkpoint)
    model = LayeredReference(folder, source)
    shown = pixels.reference(folder, subject.suite.pictures)
    prompts = pixels.prompts(folder, subject.suite.pictures)
    placeholder = open_tokenizer(folder, parts=True).convert_tokens_to_ids(PLACEHOLDER)
    finals = []
    for tensors, label in _weights(subject, part, codec, source):
        rows = features(folder, tensors, shown, dtype="float32", progress=progress, label=label)
        merged = [splice(*one, placeholder) for one in zip(prompts, model.embed(prompts), rows, strict=True)]
        finals.append(model.hidden_states(prompts, progress, RUNNING, merged))
    return _behind(prompts, finals, placeholder, model.head())


def _behind(prompts: Sequence[list[int]], finals: Sequence[list[Array]], placeholder: int, head: Any) -> list[Scores]:
    scores = []
    for ids, reference, made in zip(prompts, *finals, strict=True):
        start = max(place for place, token in enumerate(ids) if token == placeholder)
        one = Scores()
        one.add(head.logits(reference[start:]), head.logits(made[start:]), np.array(ids[start + 1 :], np.int64))
        scores.append(one)
    return scores
