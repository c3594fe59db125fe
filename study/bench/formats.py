"""How an artifact is benched, by the name of its format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...convert.checkpoint import read_json
from ...convert.gguf.read import open_gguf
from ...convert.multimodal import flat
from ...runtimes.answers import check_device
from ...runtimes.prompt import context_length
from ...validate.formats import Artifact


@dataclass(frozen=True)
class Bench:
    """How one format is.

    Attributes:
        kind: of the runner, a key of `child.LIBRARIES`.
        positions: length of the model's context; 0 where it does not say.
        check_device: raises UsageError for a device that is not there, beside what the artifact itself refuses.
        takes_images: pictures can be asked about.
    """

    kind: Callable[[Artifact], str]
    positions: Callable[[Artifact], int]
    check_device: Callable[[str], None] = lambda device: None
    takes_images: bool = True


def _of_config(artifact: Artifact) -> int:
    return context_length(flat(read_json(artifact.path / "config.json")))


def _of_keys(artifact: Artifact) -> int:
    keys = open_gguf(artifact.path).keys
    return int(keys.get(f"{keys.get('general.architecture')}.context_length") or 0)


BENCHES: Mapping[str, Bench] = {
    "openvino": Bench(
        lambda artifact: "openvino vision" if artifact.takes_images else "genai", _of_config, check_device
    ),
    "gguf": Bench(lambda artifact: "llama.cpp", _of_keys, takes_images=False),
    "onnx": Bench(lambda artifact: "onnxruntime", _of_config),
}
