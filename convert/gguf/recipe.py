"""What a user asks of a GGUF's tensors: llama-quantize's options, by their names and with their meaning."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...core.errors import UsageError
from ...core.patterns import require_pattern
from ...quantize.ggml.types import TYPES, find


@dataclass(frozen=True)
class FileType:
    """One of llama-quantize's mixes.

    Attributes:
        number: `enum llama_ftype`, as general.file_type states it.
        base: the type that a tensor gets if no rule says otherwise.
    """

    number: int
    base: str


FILE_TYPES = {
    "f32": FileType(0, "f32"),
    "f16": FileType(1, "f16"),
    "bf16": FileType(32, "bf16"),
    "q8_0": FileType(7, "q8_0"),
    "q4_0": FileType(2, "q4_0"),
    "q4_1": FileType(3, "q4_1"),
    "q5_0": FileType(8, "q5_0"),
    "q5_1": FileType(9, "q5_1"),
    "q2_k": FileType(10, "q2_k"),
    "q3_k_s": FileType(11, "q3_k"),
    "q3_k_m": FileType(12, "q3_k"),
    "q3_k_l": FileType(13, "q3_k"),
    "q4_k_s": FileType(14, "q4_k"),
    "q4_k_m": FileType(15, "q4_k"),
    "q5_k_s": FileType(16, "q5_k"),
    "q5_k_m": FileType(17, "q5_k"),
    "q6_k": FileType(18, "q6_k"),
    "iq4_nl": FileType(25, "iq4_nl"),
    "iq4_xs": FileType(30, "iq4_xs"),
}
ALIASES = {
    "int4": "q4_k_m", "int8": "q8_0", "fp32": "f32", "fp16": "f16",
    "q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m",
}  # fmt: skip
"""Our names of precisions, and llama-quantize's short names."""


@dataclass(frozen=True)
class Recipe:
    """A complete, checked choice; make one with `recipe`.

    Attributes:
        file_type: a key of `FILE_TYPES`.
        pure: every tensor gets the file type's base (`--pure`).
        leave_output: output.weight keeps the type that it has (`--leave-output-tensor`).
        output_type: type of output.weight, or of a tied embedding in its place (`--output-tensor-type`).
        token_embedding_type: type of token_embd.weight (`--token-embedding-type`).
        tensor_types: (regular expression, type) pairs; the first that is found in a tensor's name decides (`--tensor-type`).
    """

    file_type: str
    pure: bool = False
    leave_output: bool = False
    output_type: str | None = None
    token_embedding_type: str | None = None
    tensor_types: tuple[tuple[str, str], ...] = ()

    @property
    def base(self) -> str:
        """The type of most tensors."""
        return FILE_TYPES[self.file_type].base

    def describe(self) -> str:
        """One line for a person."""
        options = {
            "pure": self.pure,
            "output left as it is": self.leave_output,
            f"output {self.output_type}": self.output_type,
            f"token embeddings {self.token_embedding_type}": self.token_embedding_type,
        }
        parts = [text for text, given in options.items() if given] + [f"{p} {kind}" for p, kind in self.tensor_types]
        return ", ".join([self.file_type.upper(), *parts])

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form, as it stands in the manifest."""
        return {**asdict(self), "tensor_types": [list(pair) for pair in self.tensor_types]}


def recipe(
    file_type: str,
    *,
    pure: bool = False,
    leave_output: bool = False,
    output_type: str | None = None,
    token_embedding_type: str | None = None,
    tensor_types: tuple[tuple[str, str], ...] = (),
) -> Recipe:
    r"""Check a user's options.

    `file_type` may be an alias, in any case; `tensor_types` are expressions in Python's syntax, for which case does not matter
    (llama-quantize lowers the expression's letters instead, which also turns `\D` into `\d`).

    Raises:
        UsageError: an unknown name, an expression that is none, or an option without effect.
    """
    name = ALIASES.get(file_type.lower(), file_type.lower())
    if name not in FILE_TYPES:
        raise UsageError(f"Unknown GGUF type {file_type!r}.", f"One of: {', '.join([*FILE_TYPES, *ALIASES])}.")
    if tensor_types and not TYPES[FILE_TYPES[name].base].quantized:
        raise UsageError(
            f"--tensor-type has no effect on {name}, as with llama-quantize.",
            "Choose a quantized type such as q8_0, or drop the option.",
        )
    if leave_output and output_type:
        raise UsageError("--leave-output-tensor contradicts --output-type.", "Pass one of them.")
    for pattern, _ in tensor_types:
        require_pattern(pattern, "--tensor-type", pattern, "A name alone is one.")
    return Recipe(
        file_type=name,
        pure=pure,
        leave_output=leave_output,
        output_type=_type(output_type),
        token_embedding_type=_type(token_embedding_type),
        tensor_types=tuple((pattern, find(kind).name) for pattern, kind in tensor_types),
    )


def _type(name: str | None) -> str | None:
    return None if name is None else find(name).name
