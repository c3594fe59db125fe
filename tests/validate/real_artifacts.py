"""Convert a checkpoint exactly, and run the checks of its tokens and its template alone."""

from pathlib import Path

from edgeconv import pipeline
from edgeconv.convert.checkpoint import open_checkpoint
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.progress import Silent
from edgeconv.pipeline import gguf, onnx
from edgeconv.quantize.scheme import Request
from edgeconv.validate.formats import open_artefact

FORMATS = ("openvino", "gguf", "onnx")


def convert(source: Path, form: str, out: Path) -> Path:
    """Return the artifact in float32, untried: the checks open it in its runtime."""
    if form == "gguf":
        return gguf.run(gguf.GgufJob(str(source), recipe("f32"), output=out / "model.gguf", smoke_test=False)).path
    if form == "onnx":
        return onnx.run(onnx.OnnxJob(str(source), Request("fp32"), output=out / "model", smoke_test=False)).path
    job = pipeline.Job(model=str(source), request=Request("fp32"), output=out / "model", smoke_test=False)
    return pipeline.run(job, Silent()).path


def failures(artifact: Path, reference: Path) -> dict[str, list[str]]:
    """Return the failures of the two checks against a sound checkpoint."""
    checkpoint, opened = open_checkpoint(reference), open_artefact(artifact)
    rungs = [opened.tokens(checkpoint, Silent()), opened.template(checkpoint, Silent())]
    return {str(rung.name): rung.failures for rung in rungs}
