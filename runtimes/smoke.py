"""One real load and one generated token, in the runtimes that an artifact is for.

It is run as a process of its own, `python -m edgeconv.runtimes.smoke TARGET PATH [MMPROJ]`: a runtime that falls over a
file (an assertion, a lack of memory) then ends that process alone. On stdout stands a line for each runtime that made its
token, on stderr the sentence of the one that did not.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..convert import families
from ..convert.checkpoint import read_json
from ..convert.program.encoder import STATES
from ..convert.program.task import Task
from ..core.errors import ArtifactError, EdgeconvError
from ..core.foreign_code import block_optional_packages
from ..core.graph_file import read_graph
from .base import Tower
from .encoder import Text

TEXT = "Hello."
_LLM_INPUTS = {"input_ids", "attention_mask", "position_ids", "beam_idx"}
"""Inputs that openvino_genai.LLMPipeline fills."""
_UNKNOWN = ("Unsupported", "is not supported")
"""How openvino_genai says that it does not know a vision family."""


def run(target: str, path: Path, projector: Path | None = None) -> list[str]:
    """Load an artifact and make one token; return the runtimes that did, with their versions.

    Args:
        target: the format's name.
        path: its folder, or the .gguf.
        projector: the mmproj that belongs to a .gguf.

    Raises:
        EdgeconvError: a runtime does not load it, or fails.
    """
    return TRIED[target](path, projector)


def _openvino(folder: Path, _: Path | None) -> list[str]:
    from . import irs

    if irs.takes_images(folder):
        return _openvino_vision(folder)
    model = read_graph(folder / irs.names(folder)[0])
    inputs = {name for port in model.inputs for name in port.get_names()}
    if "input_ids" in inputs and inputs <= _LLM_INPUTS and "beam_idx" in inputs:
        _genai(folder, "LLMPipeline")
        return [_named("openvino_genai")]
    if not irs.stateful(folder / irs.names(folder)[0]):
        return _openvino_encoder(folder, model)
    from .openvino import OpenVINORuntime

    runtime = OpenVINORuntime(folder, accurate=False)
    runtime.generate([0], 1, [])
    return [_named("openvino")]


def _openvino_encoder(folder: Path, model: Any) -> list[str]:
    """Make one vector, or one score, as a user's pipeline does; of several scores as the graph does."""
    from . import openvino_genai_rag

    shape = model.output(0).get_partial_shape()
    if model.output(0).get_any_name() == STATES:
        openvino_genai_rag.embed(folder, Task("embed"), [TEXT], accurate=False)
    elif shape[-1].is_static and shape[-1].get_length() == 1:
        openvino_genai_rag.rerank(folder, TEXT, [TEXT], accurate=False)
    else:
        from .openvino_encoder import OpenVINOEncoder

        OpenVINOEncoder(folder, accurate=False).run([Text([0], [0])])
        return [_named("openvino")]
    return [_named("openvino_genai")]


def _openvino_vision(folder: Path) -> list[str]:
    """Show a picture to what edgeconv runs itself; and make a token in openvino_genai, where it knows the type."""
    from .openvino import DEFAULTS, OpenVINORuntime, OpenVINOTower, compile_ir

    found = []
    if read_json(folder / "config.json").get("model_type") in families.vision_language_types():
        _look(folder, OpenVINOTower(folder, properties=DEFAULTS))
        OpenVINORuntime(folder, accurate=False).generate([0], 1, [])
        found.append(_named("openvino"))
    try:
        _genai(folder, "VLMPipeline")
    except RuntimeError as error:
        if not any(word in str(error) for word in _UNKNOWN):
            raise
    else:
        found.append(_named("openvino_genai"))
    if not found:
        for file in sorted(folder.glob("openvino_*_model.xml")):
            compile_ir(file, "CPU", DEFAULTS)
        found.append(_named("openvino"))
    return found


def _look(folder: Path, tower: Tower) -> None:
    """Show the vision part a gray picture, prepared by the folder's own files."""
    from PIL import Image

    from .vision_processor import pixels_of

    made = pixels_of(folder, read_json(folder / "config.json"))(Image.new("RGB", (64, 64), "gray"))
    if not len(tower(made).rows):
        raise ArtifactError("The vision part makes no rows of a picture.")
    tower.close()


