"""GLM-Edge-V's vision part as a file of its own, mmproj-NAME.gguf, which llama.cpp's multimodal library loads.

Keys and names are those that `tools/mtmd/clip.cpp` of llama.cpp reads for its projector type "adapter" (GLM_EDGE); nothing
upstream writes such a file any more. ffn_up is fc1 and ffn_down is fc2. Where llama.cpp departs from the model, DEVIATIONS tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...core.errors import CheckpointError, UsageError
from ...core.manifest import FileDigest
from ...core.progress import Progress
from ...quantize.ggml.types import TYPES, Type
from .. import alternatives
from ..checkpoint import Checkpoint, read_json
from ..families.glm_edge_v import ADAPTER, PROJECTION, TOWER
from ..families.glm_edge_v import GlmEdgeVision as Vision
from ..families.glm_edge_v_model.pixels import Preprocess
from .header import Kind, Value, array, boolean, f32, string, u32
from .layout import File, Layout, Placed, file
from .metadata import Origin, general
from .model import Tensor
from .recipe import FILE_TYPES
from .write import write

PRECISIONS = {"fp16": "f16", "int8": "q8_0", "fp32": "f32"}
"""Names of `--vision-precision`, and the type that the matrices get."""
KIND = "adapter"
"""llama.cpp's name of GLM-Edge-V's projector (`PROJECTOR_TYPE_GLM_EDGE`)."""
PREFIX = "mmproj-"
DEVIATIONS = (
    "llama.cpp normalizes the adapter's rows with the tower's epsilon (the model: 1e-5) and takes the tanh form of its GELU, "
    "from a table of float16",
    "llama.cpp resizes pictures itself: it does not average where it shrinks, and centers those that are not square, where the "
    "model puts them to the top left; give square pictures of the tower's size for the same answers",
)
"""Where the library's graph is not the model's; for the plan, the manifest and the report."""
_OUTER = {
    f"{TOWER}embeddings.patch_embedding": "v.patch_embd",
    f"{TOWER}embeddings.position_embedding": "v.position_embd",
    f"{TOWER}post_layernorm": "v.post_ln",
    f"{ADAPTER}conv": "adapter.conv",
    f"{PROJECTION}linear_proj": "adapter.linear.linear",
    f"{PROJECTION}norm1": "adapter.linear.norm1",
    f"{PROJECTION}gate_proj": "adapter.linear.gate",
    f"{PROJECTION}dense_h_to_4h": "adapter.linear.dense_h_to_4h",
    f"{PROJECTION}dense_4h_to_h": "adapter.linear.dense_4h_to_h",
}
_INNER = {
    "layer_norm1": "ln1", "layer_norm2": "ln2", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.out_proj": "attn_out", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
}  # fmt: skip
_LAYER = re.compile(re.escape(TOWER) + r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_CONVOLUTIONS = ("v.patch_embd.weight", "adapter.conv.weight")


@dataclass(frozen=True)
class Projector:
    """All that will be written, known before a weight is read."""

    layout: Layout
    precision: str

    @property
    def file(self) -> File:
        """The one file."""
        return self.layout.files[0]


def prepare(checkpoint: Checkpoint, vision: Vision, file_name: str, *, precision: str, origin: Origin) -> Projector:
    """Decide everything from config and headers.

    Args:
        checkpoint: of which the headers are enough.
        vision: its vision part.
        file_name: of the result.
        precision: a key of PRECISIONS.
        origin: where the checkpoint comes from.

    Raises:
        UsageError: an unknown precision.
        CheckpointError: a tower that llama.cpp's graph is not, or tensors that are missing.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"A GGUF's tower cannot be stored as {precision}.", f"One of: {', '.join(PRECISIONS)}.")
    _check(checkpoint, vision)
    kind = PRECISIONS[precision]
    tensors = _tensors(vision)
    placed = [Placed(tensor, _type(tensor, kind), 0) for tensor in tensors]
    parameters = sum(checkpoint.info(str(tensor.source)).size for tensor in tensors)
    keys = _keys(checkpoint, vision, kind, origin, parameters)
    return Projector(Layout((file(placed, keys, file_name),), ()), precision)


