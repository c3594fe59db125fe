"""What a user asks of the weights, resolved into one complete, checked scheme.

The names and the rules of combination are those of NNCF 3.4 (`nncf.CompressWeightsMode`, `nncf.BackupMode`,
`nncf.quantization.algorithms.weight_compression.algorithm.check_user_compression_configuration`), checked here
before a weight is touched and without importing nncf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Any

from ..core.errors import UsageError
from . import data_aware, scheme_rules, tensor_precision
from .modes import (
    BACKUPS,
    EXACT_MODES,
    FALLBACKS,
    FLOAT_PRECISIONS,
    INT8_MODES,
    MIN_ADJUSTED_GROUP,
    ONLY_GROUP,
    PRECISIONS,
    VISION_PRECISIONS,
    bits_of,
)
from .request import KV_CACHES, Request

__all__ = [
    "BACKUPS", "EXACT_MODES", "FALLBACKS", "FLOAT_PRECISIONS", "INT8_MODES", "KV_CACHES",
    "MIN_ADJUSTED_GROUP", "ONLY_GROUP", "PRECISIONS",
    "VISION_PRECISIONS", "Request", "Scheme", "bits_of", "calibration_name", "resolve", "resolve_vision",
]  # fmt: skip
_PER_CHANNEL = -1


@dataclass(frozen=True)
class Scheme:
    """A complete weight-compression scheme.

    Attributes:
        precision: the name the user gave.
        mode: NNCF's mode ("int4_sym", "nf4", …) or the float precision itself ("bf16", …).
        group_size: weights of a row that share one scale; -1: the whole row.
        group_size_fallback: what happens to a row that the group does not divide: "error", "ignore" (the tensor
            stays uncompressed) or "adjust" (the largest power of two ≥ 32 that divides it, else the backup mode).
        ratio: share of the ratio-defining weights that get `mode`; the rest get `backup`.
        backup: mode of embeddings, of the last layer and of the weights above `ratio`; "none": uncompressed.
        all_layers: embeddings and last layer get `mode` too.
        chosen_by: who decided what the user left open ("user", "nncf", or the name of a family).
        calibration: name of the text that was measured on; None: the weights alone decided.
        awq, scale_estimation, gptq, lora_correction: NNCF's methods (`quantize.data_aware`).
        sensitivity_metric: by which a ratio below 1 chose; None: NNCF's data-free one.
        num_samples: pieces of the text, at most.
        target: the device whose documented limits the scheme keeps (`quantize.device`).
        tensor_precision: rules for single weights, the first that is found in a name decides (`quantize.tensor_precision`).
        kv_cache: what the artifact asks a device to keep keys and values in, one of KV_CACHES; None: float16 beside weights
            that are not compressed, as optimum-intel asks, else "device".
    """

    precision: str
    mode: str
    group_size: int = _PER_CHANNEL
    group_size_fallback: str = "error"
    ratio: float = 1.0
    backup: str = "int8_asym"
    all_layers: bool = False
    chosen_by: str = "nncf"
    calibration: str | None = None
    awq: bool = False
    scale_estimation: bool = False
    gptq: bool = False
    lora_correction: bool = False
    sensitivity_metric: str | None = None
    num_samples: int | None = None
    target: str | None = None
    tensor_precision: Sequence[str] = ()
    kv_cache: str | None = None

    @property
    def compresses(self) -> bool:
        """True unless the weights stay floating point."""
        return self.mode not in FLOAT_PRECISIONS

    @property
    def bits(self) -> int:
        """Bits of one weight in `mode`."""
        return bits_of(self.mode)

    @property
    def exact(self) -> bool:
        """True if our own quantizer gives NNCF's bytes for every tensor of this scheme."""
        return self.mode in EXACT_MODES and (self.backup in (*INT8_MODES, "none")) and not self.data_aware

    @property
    def data_aware(self) -> bool:
        """True if more than rounding happens to the weights, or a text decides on it: NNCF does it then."""
        return self.calibration is not None or any(getattr(self, name) for name in data_aware.METHODS)

    @property
    def data_free(self) -> Scheme:
        """The same scheme without its methods: for graphs in which nothing flows through the weights."""
        plain: dict[str, Any] = dict.fromkeys(data_aware.METHODS, False)
        plain |= {"calibration": None, "sensitivity_metric": None, "num_samples": None}
        return replace(self, **plain)

    def describe(self) -> str:
        """One line for a person."""
        made_for = f", for {self.target.upper()}" if self.target else ""
        cache = {"f16": ", KV cache in float16", "device": ", KV cache as the device has it"}.get(
            self.kv_cache or "", ""
        )
        return self._sentence() + made_for + cache

    def _sentence(self) -> str:
        if not self.compresses:
            return f"{self.mode} (weights are not compressed)"
        group = "per channel" if self.group_size == _PER_CHANNEL else f"group {self.group_size}"
        count = len(self.tensor_precision)
        rules = f", {count} rule{'s' if count > 1 else ''} for single weights" if count else ""
        if self.mode in INT8_MODES:
            return f"{self.mode}, {group}{rules}"
        rest = "embeddings and last layer too" if self.all_layers else f"embeddings and last layer {self.backup}"
        return f"{self.mode}, {group}, ratio {self.ratio:g}, {rest}{rules}{data_aware.describe(self.__dict__)}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form, as it stands in the manifest; without the methods that were not used."""
        unused = {
            name for name in (*data_aware.FIELDS, "target", "tensor_precision", "kv_cache") if not getattr(self, name)
        }
        return {name: value for name, value in asdict(self).items() if name not in unused}


