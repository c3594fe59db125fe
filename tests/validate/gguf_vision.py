"""GGUFs of vision-language models, and the vision checks alone, without the parity suite around them."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeconv.convert.conversion import GgufJob, run
from edgeconv.convert.families.glm_edge_v_model.pixels import open_picture
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.progress import Silent
from edgeconv.runtimes.llama_cpp_vision import View
from edgeconv.validate import budget
from edgeconv.validate.checks import vision_gguf
from edgeconv.validate.passes import TorchPasses
from edgeconv.validate.report.model import BudgetLine, Check
from edgeconv.validate.suite import load
from edgeconv.validate.target import open_pair
from edgeconv.validate.tokenizer import open_tokenizer
from edgeconv.validate.vision_checks import VisionScores
from edgeconv.validate.vision_checks_gguf import GgufVisionChecks
from edgeconv.validate.vision_reference import Arithmetic

LAYER = "v.blk.1."


def converted(source: Path, out: Path, *, kind: str = "f32", vision: str = "fp16") -> Path:
    """A folder with both files and no manifest, whose digests alone would give a fault away."""
    run(GgufJob(str(source), recipe(kind), output=out, vision_precision=vision))
    (out / "edgeconv.json").unlink()
    return out


def projector_of(folder: Path) -> Path:
    (found,) = folder.glob("mmproj-*.gguf")
    return found


def spoilt(folder: Path, to: Path, fault: Callable[[Path], None]) -> Path:
    """A copy with a fault in its mmproj."""
    shutil.copytree(folder, to)
    file = projector_of(to)
    before = file.read_bytes()
    fault(file)
    assert file.read_bytes() != before, "the fault changes nothing"
    return to


def see(folder: Path, reference: Path, *, pictures: int = 2) -> tuple[Check, VisionScores]:
    """Rung 0 and the vision checks, over the last pictures of the suite."""
    pair = open_pair(folder, str(reference), Silent())
    weights = pair.artifact.weights(pair.checkpoint)
    structure = pair.artifact.structure(pair.checkpoint, weights, Silent())
    tokenizer = open_tokenizer(pair.checkpoint.folder, parts=True)
    passes = TorchPasses(pair, weights, tokenizer, Silent())
    return structure, GgufVisionChecks(pair.artifact, load().pictures[-pictures:], passes, "CPU", Silent()).look(
        noise=0.1
    )


def rows(folder: Path, reference: Path) -> tuple[Check, dict[str, BudgetLine]]:
    """Rung 0 and the budgets on rows of one picture, without captions and defaults: what they cost is not needed twice."""
    pair = open_pair(folder, str(reference), Silent())
    weights = pair.artifact.weights(pair.checkpoint)
    structure = pair.artifact.structure(pair.checkpoint, weights, Silent())
    vision = GgufVisionChecks(
        pair.artifact, load().pictures[-1:], TorchPasses(pair, weights, None, Silent()), "CPU", Silent()
    )
    arithmetic = Arithmetic(norm_eps=1e-6, gelu="tanh", table=True)
    pixels = vision.rule([open_picture(vision.pictures[0].path)])
    (wanted,), (own,) = (vision.passes.variants(pixels, [arithmetic], own=which)[0] for which in (False, True))
    with pair.artifact.eyes(vision.hidden, Silent(), accurate=True) as eyes:
        (made,) = eyes.look([View(vision.squares[0])], Silent(), "")
    figures = {
        "vision.row_conversion": vision_gguf.typical([made.rows], [own]),
        "vision.row_quantisation": vision_gguf.typical([made.rows], [wanted]),
        "vision.row_marks": vision_gguf.marks([made.rows], [wanted]),
        "vision.row_runtime": 0.0,
    }
    lines = budget.judge_figures(budget.rows(pair.artifact.tower_bits), figures)
    return structure, {line.metric: line for line in lines}


def check(seen: VisionScores, name: str) -> Check:
    return next(one for one in seen.checks if one.name == name)


def exchange(file: Path, one: str, other: str) -> None:
    """Exchange the data of two tensors of one shape and type."""
    opened = open_gguf(file)
    infos = [opened.info(name) for name in (one, other)]
    datas = [opened.data(name).tobytes() for name in (one, other)]
    assert infos[0].shape == infos[1].shape
    with file.open("r+b") as stream:
        for info, data in zip(infos, reversed(datas), strict=True):
            stream.seek(info.offset)
            stream.write(data)


def set_array(file: Path, key: str, values: list[float]) -> None:
    """Change an array of float32 in place."""
    raw = bytearray(file.read_bytes())
    place = raw.index(struct.pack("<Q", len(key)) + key.encode()) + 8 + len(key)
    assert struct.unpack_from("<IIQ", raw, place) == (9, 6, len(values))
    struct.pack_into(f"<{len(values)}f", raw, place + 16, *values)
    file.write_bytes(raw)


def rename(file: Path, one: str, other: str) -> None:
    """Give a name of the same length to whatever has the first one."""
    raw = file.read_bytes()
    assert len(one) == len(other)
    assert one.encode() in raw
    file.write_bytes(raw.replace(one.encode(), other.encode()))


def zero(data: np.ndarray[Any, Any]) -> None:
    data[:] = 0