def _genai(folder: Path, kind: str) -> None:
    """Make one token as a user's pipeline does, whatever sampling the folder proposes."""
    import openvino_genai

    config = openvino_genai.GenerationConfig()
    config.max_new_tokens, config.do_sample, config.ignore_eos = 1, False, True
    pipeline: Any = getattr(openvino_genai, kind)(str(folder), "CPU")
    if kind == "VLMPipeline":
        pipeline.generate(TEXT, generation_config=config)
        return
    encoded = pipeline.get_tokenizer().encode(TEXT)
    made = pipeline.generate(encoded, config).tokens[0]
    if len(made) != 1:
        raise ArtifactError(f"openvino_genai was asked for one token, and made {len(made)}.")


def _gguf(path: Path, projector: Path | None) -> list[str]:
    from .llama_cpp import LlamaCppRuntime
    from .llama_cpp_binding import PACKAGE
    from .llama_cpp_encoder import LlamaCppEncoder, is_encoder
    from .llama_cpp_tokenizer import LlamaCppTokenizer

    ids = LlamaCppTokenizer(path).encode(TEXT, special=True)
    if is_encoder(path):
        LlamaCppEncoder(path, accurate=False).run([Text(ids or [0])])
        return [_named(PACKAGE)]
    if projector:
        from .llama_cpp_vision_process import VisionLanguageRuntime

        runtime: LlamaCppRuntime = VisionLanguageRuntime(path, projector, accurate=False)
    else:
        runtime = LlamaCppRuntime(path, accurate=False)
    runtime.generate(ids or [0], 1, [])
    return [_named(PACKAGE)]


def _onnx(folder: Path, _: Path | None) -> list[str]:
    from . import onnx_models
    from .onnxruntime import OnnxRuntime, OnnxTower

    takes_images = onnx_models.takes_images(folder)
    if not takes_images and onnx_models.encodes(folder):
        from .onnx_encoder import OnnxEncoder

        ids = _ids(folder)
        OnnxEncoder(folder, accurate=False).run([Text(ids, [0] * len(ids))])
        return [_named("onnxruntime")]
    OnnxRuntime(folder, accurate=False).generate(_ids(folder), 1, [])
    if takes_images:
        _look(folder, OnnxTower(folder, accurate=False))
    found = [_named("onnxruntime")]
    if importlib.util.find_spec("onnxruntime_genai") and (folder / "genai_config.json").is_file():
        _onnx_genai(folder)
        found.append(_named("onnxruntime-genai"))
    return found


def _ids(folder: Path) -> list[int]:
    """Encode the text by the file that every runtime of such a folder reads."""
    if not (folder / "tokenizer.json").is_file():
        return [0]
    from tokenizers import Tokenizer

    return list(Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TEXT).ids) or [0]


def _onnx_genai(folder: Path) -> None:
    genai: Any = importlib.import_module("onnxruntime_genai")
    model = genai.Model(str(folder))
    ids: Sequence[int] = genai.Tokenizer(model).encode(TEXT)
    parameters = genai.GeneratorParams(model)
    parameters.set_search_options(max_length=len(ids) + 1, batch_size=1, do_sample=False)
    generator = genai.Generator(model, parameters)
    generator.append_tokens(ids)
    generator.generate_next_token()


TRIED: Mapping[str, Callable[[Path, Path | None], list[str]]] = {"openvino": _openvino, "gguf": _gguf, "onnx": _onnx}
"""By the name of the format."""


def _named(package: str) -> str:
    return f"{package} {version(package.replace('_', '-'))}"


def _main(target: str, path: Path, *projector: Path) -> int:
    block_optional_packages()
    try:
        for line in run(target, path, *projector):
            print(line)
    except EdgeconvError as error:
        print(error.message, file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 - a runtime's own: its sentence is what the user needs
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        print(lines[-1] if lines else type(error).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], *map(Path, sys.argv[2:])))
