"""What of an output is NOT compared, and why. All of it stands here.

* Paths below the corpus's working folder, and the versions of libraries and of edgeconv. A version of another length also moves
  what lies behind it in a GGUF or an ONNX model, so a release of edgeconv writes the corpus anew.
* edgeconv.json: sizes and digests of files, for the files themselves are compared, and those of inputs come from libraries.
* edgeconv.log.json holds what differs between two runs: only its keys are compared.
* Answers of `--json`: seconds, free disk and memory (`UNSTEADY`). Of measurements (a parity report, the state of a machine) only
  the outline: keys, kinds of values, and the words in `KEPT`. Figures carry float noise.
* The families that hints and reasons list, which grow with each.
* Weights that were chosen by running a model (GPTQ and the like, importance from a text): only their number of bytes. The sums
  of a forward pass depend on the processor.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "edgeconv", "openvino", "openvino-tokenizers", "openvino-genai", "nncf", "transformers", "tokenizers", "optimum-intel",
    "torch", "onnx", "onnxruntime", "onnxruntime-genai", "onnxscript", "safetensors", "gguf", "numpy", "cyllama",
    "huggingface-hub",
)  # fmt: skip
"""Whose versions may stand in an output; expected/versions.json says which ones the corpus was written with."""
UNSTEADY = frozenset(["seconds", "free", "fits", "memory_bytes"])
"""Keys of answers whose values depend on the machine or the moment."""
MACHINE = frozenset(["devices", "problems", "hf_endpoint"])
"""Keys of the doctor's report whose very shape depends on the machine."""
KEPT = frozenset(
    ["verdict", "status", "first_failed", "metric", "passed", "decided", "name", "reason", "higher_is_better", "sees"]
)
"""Keys of a report whose values are compared if they are words, truths or nothing."""
RAW = (".bin", ".onnx_data", ".safetensors")
"""Ends of the names of files that hold weights and nothing else."""
_DIGEST = re.compile(rb'("sha256": )"[0-9a-f]{64}"')
_SIZE = re.compile(rb'("size": )\d+')
_FAMILIES = re.compile(rb"(Streamed: |Supported: |of images and text: )[a-z0-9_, ]+ and \d+ more types")
_XML_VERSION = re.compile(rb'(<\w*version value=)"[^"]*"')


def versions() -> dict[str, str]:
    """Return the installed versions of `PACKAGES`."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


@cache
def _version_pattern() -> re.Pattern[bytes]:
    stated = sorted({re.escape(text) for text in versions().values() if text != "absent"}, key=len, reverse=True)
    return re.compile(rf"(?<![\w.])(?:{'|'.join(stated)})(?![\w.])".encode())


def neutral(content: bytes, root: Path) -> bytes:
    """Replace what the machine put in, the working folder and versions, and lists of families."""
    content = _FAMILIES.sub(rb"\1FAMILIES", content.replace(str(root).encode(), b"ROOT"))
    return _XML_VERSION.sub(rb'\1"VERSION"', _version_pattern().sub(b"VERSION", content))


def content(path: Path, root: Path, *, noisy: bool = False) -> bytes:
    """Return of a file what is compared.

    Args:
        path: of the file.
        root: the working folder of the corpus.
        noisy: whether its weights were chosen by running a model.
    """
    if noisy and path.suffix in (*RAW, ".gguf", ".onnx"):
        return f"{path.stat().st_size} bytes".encode()
    data = path.read_bytes()
    if path.name.endswith("edgeconv.log.json"):
        return json.dumps(outline(json.loads(data)), indent=1).encode()
    if path.name.endswith("edgeconv.json"):
        data = _SIZE.sub(rb"\1null", _DIGEST.sub(rb"\1null", data))
    return data if path.suffix in RAW else neutral(data, root)


def answer(value: Any) -> Any:
    """Return a JSON answer without what is unsteady, in its order."""
    if isinstance(value, dict):
        return {key: "UNSTEADY" if key in UNSTEADY else answer(inner) for key, inner in value.items()}
    return [answer(inner) for inner in value] if isinstance(value, list) else value


def outline(value: Any, key: str = "") -> Any:
    """Return the shape of a JSON value: keys, kinds, and the words in `KEPT`; a list is the union of its elements.

    Elements that have a status, such as the steps of a validation, stay apart.
    """
    if isinstance(value, dict):
        return {name: "UNSTEADY" if name in MACHINE else outline(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        found = [outline(inner, key) for inner in value]
        if any(isinstance(one, dict) and "status" in one for one in found):
            return found
        return [_united(found)] if found else []
    if value is None or isinstance(value, bool | str):
        return value if key in KEPT and not _has_figures(value) else type(value).__name__
    return "number"


def _has_figures(value: Any) -> bool:
    return isinstance(value, str) and bool(re.search(r"\d", value))


def _united(found: list[Any]) -> Any:
    """Unite the outlines of a list's elements: dictionaries key by key, all others as alternatives."""
    tables = [one for one in found if isinstance(one, dict)]
    others = sorted({json.dumps(one, sort_keys=True) for one in found if not isinstance(one, dict)})
    if not tables:
        return json.loads(others[0]) if len(others) == 1 else {"one of": list(map(json.loads, others))}
    keys = dict.fromkeys(key for one in tables for key in one)
    union = {key: _united([one[key] for one in tables if key in one]) for key in keys}
    return {"one of": [union, *map(json.loads, others)]} if others else union