def resolve(request: Request, family_default: dict[str, Any] | None = None, family: str = "") -> Scheme:
    """Complete a request with the family's published choice, else with NNCF's and optimum's defaults.

    `family_default` holds `sym`, `group_size` and `ratio` as the model's makers chose them for plain "int4".

    Raises:
        UsageError: a combination that NNCF refuses.
    """
    if request.precision not in PRECISIONS:
        raise UsageError(f"Unknown precision {request.precision!r}.", "One of: " + ", ".join(PRECISIONS) + ".")
    if request.precision in FLOAT_PRECISIONS:
        scheme_rules.refuse_compression(request)
        data_aware.refuse(request, f"--precision {request.precision}: nothing is compressed", "Choose int4.")
        mode = request.precision
        return Scheme(
            precision=mode, mode=mode, backup="none", chosen_by="user", target=request.target, kv_cache=request.kv_cache
        )
    default = family_default if request.precision == "int4" and family_default else {}
    mode = _mode(request, default)
    scheme_rules.check(request, mode)
    if mode in INT8_MODES:
        data_aware.refuse(request, f"{mode}: eight bits lose too little for it", "Choose int4.")
        return Scheme(
            precision=request.precision,
            mode=mode,
            backup=mode,
            target=request.target,
            tensor_precision=request.tensor_precision,
            kv_cache=request.kv_cache,
        )
    ratio = request.ratio if request.ratio is not None else float(default.get("ratio", 1.0))
    data_aware.check(request, mode, ratio)
    group = request.group_size if request.group_size is not None else _default_group(mode, default)
    scheme = Scheme(
        precision=request.precision,
        mode=mode,
        group_size=group,
        group_size_fallback=_fallback(request, mode),
        ratio=ratio,
        backup=request.backup_precision or _default_backup(mode),
        all_layers=bool(request.all_layers),
        chosen_by=family if default else "nncf",
        target=request.target,
        tensor_precision=request.tensor_precision,
        kv_cache=request.kv_cache,
        **data_aware.resolved(request, calibration_name(request), ratio),
    )
    _check_exact(scheme)
    return scheme


def _check_exact(scheme: Scheme) -> None:
    """Raise UsageError if rules for single weights stand beside what only NNCF computes: it has no such rules."""
    if scheme.tensor_precision and not scheme.exact:
        raise UsageError(
            f"{tensor_precision.FLAG} cannot be used with {scheme.mode}, backup {scheme.backup}"
            f"{data_aware.describe(scheme.__dict__)}: NNCF makes those, and has one mode for all.",
            "Take int4 or int8, with int8 or none as the backup, and no method that needs a calibration text.",
        )


def calibration_name(request: Request) -> str | None:
    """Return the calibration text's name without its folder, as artifacts tell it; None: there is none."""
    return None if request.calibration is None else PurePath(request.calibration).name


def resolve_vision(precision: str | None, language: Scheme, family: str) -> Scheme:
    """Complete `--vision-precision`.

    Left out, it is float16 beside a compressed language model, which is what the vendor of GLM-Edge-V converted and measured, and
    the language model's own type beside a floating one.

    Raises:
        UsageError: no such precision.
    """
    if precision is None and language.compresses:
        return Scheme(precision="fp16", mode="fp16", backup="none", chosen_by=family)
    chosen = precision or language.precision
    if chosen not in VISION_PRECISIONS:
        raise UsageError(f"Unknown vision precision {chosen!r}.", "One of: " + ", ".join(VISION_PRECISIONS) + ".")
    return replace(resolve(Request(chosen)), chosen_by="user")


def _mode(request: Request, default: dict[str, Any]) -> str:
    if request.precision in ("int4", "int8"):
        sym = request.sym if request.sym is not None else bool(default.get("sym", False))
        return f"{request.precision}_{'sym' if sym else 'asym'}"
    named = {"_sym": True, "_asym": False}
    for suffix, sym in named.items():
        if request.precision.endswith(suffix) and request.sym not in (None, sym):
            raise UsageError(
                f"--precision {request.precision} contradicts {'--sym' if request.sym else '--asym'}.",
                "Pass it once: either in the precision's name or by the flag.",
            )
    if request.sym is not None and not request.precision.startswith("int"):
        raise UsageError(f"--sym/--asym have no meaning for {request.precision}.", "They belong to int4 and int8.")
    return request.precision


def _default_group(mode: str, default: dict[str, Any]) -> int:
    if mode in ONLY_GROUP:
        return ONLY_GROUP[mode]
    if mode == "cb4":
        return _PER_CHANNEL
    return int(default.get("group_size", 128))


def _default_backup(mode: str) -> str:
    if mode in ("mxfp4", "mxfp8_e4m3"):
        return "mxfp8_e4m3"
    if mode in ("fp4", "fp8_e4m3"):
        return "fp8_e4m3"
    return "int8_asym"


def _fallback(request: Request, mode: str) -> str:
    """A size that the user named must fit or fail; a default size gives way."""
    if request.group_size_fallback:
        return request.group_size_fallback
    if request.group_size is not None:
        return "error"
    return "ignore" if mode in ONLY_GROUP else "adjust"
