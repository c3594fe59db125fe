"""Peak anonymous memory of a conversion, predicted from how the engines work. Bytes; mapped files are not counted.

Each engine keeps an interpreter with its imports, a graph that grows with the number of layers, and the blocks of rows that are
in flight: `in_flight` of them, each as large as a block of the largest tensor becomes. A second process makes the tokenizers
of an OpenVINO artifact beside it. NNCF holds the whole compressed model besides, and a float32 copy of one tensor for
modes other than int8 and int4. The constants were fitted to whole commands on a machine of 2 cores, all processes sampled every
10 ms (MB measured / MB predicted; built-in model of 5.8 M parameters, SmolLM2-135M as a GLM, GLM-Edge-1.5B's geometry):

                     built-in      SmolLM2        1.5B
    stream int4      128 / 129    235 / 244     219 / 216
    stream int8      128 / 129    240 / 244     227 / 216    (--rope fused: 237 / 216)
    stream bf16      126 / 128    215 / 215     184 / 178
    stream fp16                   240 / 272
    stream fp32                                 344 / 329
    trace int8       568 / 561    689 / 708     715 / 708    (SmolLM2 as a Llama)
    trace bf16       567 / 560    674 / 680
    NNCF int8        420 / 377    652 / 653    2025 / 2113   (traced SmolLM2: 943 / 843)
    NNCF nf4                      651 / 716    1734 / 1943
    GGUF q4_k_m       68 / 68     123 / 126                  (1.5B: 71 before the worker of 23 MB)
    GGUF q8_0         68 / 68     123 / 126                  (1.5B: 70 before it)
    GGUF --imatrix   543 / 544    708 / 660                  (a text of 60 kB)
    ONNX int4                                     98 / 99
    ONNX int8                                    100 / 99
    ONNX bf16                                     62 / 62
    ONNX fp16                                    184 / 137   (a busy machine; its disk lagged behind)

ONNX by trace was fitted apart: SmolLM2 as a Llama, 30 layers, int4 790 / 788; GPT-NeoX of 1,024 columns, int4, 6 layers 669 / 678
and 24 layers 729 / 768, fp32 861 / 881.

Of these the plain GGUF lines were measured again since a worker tries the tokenizer and the template (`core/worker`). The smoke
test, which opens the result in its runtime once everything is written, is not counted.

GLM-Edge-V-2B's geometry at int4 took 163 where 216 are predicted: its tokenizers are ready before its weights are at their peak.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...core.dtypes import element_of
from ..checkpoint import Checkpoint
from ..gguf import write as gguf_write
from ..gguf.layout import Placed
from ..openvino.tensor_layout import BLOCK, TensorLayout
from ..parallel import workers

MB = 1_000_000
_TOKENIZER, _TOKENIZER_SLOPE = 70 * MB, 22.5
"""The process that makes the tokenizers: its imports, and bytes for each byte of the vocabulary's file."""
_STREAM, _STREAM_LAYER = 48 * MB, 0.6 * MB
_TRACE, _TRACE_LAYER = 530 * MB, 5 * MB
_NNCF, _NNCF_LAYER = 340 * MB, 5 * MB
_WORKER = 23 * MB
"""The process that tries a stranger's tokenizer and template: its imports."""
_GGUF, _GGUF_READING, _GGUF_WRITING = 40 * MB + _WORKER, 18.0, 9.0
"""GGUF: imports, and the worker beside; for each byte of the vocabulary's file, while it is read, and what stays of it."""
_ONNX, _ONNX_LAYER = 56 * MB, 0.2 * MB
"""ONNX: imports, and what a layer's nodes take."""
_ONNX_TRACE, _ONNX_TRACE_LAYER = 610 * MB, 5 * MB
"""The same if torch exports the graph."""
_TORCH = 530 * MB
"""The torch reference that measures an importance matrix: imports and a layer's activations."""


def in_flight() -> int:
    """Blocks that are in memory at a time: `convert.parallel` queues two a thread, and glibc gives back what was freed late."""
    return 2 * workers() + 5


