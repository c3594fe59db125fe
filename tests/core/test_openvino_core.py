import subprocess
import sys
import textwrap
from pathlib import Path

from edgeconv.core.openvino_core import openvino_core


def test_ctrl_c_after_two_models_were_closed_is_an_exception(tmp_path: Path) -> None:
    """It ended the process with SIGSEGV, on processors with AMX, when each model had a Core of its own."""
    program = f"""
        import signal
        from pathlib import Path
        import numpy, openvino
        import openvino.opset13 as ops
        from edgeconv.runtimes.openvino import ACCURATE, compile_ir

        x = ops.parameter([1], numpy.float32)
        path = Path({str(tmp_path)!r}, "model.xml")
        openvino.save_model(openvino.Model([ops.relu(x)], [x]), path)
        first, second = (compile_ir(path, "CPU", ACCURATE) for _ in range(2))
        del first
        del second
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            print("interrupted")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "interrupted\n")


def test_no_other_core_is_made() -> None:
    root = Path(sys.modules["edgeconv"].__file__ or "").parent
    folders = (
        "builtin",
        "cli",
        "convert",
        "core",
        "hub",
        "models",
        "pipeline",
        "publish",
        "quantize",
        "recipes",
        "validate",
    )
    makers = [
        path.name for folder in folders for path in (root / folder).rglob("*.py") if ".Core()" in path.read_text()
    ]
    assert makers == ["openvino_core.py"]
    assert openvino_core() is openvino_core()
