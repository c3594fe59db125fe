"""`--layout genai`: a GLM-Edge-V artifact that stock `openvino_genai.VLMPipeline` runs, by presenting itself as Gemma 4.

Of the pipeline's models this is the one whose preparation tells the vision IR a picture's shape: it resizes to a given area,
keeps the shape, and hands over patches with their places. With patches of one pixel the IR can put the picture together
again and do the rest itself: fit, pad, normalize. (LLaVA's hands over a square from which the shape cannot be told.)

The language model and the embeddings are the default layout's to the byte; the vision IR gets `front` before its tower. The
small files differ: the type in config.json, the names of two tokens, which keep their ids, and the chat template.

Source: `src/cpp/src/visual_language/gemma4/classes.cpp` of openvinotoolkit/openvino.genai (read at da1db86, run with
2026.4.1).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...core.errors import CheckpointError
from ...core.openvino_core import openvino_core
from ...core.scratch import scratch
from .. import tokenizer_copy
from ..checkpoint import read_json
from ..families.glm_edge_v import GlmEdgeVision
from ..families.glm_edge_v_model.facts import PLACEHOLDER
from ..families.glm_edge_v_model.files import PREPROCESSOR, PROCESSOR
from ..families.glm_edge_v_model.pixels import Preprocess
from ..template_file import read_template
from .stream_ir import VISION_EMBEDDINGS

IMAGE, VIDEO = "<|image|>", "<|video|>"
"""How the pipeline writes a placeholder; and a token that it wants to exist, although nothing writes it here."""
BEGIN, END = "<|image>", "<image|>"
"""What the pipeline writes around the placeholders; the template drops it, since GLM-Edge-V's tower makes such rows itself."""
_EOI = "<|end_of_image|>"

_JSON_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")

NOTES = (
    "layout genai: for openvino_genai.VLMPipeline, as Gemma 4; edgeconv chat, edgeconv validate and optimum-intel take the "
    "default layout, whose weights are the same",
    "layout genai: square pictures are prepared exactly as GLM-Edge-V prepares them; others are resized twice, first by the "
    "pipeline to the square's area, so their pixels differ a little; fitted and padded before, they are exact too",
    "layout genai: give upright RGB without transparency; the pipeline knows no EXIF and no alpha channel",
    "layout genai: between two pictures without words between them stands a newline that GLM-Edge-V's template does not write",
    f"layout genai: a question cannot hold the text {IMAGE}, {BEGIN}, {END} or {VIDEO}; with apply_chat_template off the prompt "
    "is not GLM-Edge-V's",
)
"""Everything in which an answer can differ from the default layout's; for the plan and the manifest."""


def check(folder: Path, vision: GlmEdgeVision) -> list[str]:
    """Check that a checkpoint's files can be said in the pipeline's terms.

    Returns:
        Sentences for the plan.

    Raises:
        CheckpointError: its pictures are prepared in another way, its tokenizer has a token of one of the pipeline's names or
            none to spare, or it has no chat template.
    """
    rule = Preprocess.from_folder(folder)
    bicubic, hint = 3, "Take the default layout."
    if rule.resample != bicubic or abs(rule.rescale_factor * 255 - 1) > 1e-6 or vision.tower.channels != len(rule.mean):
        raise CheckpointError(
            f"openvino_genai resizes bicubically and scales by 1/255; this checkpoint asks for filter {rule.resample} and "
            f"{rule.rescale_factor}.",
            hint,
        )
    added = {token.get("content") for token in read_json(folder / "tokenizer.json").get("added_tokens", [])}
    taken = added & {IMAGE, VIDEO, BEGIN, END}
    if taken or _EOI not in added:
        what = f"has a token {min(taken)} already" if taken else f"has no token {_EOI}"
        raise CheckpointError(f"The tokenizer {what}.", hint)
    if read_template(folder) is None:
        raise CheckpointError("The checkpoint has no chat template, and layout genai needs one.", hint)
    return list(NOTES)


