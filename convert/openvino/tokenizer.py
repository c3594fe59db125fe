"""The tokenizer and detokenizer IRs, made in a process of their own.

transformers loads a tokenizer without torch four times as fast and in an eighth of the memory, and only a fresh process can keep
torch out; it runs beside the weights. A tokenizer that cannot be converted is an error: an artifact without it does not run.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from ...core import tokenizer_files
from ...core.errors import CheckpointError, ConversionError, OutputError
from ...core.foreign_code import block_foreign_code, block_optional_packages
from ...core.hf_tokenizer import open_tokenizer, require_own_files
from ...core.lifetime import end_with
from ...core.telemetry import silence_telemetry
from ...core.tokenizer_rebuilt import is_rebuilt, may_be
from ..checkpoint import read_json

FILES = ("openvino_tokenizer.xml", "openvino_detokenizer.xml")
_ENCODES = "--encodes"
"""The model is an encoder: texts are filled up, and cut, at their end."""
_NO_ROOM = 28
"""Exit code of the process when a disk is full."""


class TokenizerExport:
    """A running export; `wait` ends it. Use as a context manager, so that an error elsewhere stops it."""

    def __init__(self, source: Path, out: Path, *, trust_remote_code: bool = False, encodes: bool = False) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        module = "edgeconv.convert.openvino.tokenizer"
        command = [sys.executable, "-P", "-m", module, str(os.getpid()), str(source), str(out)]
        if trust_remote_code:
            command.append("--trust-remote-code")
        if encodes:
            command.append(_ENCODES)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log)

    def __enter__(self) -> TokenizerExport:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def wait(self) -> bool:
        """Wait for the end, and say whether transformers builds another tokenizer of these files than tokenizer.json describes.

        Raises:
            CheckpointError: the tokenizer is damaged, or does not fit the model.
            ConversionError: it cannot be converted.
            OutputError: a disk is full.
        """
        answer, _ = self._process.communicate()
        if self._process.returncode == 0:
            return bool(json.loads(answer)["rebuilt"])
        if self._process.returncode == _NO_ROOM:
            raise OutputError(
                f"The disk of {tempfile.gettempdir()}, where temporary files go, or that of the output is full.",
                "Free some space, or set TMPDIR to a folder on another disk.",
            )
        try:
            failed = json.loads(answer)
            if "hint" in failed:
                raise CheckpointError(failed["error"], failed["hint"])
            reason = failed["error"]
        except (ValueError, KeyError):
            self._log.seek(0)
            lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
            reason = lines[-1] if lines else f"the process ended with {self._process.returncode}"
        raise ConversionError(
            f"The tokenizer cannot be converted: {reason}.",
            "Without it the model does not run. The checkpoint needs a tokenizer.json (or another file of a fast tokenizer) "
            "of a kind that openvino_tokenizers knows.",
        )


def export(source: Path, out: Path, *, trust_remote_code: bool, encodes: bool = False) -> None:
    """Write openvino_tokenizer.xml/.bin and openvino_detokenizer.xml/.bin (in this process); `encodes` as `_ENCODES` says."""
    silence_telemetry()
    block_foreign_code()
    from openvino import save_model
    from openvino_tokenizers import convert_tokenizer

    from .ir_file import name_nodes
    from .tokenizer_graph import mend

    tokenizer: Any = open_tokenizer(source, trust_remote_code=trust_remote_code)
    if isinstance(tokenizer.chat_template, dict):  # the graph's runtime information holds one
        tokenizer.chat_template = tokenizer.chat_template.get("default")
    # left as optimum-intel does for text generation; openvino_genai takes an encoder's rows to be filled up at their end
    tokenizer.padding_side = tokenizer.truncation_side = "right" if encodes else "left"
    models: Any = convert_tokenizer(tokenizer, with_detokenizer=True)
    if getattr(tokenizer, "backend_tokenizer", None) is not None:
        mend(models[0], models[1], tokenizer.backend_tokenizer)
    for model, name in zip(models, FILES, strict=True):
        name_nodes(model)
        save_model(model, out / name, compress_to_fp16=False)


def require_files(source: Path) -> None:
    """Raise CheckpointError if the folder has none of the files that hold a tokenizer, or one of them is damaged.

    transformers would make an empty tokenizer of its own for some families.
    """
    patterns = ("tokenizer.json", "tokenizer.model", "*.tiktoken", "vocab.json", "vocab.txt", "spiece.model")
    if not any(path.is_file() for pattern in patterns for path in source.glob(pattern)):
        raise CheckpointError(f"{source.name} has no tokenizer.", "Add the checkpoint's tokenizer.json.")
    for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        if (source / name).is_file():
            read_json(source / name)
    require_own_files(source)
    if (source / "tokenizer.json").is_file():
        model = read_json(source / "tokenizer.json").get("model")
        if not isinstance(model, dict):
            raise CheckpointError("tokenizer.json holds no tokenizer.", "Download the file again.")
        if not isinstance(model.get("vocab"), (dict, list)):
            raise CheckpointError("tokenizer.json has no vocabulary.", "Download the file again.")
    tokenizer_files.read(source).sound_templates()


def _is_full(error: Exception) -> bool:
    """True if a disk is; the tokenizers library raises its own exception, with the system's number in the text."""
    numbers = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in numbers or any(f"(os error {number})" in str(error) for number in numbers)


def _main() -> int:
    parent, source, out, *flags = sys.argv[1:]
    gc.disable()  # nothing here is worth its time: a short process that builds large tables
    end_with(int(parent))  # else it would go on writing into a folder that the next run sweeps away
    block_optional_packages()
    trust = "--trust-remote-code" in flags
    if not trust:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        export(Path(source), Path(out), trust_remote_code=trust, encodes=_ENCODES in flags)
        rebuilt = may_be(Path(source)) and is_rebuilt(Path(source))
    except CheckpointError as error:
        print(json.dumps({"error": error.message, "hint": error.hint}))
        return 1
    except Exception as error:  # noqa: BLE001 - whatever a library raises goes to the parent as one sentence
        if _is_full(error):
            return _NO_ROOM
        first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        print(json.dumps({"error": first}))
        return 1
    print(json.dumps({"rebuilt": rebuilt}))
    return 0


if __name__ == "__main__":
    code = _main()
    sys.stdout.flush()
    os._exit(code)  # all is written; taking the modules apart one by one would cost a fifth of the whole
