import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoProcessor

from edgeconv.convert.families.glm_edge_v_model import load_processor, register
from edgeconv.convert.families.glm_edge_v_model.facts import CHAT_TEMPLATE, PLACEHOLDER
from edgeconv.convert.families.glm_edge_v_model.processing import GlmEdgeVProcessor
from edgeconv.core.errors import CheckpointError, UsageError

from ..tiny_v import make_glm_edge_v

PICTURE = Image.new("RGB", (30, 20), (200, 10, 10))
IMAGE = {"type": "image"}
SIX = PLACEHOLDER * 6


def text(said):
    return {"type": "text", "text": said}


def user(*parts):
    return {"role": "user", "content": list(parts)}


def test_the_order_of_the_parts_is_kept(processor):
    first = processor.apply_chat_template([user(IMAGE, text("Hello"))], add_generation_prompt=True)
    last = processor.apply_chat_template([user(text("Hello"), IMAGE)], add_generation_prompt=True)
    assert first == f"<|user|>\n{SIX}Hello<|assistant|>\n"
    assert last == f"<|user|>\nHello{SIX}<|assistant|>\n"


def test_a_plain_string_is_not_lost(processor):
    conversation = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes."}]
    assert processor.apply_chat_template(conversation) == "<|user|>\nHello<|assistant|>\nYes."
    assert conversation[0]["content"] == "Hello"


def test_prompt_and_picture_to_what_the_model_takes(processor, model):
    prompt = processor.apply_chat_template([user(IMAGE, text("Hello"))], add_generation_prompt=True)
    inputs = processor(images=PICTURE, text=prompt, return_tensors="pt")
    assert set(inputs) == {"input_ids", "attention_mask", "pixel_values"}
    assert inputs["pixel_values"].shape == (1, 3, 56, 56)
    assert (inputs["input_ids"] == model.config.boi_token_id).sum() == 6
    with torch.no_grad():
        assert model(**inputs).logits.isfinite().all()


def test_pictures_inside_the_conversation(processor):
    """The form that transformers' own pipelines use."""
    conversation = [user({"type": "image", "image": PICTURE}, {"type": "image", "image": PICTURE}, text("Two?"))]
    inputs = processor.apply_chat_template(
        conversation, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert inputs["pixel_values"].shape == (2, 3, 56, 56)
    assert (inputs["input_ids"] == processor.image_token_id).sum() == 12


def test_an_array_and_options_that_are_none(processor):
    array = np.asarray(PICTURE)
    inputs = processor(images=array, text=SIX, videos=None, audio=None, return_tensors="np")
    np.testing.assert_array_equal(inputs["pixel_values"], processor.image_processor(PICTURE)["pixel_values"])


def test_several_prompts_at_once(processor):
    rows = [[user(IMAGE, text("Hello"))], [user(text("A rather longer question without any picture"))]]
    prompts = processor.apply_chat_template(rows, add_generation_prompt=True)
    inputs = processor(images=[PICTURE], text=prompts, padding=True, return_tensors="np")
    assert inputs["input_ids"].shape[0] == 2
    assert (inputs["input_ids"] == processor.image_token_id).sum(axis=1).tolist() == [6, 0]


def test_text_alone_has_no_pixels(processor):
    inputs = processor(text="<|user|>\nHello<|assistant|>\n", return_tensors="pt")
    assert set(inputs) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize(
    ("prompt", "pictures"), [("Hello", [PICTURE]), (SIX, None), (PLACEHOLDER, [PICTURE]), (SIX, [])]
)
def test_prompt_and_pictures_that_do_not_fit(processor, prompt, pictures):
    with pytest.raises(UsageError, match="placeholders"):
        processor(images=pictures, text=prompt)


def test_a_picture_alone_is_no_prompt(processor):
    with pytest.raises(UsageError, match="not a prompt"):
        processor(images=PICTURE)


def test_a_template_of_another_size_is_refused(tmp_path):
    make_glm_edge_v(tmp_path, template=CHAT_TEMPLATE.format(image_tokens=578))
    with pytest.raises(CheckpointError, match=r"writes 578 .*the tower makes 6 rows"):
        load_processor(tmp_path)


def test_a_template_that_knows_no_pictures_is_refused(tmp_path):
    make_glm_edge_v(tmp_path, template="{% for m in messages %}{{ m['role'] }}{% endfor %}")
    with pytest.raises(CheckpointError, match="writes 0"):
        load_processor(tmp_path)


def test_pictures_of_another_size_than_the_tower_are_refused(tmp_path):
    path = make_glm_edge_v(tmp_path) / "preprocessor_config.json"
    stated = json.loads(path.read_text())
    path.write_text(json.dumps(stated | {"size": {"height": 112, "width": 112}}))
    with pytest.raises(CheckpointError, match="112 px, the tower takes 56"):
        load_processor(tmp_path)


def test_a_tokenizer_without_the_placeholder_is_refused(tmp_path):
    path = make_glm_edge_v(tmp_path) / "tokenizer.json"
    path.write_text(path.read_text().replace(PLACEHOLDER, "<|another|>"))
    with pytest.raises(CheckpointError, match="begin_of_image"):
        load_processor(tmp_path)


def test_another_placeholder_in_the_config_is_refused(tmp_path):
    make_glm_edge_v(tmp_path, boi_token_id=17)
    with pytest.raises(CheckpointError, match=r"boi_token_id 17"):
        load_processor(tmp_path)


def test_saved_and_found_by_the_auto_classes(processor, folder, tmp_path):
    register()
    processor.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    again = AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is GlmEdgeVProcessor
    assert again.image_tokens == 6
    assert again.chat_template == processor.chat_template
    pixels = AutoImageProcessor.from_pretrained(tmp_path)(PICTURE)["pixel_values"]
    np.testing.assert_array_equal(pixels, processor.image_processor(PICTURE)["pixel_values"])