def openvino(
    checkpoint: Checkpoint, tensors: Sequence[TensorLayout], layers: int, *, engine: str, nncf: bool, exact: bool
) -> int:
    """Predict an OpenVINO conversion.

    Args:
        checkpoint: of which the headers are enough.
        tensors: how its tensors will be stored.
        layers: of the decoder.
        engine: "stream" or "trace".
        nncf: NNCF compresses the weights, not our own quantizer.
        exact: the mode is one that NNCF computes without a float32 copy of the weight.
    """
    base, layer = (_STREAM, _STREAM_LAYER) if engine == "stream" else (_TRACE, _TRACE_LAYER)
    if nncf:
        base, layer = max(base, _NNCF), max(layer, _NNCF_LAYER)
    elements = max((_elements(stored) for stored in tensors), default=0)
    main = base + layers * layer + max((_encoded(checkpoint, stored) for stored in tensors), default=0)
    if nncf:
        main += sum(stored.size for stored in tensors) + (0 if exact else 4 * elements)
    if nncf or engine == "trace":
        return int(main)  # the tokenizers are ready long before
    return int(main + _TOKENIZER + _TOKENIZER_SLOPE * vocabulary_bytes(checkpoint))


def gguf(checkpoint: Checkpoint, tensors: Sequence[Placed], *, calibration_tokens: int = 0) -> int:
    """Predict a conversion to GGUF; `checkpoint` as above.

    `calibration_tokens` are those of a text on which an importance matrix is measured first: the reference keeps their hidden
    states twice, and the largest tensor, in float32.
    """
    vocabulary = vocabulary_bytes(checkpoint)
    live = [min(placed.bytes, in_flight() * _gguf_block(placed)) for placed in tensors]
    writing = _GGUF_WRITING * vocabulary + max(live, default=0) + _decoded(checkpoint, gguf_write.BLOCK)
    plain = _GGUF + max(_GGUF_READING * vocabulary, writing - 5 * MB)
    if not calibration_tokens:
        return int(plain)
    states = 2 * 4 * calibration_tokens * int(checkpoint.config.get("hidden_size") or 0)
    largest = max((placed.rows * placed.cols for placed in tensors), default=0)
    return int(max(plain, _TORCH + states + 4 * largest))


def onnx(checkpoint: Checkpoint, tensors: Sequence[TensorLayout], layers: int, *, engine: str = "stream") -> int:
    """Predict a conversion to ONNX; arguments as above. The graph's small, and no tokenizers are made beside it."""
    base, layer = (_ONNX, _ONNX_LAYER) if engine == "stream" else (_ONNX_TRACE, _ONNX_TRACE_LAYER)
    live = max((_encoded(checkpoint, stored) for stored in tensors), default=0)
    return int(base + layers * layer + live)


def vocabulary_bytes(checkpoint: Checkpoint) -> int:
    """Return the size of the largest file that holds the tokenizer."""
    names = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
    paths = [*(checkpoint.folder / name for name in names), *checkpoint.folder.glob("*.tiktoken")]
    return max((path.stat().st_size for path in paths if path.is_file()), default=0)


def _encoded(checkpoint: Checkpoint, stored: TensorLayout) -> int:
    """Bytes of a tensor's blocks in flight: those that keep their type are views of the mapped file."""
    elements = _elements(stored)
    kept = stored.values.element == element_of(checkpoint.info(stored.name).dtype)
    live = 0 if kept else min(elements, in_flight() * BLOCK) * stored.values.size // max(1, elements)
    return live + _decoded(checkpoint, min(elements, BLOCK))


def _decoded(checkpoint: Checkpoint, elements: int) -> int:
    """A GGUF's quantized rows are decoded to float32 before they are encoded."""
    return (workers() + 1) * 4 * elements if checkpoint.is_file else 0


def _elements(stored: TensorLayout) -> int:
    return math.prod(stored.shape)


def _gguf_block(placed: Placed) -> int:
    rows = max(1, gguf_write.BLOCK // max(1, placed.cols))
    return rows * placed.type.row_bytes(placed.cols)