@contextmanager
def tokenizer_folder(source: Path) -> Iterator[Path]:
    """Give a folder with the checkpoint's tokenizer files, in which two tokens have the pipeline's names, for a while.

    The template is in tokenizer_config.json alone; config.json is beside them, for what reads the size of the vocabulary.
    """
    with scratch(Path(tempfile.gettempdir()), "edgeconv-genai-") as folder:
        shutil.copyfile(source / "config.json", folder / "config.json")
        for file in _JSON_FILES:
            if (source / file).is_file():
                _write(folder / file, _renamed(read_json(source / file)))
        stated = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
        template = adapted_template(read_template(source) or "")
        _write(folder / "tokenizer_config.json", stated | {"chat_template": template})
        for file, text in tokenizer_copy.written(folder).items():
            (folder / file).write_text(text, "utf-8")
        yield folder


def write(folder: Path, vision: GlmEdgeVision, tokenizer: Path) -> list[str]:
    """Turn a staged artifact of the default layout into this one.

    Args:
        folder: the artifact, with its IRs and the files of `assets.write`.
        vision: the vision part.
        tokenizer: of `tokenizer_folder`; the tokenizer IRs come from it too.

    Returns:
        Names of the files of weights and graphs that were written anew.

    """
    for file in (*_TEMPLATE_FILES, PROCESSOR):
        (folder / file).unlink(missing_ok=True)
    for file in _JSON_FILES:
        if (tokenizer / file).is_file():
            shutil.copyfile(tokenizer / file, folder / file)
    config = read_json(folder / "config.json")
    # without names of classes: no other library may take this for a Gemma that it can load
    config = {key: value for key, value in config.items() if key != "architectures"}
    seen = config["vision_config"] | {"patch_size": 1}
    changes = {"model_type": "gemma4", "vision_config": seen, "text_config": {"hidden_size_per_layer_input": 0}}
    _write(folder / "config.json", config | changes)
    stated = read_json(folder / PREPROCESSOR)
    _write(folder / PREPROCESSOR, preprocessor(stated, vision))
    return _put_front(folder, Preprocess.from_config(stated))


def preprocessor(stated: dict[str, Any], vision: GlmEdgeVision) -> dict[str, Any]:
    """Return preprocessor_config.json in the pipeline's terms; `Preprocess.canvas` still works with it.

    One pixel more than the square's: floor(sqrt(area)) must not fall a pixel short by rounding. Nothing is normalized there.
    """
    dropped = {"image_processor_type", "processor_class"}
    kept = {name: value for name, value in stated.items() if name not in dropped}
    pixels = {"patch_size": 1, "pooling_kernel_size": 1, "max_soft_tokens": vision.tower.image_size**2 + 1}
    return kept | pixels | {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}


def adapted_template(template: str) -> str:
    """Return a chat template for the pipeline's messages, whose content is a text with placeholders in it.

    GLM-Edge-V's own wants a list of parts and leaves a plain text out without a word. Each text becomes one part; what the
    pipeline writes around a picture goes, and between two pictures, whose rows would run into each other, stands a newline.
    """
    drop = "".join(
        f"{{%- set ns.text = ns.text.split('{old}') | join('{new}') -%}}"
        for old, new in ((END + BEGIN, "\\n"), (BEGIN, ""), (END, ""))
    )
    head = (
        "{%- set ns = namespace(rows=[], text='') -%}"
        "{%- for m in messages -%}"
        "{%- if m['content'] is string -%}"
        "{%- set ns.text = m['content'] -%}" + drop + "{%- set ns.rows = ns.rows + "
        "[{'role': m['role'], 'content': [{'type': 'text', 'text': ns.text}]}] -%}"
        "{%- else -%}{%- set ns.rows = ns.rows + [m] -%}{%- endif -%}"
        "{%- endfor -%}"
        "{%- set messages = ns.rows -%}"
    )
    return head + template.replace(PLACEHOLDER, IMAGE)


