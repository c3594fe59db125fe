"""Exact artifacts of checkpoints with real tokenizers: converted once, planted into, run through tokens and template alone."""

import shutil
from pathlib import Path

from edgeconv.convert import conversion
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino.tokenizer import export
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.formats import open_artifact

from ..convert.gguf_source.files import rewritten
from ..models import real_tokenizers
from .real_plants import GGUF_PLANTS, PLANTS

FORMATS = ("openvino", "gguf", "onnx")


class RealArtifacts:
    """Makes checkpoints and sound artifacts once; both are read-only."""

    def __init__(self, work: Path) -> None:
        self._work = work

    def source(self, kind: str) -> Path:
        """Return a checkpoint with a real tokenizer."""
        folder = self._work / f"{kind}-source"
        return folder if folder.exists() else real_tokenizers.checkpoint(kind, folder, dtype="float32")

    def sound(self, kind: str, form: str) -> Path:
        """Return its artifact in float32, untried: the checks open it in its runtime."""
        source, out = self.source(kind), self._work / f"{kind}-{form}"
        if form == "gguf":
            file = out.with_suffix(".gguf")
            job = conversion.GgufJob(str(source), recipe("f32"), output=file, smoke_test=False)
            return file if file.exists() else conversion.run(job).path
        if out.exists():
            return out
        if form == "onnx":
            return conversion.run(conversion.OnnxJob(str(source), Request("fp32"), output=out, smoke_test=False)).path
        return conversion.run(
            conversion.Job(model=str(source), request=Request("fp32"), output=out, smoke_test=False), Silent()
        ).path

    def planted(self, name: str, kind: str, form: str, out: Path) -> Path:
        """Plant a fault into a copy of the finished artifact, so that no converter can refuse it."""
        sound = self.sound(kind, form)
        if form == "gguf":
            return rewritten(sound, out / "planted.gguf", GGUF_PLANTS[name](open_gguf(sound).keys))
        folder = shutil.copytree(sound, out / "planted")
        PLANTS[name].change(folder)
        if form == "openvino":  # what runs is the graph that is made of the files
            export(folder, folder, trust_remote_code=False)
        return folder

    def require_caught(self, name: str, kind: str, form: str, out: Path) -> None:
        """Plant, and fail unless the check that must see it does."""
        planted = self.planted(name, kind, form, out)
        assert failures(planted, self.source(kind))[PLANTS[name].check]


def failures(artifact: Path, reference: Path) -> dict[str, list[str]]:
    """Return the failures of the two checks against a sound checkpoint."""
    checkpoint, opened = open_checkpoint(reference), open_artifact(artifact)
    rungs = [opened.tokens(checkpoint, Silent()), opened.template(checkpoint, Silent())]
    return {str(one.name): one.failures for one in rungs}


def cases(kinds: tuple[str, ...] | None = None) -> list[tuple[str, str, str]]:
    """Return each plant with each tokenizer that can have it and each format that can hold it."""
    return [
        (name, kind, form)
        for name, plant in PLANTS.items()
        for kind in plant.kinds
        for form in FORMATS
        if (kinds is None or kind in kinds) and (form != "gguf" or (name in GGUF_PLANTS and kind not in plant.no_gguf))
    ]
