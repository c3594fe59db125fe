"""The small files around a tower: what fits is taken over, what belongs to another model is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import template_file
from edgeconv.convert.families.glm_edge_v import GlmEdgeVision
from edgeconv.convert.families.glm_edge_v_model import files
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino.choose import choose
from edgeconv.core.errors import CheckpointError

Maker = Callable[..., Path]
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "{% for _ in range(COUNT) %}<|begin_of_image|>{% endfor %}{% endif %}{% endfor %}{% endfor %}"
)


@pytest.fixture
def folder(tiny_vision_model: Maker, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_vision_model(), tmp_path / "model")


def vision_of(folder: Path) -> GlmEdgeVision:
    checkpoint = open_checkpoint(folder)
    described = choose(checkpoint.config, names=checkpoint.names).vision
    assert isinstance(described, GlmEdgeVision)
    return described


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text("utf-8")) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), "utf-8")


def test_files_that_fit_pass(folder: Path) -> None:
    assert files.check(folder, vision_of(folder).wanted) == []


@pytest.mark.parametrize("count", [0, 1, 5, 7, 578])
def test_the_templates_number_is_that_of_the_tower(count: int, folder: Path) -> None:
    edit(folder / "tokenizer_config.json", chat_template=TEMPLATE.replace("COUNT", str(count)))
    with pytest.raises(CheckpointError, match=rf"writes {count} <\|begin_of_image\|> .* makes 6 rows \(56 px"):
        files.check(folder, vision_of(folder).wanted)


def test_the_template_is_the_one_that_transformers_takes(folder: Path) -> None:
    from transformers import AutoTokenizer

    wrong, right = (TEMPLATE.replace("COUNT", n) for n in ("5", "6"))
    named = [{"name": "tools", "template": wrong}, {"name": "default", "template": right}]
    edit(folder / "tokenizer_config.json", chat_template=named)
    assert template_file.read_template(folder) == AutoTokenizer.from_pretrained(folder).get_chat_template() == right
    edit(folder / "tokenizer_config.json", chat_template=wrong)
    (folder / "chat_template.jinja").write_text(right, "utf-8")
    assert template_file.read_template(folder) == AutoTokenizer.from_pretrained(folder).chat_template == right
    assert files.check(folder, vision_of(folder).wanted) == []


def test_rendering_is_that_of_transformers(folder: Path) -> None:
    from transformers import AutoTokenizer

    template = template_file.read_template(folder)
    assert template
    messages = [*files.ONE_PICTURE, {"role": "assistant", "content": [{"type": "text", "text": "<b> 'x' \n"}]}]
    expected = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    assert template_file.render(template, messages) == expected


def test_without_a_template_the_plan_says_so(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", chat_template=None)
    (note,) = files.check(folder, vision_of(folder).wanted)
    assert "6 <|begin_of_image|>" in note


@pytest.mark.parametrize(
    "template",
    ["{% for x in %}", "{{ messages.pop() }}", "{{ raise_exception('no pictures') }}", "{{ 1 / 0 }}", "{{ range(10 ** 9) }}",
     "{{ messages[0]['content'] + 1 }}", "{{ ''.__class__.__mro__ }}{{ x.y.z }}"],
)  # fmt: skip
def test_a_template_that_fails_or_attacks_is_refused(template: str, folder: Path) -> None:
    edit(folder / "tokenizer_config.json", chat_template=template)
    with pytest.raises(CheckpointError, match="cannot be rendered"):
        files.check(folder, vision_of(folder).wanted)


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "another size": (
        "preprocessor_config.json",
        {"size": {"height": 28, "width": 28}},
        "28 px, but the tower takes 56",
    ),
    "a rectangle": ("preprocessor_config.json", {"size": {"height": 56, "width": 28}}, "preparation that GLM-Edge-V"),
    "tiles": ("preprocessor_config.json", {"max_image_tiles": 4}, "max_image_tiles 4"),
    "no mean": ("preprocessor_config.json", {"image_mean": None}, "does not state image_mean"),
    "another placeholder": ("config.json", {"boi_token_id": 4095}, r"boi_token_id is 4095; .* has the id 4094"),
    "a tokenizer without it": ("tokenizer.json", {"added_tokens": []}, "is not there"),
    "a template that is not a text": ("tokenizer_config.json", {"chat_template": 5}, "is not a text"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_of_another_model_are_refused(name: str, folder: Path) -> None:
    file, changes, message = WRONG[name]
    edit(folder / file, **changes)
    with pytest.raises(CheckpointError, match=message):
        files.check(folder, vision_of(folder).wanted)


@pytest.mark.parametrize("file", ["preprocessor_config.json", "tokenizer.json"])
def test_a_missing_file_is_named(file: str, folder: Path) -> None:
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match=file.replace(".", r"\.")):
        files.check(folder, vision_of(folder).wanted)


def test_the_preprocessor_is_completed_and_free_of_remote_code(folder: Path) -> None:
    edit(
        folder / files.PREPROCESSOR,
        auto_map={"AutoImageProcessor": "x.Y"},
        do_pad=None,
        max_image_tiles=None,
        image_size=56,
        image_std=[0.25, 0.5, 0.5],
    )
    made = files.preprocessor(folder)
    assert made["do_pad"] is True
    assert made["max_image_tiles"] == 1
    assert made["image_std"] == [0.25, 0.5, 0.5]
    assert made["image_size"] == 56
    assert "auto_map" not in made
    assert made["image_processor_type"] == "GlmEdgeVImageProcessor"


def test_the_processor_says_how_many(folder: Path) -> None:
    edit_free = folder / files.PROCESSOR
    edit_free.write_text(json.dumps({"processor_class": "X", "auto_map": {}, "kept": 1}))
    made = files.processor(folder, vision_of(folder).wanted)
    assert made == {"processor_class": "GlmEdgeVProcessor", "kept": 1, "image_tokens": 6}
