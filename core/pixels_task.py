"""What the worker does with a picture that a model is to see: transformers' image processor. Loaded by `worker_child` alone.

Torch and torchvision are hidden from transformers, which then takes 1.5 s and 75 MB instead of 6 s and 500 MB: the processors
of the PIL backend need neither.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_beside = importlib.util.spec_from_file_location("foreign_code", Path(__file__).with_name("foreign_code.py"))
assert _beside
assert _beside.loader
_foreign_code = importlib.util.module_from_spec(_beside)
_beside.loader.exec_module(_foreign_code)
_foreign_code.block_optional_packages()
sys.modules.update(dict.fromkeys(("torch", "torchvision", "scipy", "sklearn")))  # type: ignore[arg-type]  # None: not there
os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}

import transformers.image_processing_base  # noqa: E402
from transformers.models.auto.configuration_auto import model_type_to_module_name  # noqa: E402
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES  # noqa: E402
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES  # noqa: E402

_picture: dict[str, Any] = {"size": (0, 0), "bytes": bytearray()}
"""The picture that comes in parts."""
_made: dict[str, Any] = {}
"""What the last picture became, by name."""


def pixels_facts(config: dict[str, Any], kind: str) -> dict[str, Any]:
    """Say what a model's processor is.

    Args:
        config: preprocessor_config.json, or what processor_config.json says of the image processor.
        kind: `model_type` of the model.

    Returns:
        `processor`: the class of transformers' whole processor, by the type; None: there is none.
        `image`: the image processor's values.
    """
    made = _processor(config, kind).to_dict()
    plain = {
        name: value
        for name, value in made.items()
        if isinstance(value, (str, int, float, list, tuple, dict, type(None)))
    }
    return {"processor": PROCESSOR_MAPPING_NAMES.get(kind), "image": plain}


def pixels_begin(width: int, height: int) -> None:
    """Begin with a picture; its rows come by `pixels_rows`."""
    _made.clear()
    _picture.update(size=(width, height), bytes=bytearray())


def pixels_rows(rows: str) -> None:
    """Take the picture's next rows, three bytes a pixel in base64."""
    _picture["bytes"] += base64.b64decode(rows)


def pixels(config: dict[str, Any], kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """Process the picture.

    Args:
        config: as of `pixels_facts`.
        kind: likewise.
        options: what the model's whole processor gives its image processor.

    Returns:
        By name, numpy's name of the type and the shape of each array; `pixels_part` has its bytes.
    """
    picture = Image.frombytes("RGB", tuple(_picture["size"]), bytes(_picture["bytes"]))
    _picture["bytes"] = bytearray()
    made = _processor(config, kind)(images=[picture], return_tensors="np", **options)
    _made.update({name: np.ascontiguousarray(value) for name, value in made.items()})
    return {name: [value.dtype.name, list(value.shape)] for name, value in _made.items()}


def pixels_part(name: str, start: int, stop: int) -> str:
    """Return bytes [start, stop) of an array, in base64."""
    return base64.b64encode(_made[name].reshape(-1).view(np.uint8)[start:stop].tobytes()).decode()


_processors: dict[str, Any] = {}


def _processor(config: dict[str, Any], kind: str) -> Any:
    key = repr((config, kind))
    if key not in _processors:
        _processors.clear()
        _processors[key] = _class(config, kind).from_dict({**config})
    return _processors[key]


def _class(config: dict[str, Any], kind: str) -> Any:
    """Return the image processor's class of the PIL backend."""
    stated = config.get("image_processor_type") or config.get("feature_extractor_type")
    if stated is None:
        names = IMAGE_PROCESSOR_MAPPING_NAMES.get(kind) or {}
    else:
        base = str(stated).replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")
        names = next((one for one in IMAGE_PROCESSOR_MAPPING_NAMES.values() if base in one.values()), {})
    wanted = names.get("pil")
    for other, theirs in IMAGE_PROCESSOR_MAPPING_NAMES.items() if wanted else ():
        module = model_type_to_module_name(other)
        name = f"transformers.models.{module}.image_processing_pil_{module}"
        if theirs.get("pil") == wanted and importlib.util.find_spec(name):
            return getattr(importlib.import_module(name), wanted)
    what = stated or f"of model_type {kind}"
    raise ValueError(f"transformers {transformers.__version__} has no image processor {what} for Pillow")
