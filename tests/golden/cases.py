"""What is in the corpus: checkpoint → command lines. A case is called by its line; `golden NAME` runs what has NAME in it.

A line converts the checkpoint to `{out}`, if it does not name others, and answers with --json. Behind a bar stand steps on the
result: other commands, or `card`. A tilde in front of a line says that its weights were chosen by running a model.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeconv.convert.gguf.recipe import FILE_TYPES

from ..models import tiny, tiny_vlm
from . import sources

STREAMED = ("llama", "mistral", "qwen2", "qwen3", "phi3", "glm")
"""Families whose graphs edgeconv builds itself: cheap."""
BROAD = (
    "openvino -p bf16", "openvino -p int8", "openvino -p int4", "gguf -t bf16", "gguf -t q4_0", "onnx -p fp32",
    "onnx -p int4",
)  # fmt: skip
FEW = ("openvino -p int4", "gguf -t q8_0", "onnx -p int4")
CHECKS = " | inspect {out} | inspect {out} --tensors | verify {out} | card"
VALIDATE = " | validate {out} --reference {source} --max-tokens 300 --quick --no-report"

_FLOATS = ("fp32", "fp16")
_NNCF = ("int3_sym", "int2_sym", "nf4", "fp4", "mxfp4", "nvfp4", "cb4", "fp8_e4m3", "mxfp8_e4m3")
_INT4 = (
    "--sym", "--asym --group-size 32", "--group-size -1", "--group-size 32 --ratio 0.5", "--group-size 32 --all-layers",
    "--group-size 32 --backup-precision none", "--group-size 32 --backup-precision int8_sym",
    "--group-size 128 --group-size-fallback ignore", "--group-size 32 --tensor-precision down_proj=int8_sym",
)  # fmt: skip
_OPENVINO = (
    "openvino -p bf16", "openvino -p int8" + CHECKS + VALIDATE, "openvino -p int8 --sym", "openvino -p int4" + CHECKS,
    *(f"openvino -p {kind}" for kind in _FLOATS),
    *(f"openvino -p int4 {options}" for options in _INT4),
    *(f"openvino -p {kind}" for kind in _NNCF),
    *(f"openvino -p int4 --target {device}" for device in ("cpu", "gpu", "npu")),
    "openvino -p int8 --kv-cache f16", "openvino -p fp16 --kv-cache device", "openvino -p int4 --group-size 32 --rope fused",
    "openvino -p int4 --group-size 32 --compressor nncf", "openvino -p int8 --engine trace", "openvino -p bf16 --engine trace",
)  # fmt: skip
_DATA_AWARE = (
    "openvino -p int4 --group-size 32 --awq",
    *(
        f"~openvino -p int4_sym --group-size 32 --calibration {{text.txt}} --num-samples 2 {options}"
        for options in (
            "--awq",
            "--scale-estimation",
            "--gptq",
            "--ratio 0.5 --sensitivity-metric mean_activation_variance",
        )
    ),
    "~openvino -p int4_sym --group-size 32 --calibration suite --num-samples 2 --lora-correction",
)
_GGUF = (
    "gguf -t q8_0" + CHECKS, "~gguf -t q4_k_m --imatrix {text.txt}", "gguf -p int4 --output {out}.gguf",
    *(f"gguf -t {kind}" for kind in ("f32", "f16", "bf16", *FILE_TYPES) if kind != "q8_0"),
    *(f"gguf -t q4_k_m {options}" for options in (
        "--pure", "--leave-output-tensor", "--output-type q8_0 --token-embedding-type q6_k", "--imatrix {matrix.dat}",
        "--tensor-type ffn_down=q5_0 --tensor-type attn=f16",
    )),
    "gguf -t iq4_xs --imatrix {matrix.dat}", "gguf -t q8_0 --split-max-size 500K", "gguf -t q8_0 --pre qwen2",
)  # fmt: skip
_ONNX = (
    "onnx -p fp32" + CHECKS, "onnx -p int8" + CHECKS + VALIDATE, "onnx -p int4", "onnx -p int8 --engine trace",
    *(f"onnx -p {kind}" for kind in ("fp16", "bf16", "int8_sym")),
    *(f"onnx -p int4 {options}" for options in (*_INT4, "--accuracy-level 0", "--accuracy-level 1")),
)  # fmt: skip
_VISION = (
    "openvino -p bf16", "openvino -p int8" + CHECKS + VALIDATE, "openvino -p int4", "openvino -p int4 --vision-precision int8",
    "openvino -p fp16 --vision-precision fp32", "openvino -p int8 --rope fused", "openvino -p int8 --layout genai",
    "gguf -t q8_0" + CHECKS, "gguf -t q4_0 --vision-precision int8", "gguf -t f16 --vision-precision fp32",
    "gguf -t q8_0 --vision-precision none", "onnx -p fp32", "onnx -p int8" + CHECKS, "onnx -p int4 --vision-precision int8",
    "openvino -p int8 --dry-run", "gguf -t q8_0 --dry-run", "onnx -p int8 --dry-run",
)  # fmt: skip
CASES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((*tiny.FAMILIES, *tiny.FURTHER), FEW),
    **dict.fromkeys(STREAMED, (*BROAD, "openvino -p int8 --rope fused")),
    "gemma2": (*FEW, "onnx -p fp32", "onnx -p int8"),
    "mixtral": (*FEW, "openvino -p bf16", "openvino -p int8"),
    "granitemoehybrid": (*FEW, "openvino -p fp32"),
    "glm4": (*FEW, "gguf -t q4_k_m"),
    "llama": (
        *_OPENVINO, *_DATA_AWARE, *_ONNX, "gguf -t q4_0", "gguf -t q8_0" + CHECKS + VALIDATE,
        "openvino -p int4 --dry-run", "gguf -t q4_k_m --dry-run", "onnx -p int4 --dry-run",
        "openvino -p int4 --ratio 2 --awq --target npu --kv-cache f16 --dry-run",
    ),
    "llama-wide": (*_GGUF, "openvino -p int4", "openvino -p int4 --sym --ratio 0.8", "onnx -p int4"),
    "llama-shards": FEW,
    "llama-float32": BROAD,
    "llama-pickle": FEW,
    "phi3-longrope": BROAD,
    "qwen2-tied": FEW,
    "glm-partial": BROAD,
    "glm_edge_v": _VISION,
    "glm_edge_v-tied": FEW,
    **dict.fromkeys((f"vlm-{name}" for name in tiny_vlm.FAMILIES), FEW),
    **dict.fromkeys(sources.CHATGLM, FEW),
    "llama-wide.gguf": ("gguf -t q4_k_m", "openvino -p int4", "onnx -p fp32"),
    "llama-wide-q8_0.gguf": ("gguf -t q4_0", "openvino -p int8", "onnx -p int8"),
    "glm_edge_v.gguf": FEW,
    "chatglm2-6b.gguf": ("gguf -t q8_0", "openvino -p int8"),
    "gemma3_text.gguf": FEW,
}  # fmt: skip
GGUF_SOURCES = {
    "llama-wide.gguf": ("llama-wide", "f32"),
    "llama-wide-q8_0.gguf": ("llama-wide", "q8_0"),
    "glm_edge_v.gguf": ("glm_edge_v", "f16"),
    "chatglm2-6b.gguf": ("chatglm2-6b", "f16"),
    "gemma3_text.gguf": ("gemma3_text", "bf16"),
}
"""GGUF files that are converted again: what edgeconv makes them of, and their type."""
_REFUSED = {
    "openvino": (
        "--group-size 48", "--group-size 0", "-p int8 --ratio 0.5", "--ratio 2", "-p int8 --group-size 64", "-p nf4 --sym",
        "-p int5", "--engine magic", "--vision-precision int8", "--layout genai", "--validate --budget mean_kl", "--absent",
        "--validate --budget magic=1", "--budget top1=0.9", "-p int4_sym --asym", "--gptq", "-p int8 --awq",
        "--num-samples 3", "--calibration absent.txt --gptq", "--target npu --group-size 32", "--revision main",
        "--tensor-precision absent=int8_sym", "--tensor-precision (=int8_sym", "-p fp16 --ratio 0.5",
        "--tensor-precision q_proj=int8_sym --compressor nncf",
    ),
    "gguf": (
        "-t q9_z", "-t q8_0 -p int8", "--tensor-type ffn_(=q8_0", "--tensor-type ffn=q9", "--split-max-size 0", "--pre absent",
        "--split-max-size many", "--imatrix absent.dat", "--vision-precision int8",
    ),
    "onnx": (
        "--group-size 24", "-p int8 --group-size 32", "--ratio 2", "--vision-precision int8", "-p nf4", "--accuracy-level 3",
        "--engine magic",
    ),
}  # fmt: skip
REFUSALS = (
    *(f"{form} --model {{llama}} --output {{out}} {one}" for form, options in _REFUSED.items() for one in options),
    *(f"{form} --model {{{name}}} --output {{out}}" for name in sources.BROKEN for form in _REFUSED),
    *(f"{command} ./absent" for command in ("inspect", "verify", "validate", "chat", "bench", "frontier", "sensitivity")),
    "openvino", "openvino --model ./absent", "openvino --model no/where/at/all", "gguf --model {llama} --output {llama}",
    "inspect {llama}", "diff ./absent ./absent", "publish {llama} --repo org/name", "publish absent --repo ../x",
    "run absent.yaml", "recipes show absent", "doctor --revision x", "search --model {llama}", "absent",
)  # fmt: skip
"""What cannot be done, beside some that can; message, hint, kind and exit code are compared."""
_RECIPES = ("glm-edge-1.5b-chat", "glm-edge-4b-chat", "glm-edge-v-2b", "glm-edge-v-5b", "chatglm2-6b")
ANSWERS = (
    "doctor", "recipes ls", "run {recipe.yaml} --dry-run --model {llama} --output {out}", "recipes validate {recipe.yaml}",
    *(f"recipes show {name}" for name in _RECIPES),
    *(f"doctor --model {{{name}}}" for name in sources.names()),
)  # fmt: skip
"""Commands that are about no artifact."""
FAST = frozenset(
    [
        ("llama", "openvino -p int4" + CHECKS), ("llama", "onnx -p int4 --group-size -1"), ("llama-wide", "gguf -t q4_k_m"),
        ("llama-wide.gguf", "gguf -t q4_k_m"), ("llama-wide.gguf", "onnx -p fp32"),
        ("gemma3_text", "gguf -t q8_0"), ("mixtral", "openvino -p int4"), ("granitemoehybrid", "openvino -p int4"),
        ("glm_edge_v", "openvino -p int4 --vision-precision int8"), ("glm_edge_v", "gguf -t q4_0 --vision-precision int8"),
        ("glm_edge_v", "onnx -p int4 --vision-precision int8"), ("chatglm2-6b", "gguf -t q8_0"), ("llama-pickle", "onnx -p int4"),
    ]
)  # fmt: skip
"""The slice that runs in CI: every format, every form of weights, and a family for each kind of layer."""


@dataclass(frozen=True)
class Case:
    """One line of the corpus: `group` is the file of expectations that it stands in."""

    group: str
    line: str

    @property
    def noisy(self) -> bool:
        """Whether the weights were chosen by running a model."""
        return self.line.startswith("~")

    @property
    def fast(self) -> bool:
        """Whether it belongs to the slice that runs in CI."""
        return self.group in ("refusals", "pages") or (self.group, self.line) in FAST

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"{self.group}: {self.line}"


def cases() -> list[Case]:
    """Return the whole corpus; `pages` has one case, all that is generated."""
    found = [Case(group, line) for group, lines in CASES.items() for line in dict.fromkeys(lines)]
    found += [Case("refusals", line) for line in REFUSALS] + [Case("answers", line) for line in ANSWERS]
    return [*found, Case("pages", "help and documents")]