def export(checkpoint: Checkpoint, projector: Projector, out: Path, progress: Progress) -> dict[str, FileDigest]:
    """Write the file into the staging folder; return its digest by name.

    Raises:
        CheckpointError: a weight is NaN or infinite, or does not fit float16.
    """
    return write(checkpoint, projector.layout, out, None, progress)


def _check(checkpoint: Checkpoint, vision: Vision) -> None:
    if vision.tower.activation != "gelu_pytorch_tanh":
        raise CheckpointError(
            f"llama.cpp's tower has the tanh form of GELU; this one uses {vision.tower.activation}.",
            alternatives.hint("gguf", checkpoint.config, checkpoint.names),
        )
    for name, shape in vision.tensors().items():
        if name not in checkpoint.names or checkpoint.info(name).shape != shape:
            raise CheckpointError(f"{name} is missing or not {list(shape)}.", "A shard is missing; download it again.")


def _tensors(vision: Vision) -> list[Tensor]:
    return [Tensor(_name(source, vision), _shape(shape), source) for source, shape in vision.tensors().items()]


def _name(source: str, vision: Vision) -> str:
    if source in (f"{ADAPTER}boi", f"{ADAPTER}eoi"):
        return f"adapter.{source.removeprefix(ADAPTER)}"
    inside = _LAYER.fullmatch(source)
    if not inside:
        module, _, kind = source.rpartition(".")
        return f"{_OUTER[module]}.{kind}"
    layer, module, kind = inside.groups()
    name = _INNER[module]
    if vision.tower.intermediate_size == vision.tower.hidden_size:
        # the loader takes matrices of this shape for those of an old file, which had the two names exchanged
        name = {"ffn_up": "ffn_down", "ffn_down": "ffn_up"}.get(name, name)
    return f"v.blk.{layer}.{name}.{kind}"


def _shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[2:] if shape[:2] == (1, 1) else shape  # the rows of begin and end


def _type(tensor: Tensor, kind: str) -> Type:
    """Matrices get the kind; what is added or multiplied element by element stays float32."""
    if len(tensor.shape) == 1 or tensor.name == "v.position_embd.weight":
        return TYPES["f32"]
    if tensor.name in _CONVOLUTIONS:
        return TYPES["f32" if kind == "f32" else "f16"]
    return TYPES[kind if TYPES[kind].fits(tensor.shape[-1]) else "f16"]


def _keys(checkpoint: Checkpoint, vision: Vision, kind: str, origin: Origin, parameters: int) -> dict[str, Value]:
    rule = Preprocess.from_config(read_json(checkpoint.folder / "preprocessor_config.json"))
    described: Mapping[str, Value] = general(
        origin,
        checkpoint.folder,
        {},
        file_type=FILE_TYPES[kind].number,
        parameters=parameters,
        version=version("edgeconv"),
    )
    sizes: dict[str, Any] = {
        "image_size": vision.tower.image_size,
        "patch_size": vision.tower.patch_size,
        "embedding_length": vision.tower.hidden_size,
        "feed_forward_length": vision.tower.intermediate_size,
        "block_count": vision.tower.num_layers,
        "projection_dim": vision.out_size,
        "attention.head_count": vision.tower.num_heads,
    }
    return {
        "general.architecture": string("clip"),
        **described,
        "general.type": string("mmproj"),
        "clip.has_vision_encoder": boolean(True),
        "clip.projector_type": string(KIND),
        "clip.use_gelu": boolean(True),
        **{f"clip.vision.{name}": u32(value) for name, value in sizes.items()},
        "clip.vision.attention.layer_norm_epsilon": f32(vision.tower.eps),
        "clip.vision.image_mean": array(Kind.F32, list(rule.mean)),
        "clip.vision.image_std": array(Kind.F32, list(rule.std)),
    }
