"""Record what llama.cpp's own converter makes of the sample checkpoints.

`python -m tests.convert.gguf.record_projectors LLAMA_CPP`; LLAMA_CPP is a folder of its sources, with `convert_hf_to_gguf.py`
and `gguf-py`. test_projectors.py compares with the record.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgeconv.convert.gguf.read import open_gguf

from .projector_samples import FAMILIES, make

RECORD = Path(__file__).with_name("projectors.json")
TYPES = ("f16", "f32")


def contents(path: Path) -> dict[str, Any]:
    """Everything in a file but general.*: tensors as [shape, type, digest of the bytes], and keys."""
    file = open_gguf(path)
    tensors = {
        name: [list(info.shape), info.type, hashlib.sha256(file.data(name).tobytes()).hexdigest()[:16]]
        for name, info in sorted(file.tensors.items())
    }
    own = {key: _plain(value) for key, value in sorted(file.keys.items()) if not key.startswith("general.")}
    return {"tensors": tensors, "keys": own}


def _plain(value: Any) -> Any:
    listed = value.tolist() if hasattr(value, "tolist") else value
    return [round(one, 6) if isinstance(one, float) else one for one in listed] if isinstance(listed, list) else listed


def convert(source: Path, kind: str, out: Path, llama_cpp: Path) -> None:
    """Run llama.cpp's converter."""
    command = [sys.executable, str(llama_cpp / "convert_hf_to_gguf.py"), "--mmproj", "--outtype", kind]
    subprocess.run(
        [*command, "--outfile", str(out), str(source)],
        check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(llama_cpp / "gguf-py")},
    )  # fmt: skip


def main(llama_cpp: Path) -> None:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for model_type in FAMILIES:
            if model_type == "llava":  # which the converter takes no more
                continue
            source = make(model_type, Path(folder) / model_type)
            found[model_type] = {}
            for kind in TYPES:
                out = Path(folder) / f"{model_type}-{kind}.gguf"
                convert(source, kind, out, llama_cpp)
                found[model_type][kind] = contents(out)
            print(model_type, flush=True)
    RECORD.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