def front(rule: Preprocess) -> Any:
    """Build the model (`openvino.Model`) that makes the tower's pixels of the pipeline's patches.

    Inputs: pixel_values float32 [1, n, 3], bytes / 255 of one pixel each, zeros at the end; image_position_ids int64 [1, n, 2],
    their column and row, -1 at the end. Output: float32 [1, 3, S, S].
    """
    import numpy as np
    import openvino as ov
    from openvino import opset13

    ops: Any = opset13

    def whole(value: Any) -> Any:
        return ops.constant(np.array(value, np.int64))

    def real(value: Any) -> Any:
        return ops.constant(np.array(value, np.float32).reshape(1, -1, 1, 1))

    side = rule.size
    pixels = ops.parameter([-1, -1, 3], np.float32, name="pixel_values")
    places = ops.parameter([-1, -1, 2], np.int64, name="image_position_ids")
    for node in (pixels, places):
        node.output(0).set_names({node.get_friendly_name()})
    size = ops.add(ops.reduce_max(places, whole([0, 1]), keep_dims=False), whole([1, 1]))
    size = ops.gather(size, whole([1, 0]), whole(0))  # height, width
    count = ops.reduce_prod(size, whole([0]), keep_dims=True)
    picture = ops.slice(pixels, whole([0]), count, whole([1]), whole([1]))
    picture = ops.reshape(picture, ops.concat([whole([1]), size, whole([3])], 0), special_zero=False)
    picture = ops.transpose(picture, whole([0, 3, 1, 2]))
    picture = ops.round(ops.multiply(picture, real(255)), "half_away_from_zero")
    longer = ops.reduce_max(size, whole([0]), keep_dims=True)
    fitted = ops.maximum(ops.divide(ops.multiply(size, whole([side, side])), longer), whole([1, 1]))
    picture = ops.interpolate(picture, fitted, "bicubic_pillow", "sizes", cube_coeff=-0.5, axes=whole([2, 3]))
    picture = ops.round(ops.clamp(picture, 0.0, 255.0), "half_away_from_zero")
    room = ops.concat([whole([0, 0]), ops.subtract(whole([side, side]), fitted)], 0)
    square = ops.pad(picture, whole([0, 0, 0, 0]), room, "constant", ops.constant(np.float32(0)))
    square = ops.reshape(square, whole([1, 3, side, side]), special_zero=False)
    scaled = ops.multiply(square, real(rule.rescale_factor))
    normal = ops.divide(ops.subtract(scaled, real(rule.mean)), real(rule.std))
    normal.output(0).set_names({"canvas"})  # else it is named after its Result, which a counter of the process numbers
    return ov.Model([ops.result(normal)], [pixels, places], "front")


def _put_front(folder: Path, rule: Preprocess) -> list[str]:
    """Write the vision IR anew, its tower behind `front`."""
    import openvino as ov

    from .ir_file import name_nodes

    names = [f"{VISION_EMBEDDINGS}.{ending}" for ending in ("xml", "bin")]
    before = front(rule)
    tower = openvino_core().read_model(folder / names[0])
    made = before.get_results()[0].input_value(0)
    tower.get_parameters()[0].output(0).replace(made)
    model = ov.Model(tower.get_results(), before.get_parameters(), "model")
    name_nodes(model)
    with tempfile.TemporaryDirectory(dir=folder) as staging:
        ov.save_model(model, Path(staging) / names[0], compress_to_fp16=False)
        del model, tower, made, before  # they hold the file that is replaced
        for name in names:
            (Path(staging) / name).replace(folder / name)
    return names


def _renamed(content: Any) -> Any:
    """The two tokens' new names wherever the old ones stand, as a key or as a value, in parsed JSON."""
    if isinstance(content, dict):
        return {_renamed(key): _renamed(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_renamed(value) for value in content]
    return {PLACEHOLDER: IMAGE, _EOI: VIDEO}.get(content, content) if isinstance(content, str) else content


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
