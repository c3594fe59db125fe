"""What a user asks of the weights, as it was typed; `quantize.scheme.resolve` completes it."""

from __future__ import annotations

from dataclasses import dataclass

KV_CACHES = ("f16", "device")
"""What an artifact may ask a device to keep keys and values in: float16, or whatever the device does by itself (u8 on CPUs)."""


@dataclass(frozen=True)
class Request:
    """What the user said; None means "you choose".

    `calibration` is a file, or "suite"; what belongs to it is explained in `quantize.data_aware`. `target` is a name of
    `quantize.device.TARGETS`. `tensor_precision` holds rules of `quantize.tensor_precision`. `kv_cache` is one of KV_CACHES.
    """

    precision: str
    group_size: int | None = None
    group_size_fallback: str | None = None
    ratio: float | None = None
    sym: bool | None = None
    backup_precision: str | None = None
    all_layers: bool | None = None
    calibration: str | None = None
    awq: bool | None = None
    scale_estimation: bool | None = None
    gptq: bool | None = None
    lora_correction: bool | None = None
    sensitivity_metric: str | None = None
    num_samples: int | None = None
    target: str | None = None
    tensor_precision: tuple[str, ...] = ()
    kv_cache: str | None = None
