"""Keeps libraries underneath from running code that nobody asked for: fetched because a file names it, or merely installed."""

from __future__ import annotations

import os
import sys
from typing import Any

OPTIONAL = (
    "accelerate", "apex", "aqlm", "auto_gptq", "awq", "bitsandbytes", "compressed_tensors", "deepspeed", "detectron2", "eetq",
    "fbgemm_gpu", "fla", "flash_attn", "flash_attn_3", "galore_torch", "gptqmodel", "hqq", "liger_kernel", "mlflow", "natten",
    "peft", "quark", "spqr_quant", "torchao", "vptq", "wandb", "xformers",
)  # fmt: skip
"""Packages that libraries underneath import where they are installed, some with their first class (hqq, accelerate), and of
which edgeconv needs nothing."""


def block_foreign_code() -> None:
    """Leave transformers without the package `kernels`, which downloads code from repositories that a config.json may name.

    To be called before transformers is imported. A library that this process has imported itself stays.
    """
    os.environ["USE_HUB_KERNELS"] = "0"
    _hide("kernels")


def block_optional_packages() -> None:
    """Let imports of `OPTIONAL` fail, which the libraries underneath allow for: for them none is installed.

    For processes of edgeconv's own; one that uses edgeconv as a library may need such a package itself.
    """
    block_foreign_code()
    for name in OPTIONAL:
        _hide(name)


def _hide(name: str) -> None:
    modules: dict[str, Any] = sys.modules
    modules.setdefault(name, None)  # an import of it now fails
