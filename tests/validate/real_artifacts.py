"""Convert a checkpoint exactly, and run the checks of tokens and template alone."""

from pathlib import Path

from edgeconv.cli.main import app
from edgeconv.convert.checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.validate.formats import open_artefact

FORMATS = ("openvino", "gguf", "onnx")
