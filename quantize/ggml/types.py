"""The storage types of ggml tensors that we write: number, block, bytes and where a block keeps its scales.

Source: `ggml/include/ggml.h` and `ggml/src/ggml-common.h` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...core.errors import UsageError


@dataclass(frozen=True)
class Type:
    """One ggml type.

    Attributes:
        name: llama.cpp's, in lower case.
        number: `enum ggml_type`, as it stands in a GGUF file.
        block: elements of a row that are stored together.
        bytes: size of a block.
        group: elements that share a scale; None for floating point.
        scales: offsets in a block of its float16 scales and minima.
    """

    name: str
    number: int
    block: int
    bytes: int
    group: int | None = None
    scales: tuple[int, ...] = ()

    @property
    def quantized(self) -> bool:
        """True unless it is floating point."""
        return self.group is not None

    @property
    def weighted(self) -> bool:
        """True if an importance matrix changes the bytes."""
        return self.quantized and self.name != "q8_0"

    def fits(self, cols: int) -> bool:
        """True if a row of `cols` elements is a whole number of blocks."""
        return cols % self.block == 0

    def row_bytes(self, cols: int) -> int:
        """Bytes of a row.

        Raises:
            UsageError: cols is not a whole number of blocks.
        """
        if not self.fits(cols):
            raise UsageError(
                f"{self.name} stores rows in blocks of {self.block} weights; rows of {cols} do not divide into them.",
                "Use another type for this tensor: q8_0, q5_0 and the like need multiples of 32, f16 any length.",
            )
        return cols // self.block * self.bytes


TYPES = {
    kind.name: kind
    for kind in (
        Type("f32", 0, 1, 4),
        Type("f16", 1, 1, 2),
        Type("bf16", 30, 1, 2),
        Type("q4_0", 2, 32, 18, 32, (0,)),
        Type("q4_1", 3, 32, 20, 32, (0, 2)),
        Type("q5_0", 6, 32, 22, 32, (0,)),
        Type("q5_1", 7, 32, 24, 32, (0, 2)),
        Type("q8_0", 8, 32, 34, 32, (0,)),
        Type("q2_k", 10, 256, 84, 16, (80, 82)),
        Type("q3_k", 11, 256, 110, 16, (108,)),
        Type("q4_k", 12, 256, 144, 32, (0, 2)),
        Type("q5_k", 13, 256, 176, 32, (0, 2)),
        Type("q6_k", 14, 256, 210, 16, (208,)),
        Type("iq4_nl", 20, 32, 18, 32, (0,)),
        Type("iq4_xs", 23, 256, 136, 32, (0,)),
    )
}


def find(name: str) -> Type:
    """Return the type of that name.

    Raises:
        UsageError: there is none.
    """
    kind = TYPES.get(name.lower())
    if kind is None:
        raise UsageError(f"{name!r} is not a ggml type that edgeconv writes.", f"Known: {', '.join(TYPES)}.")
    return kind
