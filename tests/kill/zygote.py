"""A process that has imported what takes seconds, and forks a command line from there whenever it is asked to.

Each command runs `edgeconv.cli.main` from its first line to its exit code in a process and a process group of its own. Requests
and answers are lines of JSON; after each request come two answers, {"pid": …} at the start and {"code": …} at the end.
"""

import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import stops  # type: ignore[import-not-found]


def main() -> None:
    _load()
    _answer({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            _run(asked)
        _answer({"pid": child})
        _, status = os.waitpid(child, 0)
        _answer({"code": os.waitstatus_to_exitcode(status)})


def _load() -> None:
    import huggingface_hub
    import onnx  # noqa: F401
    import openvino  # noqa: F401
    import torch  # noqa: F401
    import transformers

    import edgeconv.convert.conversion.gguf_prepare
    import edgeconv.convert.conversion.gguf_write
    import edgeconv.convert.conversion.onnx_prepare
    import edgeconv.convert.conversion.onnx_write
    import edgeconv.convert.conversion.openvino_prepare
    import edgeconv.convert.conversion.openvino_write
    import edgeconv.validate.parity
    import edgeconv.validate.report.write  # noqa: F401

    for folder in ("cli", "core", "hub", "publish", "recipes"):
        package = importlib.import_module(f"edgeconv.{folder}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("_task"):  # what the worker alone loads: one of them hides torch
                importlib.import_module(module.name)
    for name in ("AutoModelForCausalLM", "AutoTokenizer", "GlmForCausalLM"):
        getattr(transformers, name)
    for name in ("HfApi", "CommitOperationAdd", "get_session", "snapshot_download"):
        getattr(huggingface_hub, name)
    gc.collect()
    gc.freeze()  # else each child looks at, and so copies, every object of these modules as it ends: 2 s of CPU


def _answer(content: dict[str, Any]) -> None:
    sys.__stdout__.write(json.dumps(content) + "\n")
    sys.__stdout__.flush()


def _run(asked: dict[str, Any]) -> None:
    os.setsid()
    root = Path(asked["root"])
    os.chdir(root)
    os.environ.update(asked["environment"])
    tempfile.tempdir = None  # look at TMPDIR again
    _redirect(0, os.devnull, os.O_RDONLY)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the one that there is has been read from
    for descriptor in (1, 2):
        _redirect(descriptor, asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if asked.get("record"):
        stops.Recorder(root, Path(asked["record"])).install()
    if asked.get("stop"):
        stops.Stopper(root, asked["stop"], asked["signal"], group=asked["group"]).install()
    sys.argv = ["edgeconv", *asked["arguments"]]
    from edgeconv.cli.main import main as command

    command()


def _redirect(descriptor: int, path: str, flags: int) -> None:
    opened = os.open(path, flags, 0o644)
    os.dup2(opened, descriptor)
    os.close(opened)


if __name__ == "__main__":
    main()
