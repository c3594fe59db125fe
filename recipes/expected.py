"""Which files a target is going to have on the Hub, before there is one: what of others' would be in the way there."""

from __future__ import annotations

from ..convert import tokenizer_copy
from ..convert.conversion import gguf, source
from ..convert.conversion.artifact import Planned
from ..convert.conversion.gguf_plan import GgufJob, GgufPlan
from ..convert.conversion.onnx_plan import OnnxJob
from ..convert.onnx import names as onnx_names
from ..convert.openvino import assets, stream_ir
from ..core.progress import Progress
from ..publish.place import PARITY
from ..validate.report.write import HTML_NAME, JSON_NAME, MARKDOWN_NAME
from ..validate.rungs.structure import TOKENIZERS
from .unit import Unit

_IRS = (stream_ir.TEXT, stream_ir.LANGUAGE, stream_ir.TEXT_EMBEDDINGS, stream_ir.VISION_EMBEDDINGS)
_ONNX = (onnx_names.TEXT, *onnx_names.SEEING)
_WRITTEN = ("config.json", "generation_config.json")
REPORT = tuple(f"{PARITY}/{name}" for name in (JSON_NAME, MARKDOWN_NAME, HTML_NAME))


def files(unit: Unit, progress: Progress, planned: Planned | None = None) -> tuple[str, ...]:
    """Return the names of a unit's files as they would be published; of graphs also those of a model of another kind.

    Args:
        unit: the target.
        progress: hears of what is fetched: configs and tokenizer files, and headers of weights.
        planned: the unit's plan, if there is one already.

    Raises:
        EdgeconvError: any of the family: the source cannot be opened, or not be converted.
    """
    report = REPORT if unit.target.parity else ()
    job = unit.job
    if isinstance(job, GgufJob):
        plan = planned if isinstance(planned, GgufPlan) else gguf.plan(job, progress)
        return (*plan.files, *report)
    opened = source.headers(job.model, job.revision, progress, runs_code=False, local_files_only=job.local_files_only)
    folder = opened.checkpoint.folder
    copied = (path.relative_to(folder).as_posix() for path in assets.sources(folder))
    names = dict.fromkeys((*_WRITTEN, *copied, *tokenizer_copy.written(folder)))
    return (*names, *(_onnx() if isinstance(job, OnnxJob) else _openvino()), *report)


def _openvino() -> tuple[str, ...]:
    graphs = (*(f"{name}.xml" for name in _IRS), *TOKENIZERS)
    return (*graphs, *(f"{name.removesuffix('.xml')}.bin" for name in graphs), "openvino_config.json")


def _onnx() -> tuple[str, ...]:
    graphs = tuple(f"{name}.onnx" for name in _ONNX)
    return (*graphs, *(f"{name}_data" for name in graphs), onnx_names.GENAI)
