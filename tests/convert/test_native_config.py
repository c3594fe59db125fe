"""What transformers is shown of a config.json: all that describes the model, nothing that decides on code."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert.native_config import admitted, read_config

from ..models import tiny

ASKED = {
    "attn_implementation": "kernels-community/evil-attn",
    "_attn_implementation": "kernels-community/evil-attn",
    "_attn_implementation_internal": "kernels-community/evil-attn",
    "_attn_implementation_autoset": True,
    "experts_implementation": "kernels-community/evil-moe",
    "_experts_implementation": "kernels-community/evil-moe",
    "use_kernels": True,
    "kernel_config": {"RMSNorm": "evil/kernel:Layer"},
    "auto_map": {"AutoConfig": "evil/repository--configuration.Config"},
    "trust_remote_code": True,
    "quantization_config": {"quant_method": "bitsandbytes"},
    "adapter_kwargs": {"name": "evil/adapter"},
    "_name_or_path": "evil/repository",
    "base_model_tp_plan": {"layers.*": "colwise"},
    "device_map": "auto",
    "code_revision": "main",
    "unknown_text": "evil/repository",
    "unknown_table": {"inner": ["evil/repository"]},
}


@pytest.mark.parametrize("kind", sorted(tiny.FAMILIES))
def test_nothing_that_describes_a_model_is_lost(kind: str, tiny_model: Callable[..., Path]) -> None:
    from transformers import AutoConfig

    folder = tiny_model(kind)
    own, theirs = read_config(folder), AutoConfig.from_pretrained(folder, local_files_only=True)
    assert own.to_dict() == theirs.to_dict()
    assert type(own) is type(theirs)


def test_nothing_that_decides_on_code_is_shown(tiny_model: Callable[..., Path]) -> None:
    config = json.loads((tiny_model("llama") / "config.json").read_text())
    plain = admitted(config)
    assert admitted(config | ASKED) == plain
    inner = {
        "model_type": "llava",
        "text_config": config | ASKED,
        "vision_config": {"model_type": "clip_vision_model", **ASKED},
    }
    assert admitted(inner)["text_config"] == plain
    assert "evil" not in json.dumps(admitted(inner | ASKED))
    rope = {"rope_type": "default", "rope_theta": 10000.0, "attn_implementation": "evil/x"}
    assert admitted(config | {"rope_parameters": rope})["rope_parameters"] == {
        "rope_type": "default",
        "rope_theta": 10000.0,
    }


def test_an_unknown_field_of_numbers_is_shown(tiny_model: Callable[..., Path]) -> None:
    config = json.loads((tiny_model("llama") / "config.json").read_text())
    assert admitted(config | {"own_scale": [1, 2.5, True]})["own_scale"] == [1, 2.5, True]


FAKE = """\
import os
open(os.environ["MARK"], "a").write(__name__ + "\\n")
def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    open(os.environ["MARK"], "a").write(__name__ + "." + name + "\\n")
    raise RuntimeError("code of a stranger would run: " + name)
"""
BUILD = """\
import sys
import tempfile
from pathlib import Path
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import trace_load
model = trace_load.load(open_checkpoint(Path(sys.argv[1])))
print(model.config._attn_implementation)
"""


@pytest.mark.fault(
    "untrusted: config.json names a kernel of the Hub, and the package `kernels` is installed",
    says="The field is not read; transformers' own attention computes, and the package is not imported.",
)
@pytest.mark.parametrize("asked", [{}, ASKED], ids=["plain", "hostile"])
def test_no_kernel_is_fetched_though_the_packages_are_there(
    asked: dict[str, Any], tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    packages, model = tmp_path / "packages", tmp_path / "model"
    for name, version in {"kernels": "0.12.1", "peft": "0.18.0"}.items():
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").write_text(f'__version__ = "{version}"\n{FAKE}')
        facts = packages / f"{name}-{version}.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    model.mkdir()
    for path in tiny_model("llama").iterdir():
        (model / path.name).symlink_to(path)
    (model / "config.json").unlink()
    config = json.loads((tiny_model("llama") / "config.json").read_text())
    asked = {name: value for name, value in asked.items() if name != "quantization_config"}  # refused before
    (model / "config.json").write_text(json.dumps(config | asked))
    mark = tmp_path / "mark"
    variables = os.environ | {"PYTHONPATH": str(packages), "MARK": str(mark), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", BUILD, str(model)], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] in ("sdpa", "eager")
    assert not mark.exists(), mark.read_text()


@pytest.mark.slow
def test_every_family_of_transformers_reads_the_same() -> None:
    from transformers import CONFIG_MAPPING, AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    compared = 0
    for kind in sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        with tempfile.TemporaryDirectory() as place:
            try:
                CONFIG_MAPPING[kind]().save_pretrained(place)
                theirs = AutoConfig.from_pretrained(place, local_files_only=True).to_dict()
            except Exception:  # noqa: BLE001 - a class that has no defaults, or that cannot read what it writes
                continue
            assert read_config(Path(place)).to_dict() == theirs, kind
            compared += 1
    assert compared > 120
