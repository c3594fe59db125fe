"""The model against its parts put together by hand: transformers' SigLIP and GLM, and an adapter in plain sums."""

import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, SiglipVisionConfig, SiglipVisionModel

from edgeconv.convert.families.glm_edge_v_model import load, register
from edgeconv.convert.families.glm_edge_v_model.modeling import GlmEdgeVForConditionalGeneration, GlmEdgeVModel
from edgeconv.core.errors import CheckpointError, UsageError

from ..tiny_v import VISION, make_glm_edge_v

CLOSE = 1e-5
TOWER = "model.vision.vit.model."
ADAPTER = "model.vision.adapter."


@pytest.fixture(scope="module")
def boi(model):
    return model.config.boi_token_id


@pytest.fixture(scope="module")
def tensors(folder):
    return {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}


def noise(pictures, seed=0):
    return torch.randn(pictures, 3, 56, 56, generator=torch.Generator().manual_seed(seed)).clamp(-1, 1)


def by_hand(tensors, pixels):
    """Pixels to features from the file's tensors; the convolution is written as sums over 2 x 2 patches."""
    stripped = {name.removeprefix(TOWER): t for name, t in tensors.items() if name.startswith(TOWER)}
    tower = SiglipVisionModel(SiglipVisionConfig(**VISION, vision_use_head=False)).eval()
    tower.load_state_dict({name: t for name, t in stripped.items() if ".head." not in name})
    a = {name.removeprefix(ADAPTER): t for name, t in tensors.items() if name.startswith(ADAPTER)}
    with torch.no_grad():
        grid = tower(pixels).last_hidden_state.view(-1, 2, 2, 2, 2, 32)  # [n, row, in row, column, in column, width]
        x = torch.einsum("nracbv,hvab->nrch", grid, a["conv.weight"]) + a["conv.bias"]
        x = x.reshape(len(pixels), 4, 64) @ a["linear_proj.linear_proj.weight"].T
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
        x = x * a["linear_proj.norm1.weight"] + a["linear_proj.norm1.bias"]
        x = x * (1 + torch.erf(x / 2**0.5)) / 2
        gated = F.silu(x @ a["linear_proj.gate_proj.weight"].T) * (x @ a["linear_proj.dense_h_to_4h.weight"].T)
        rows = gated @ a["linear_proj.dense_4h_to_h.weight"].T
        return torch.stack([torch.cat([a["boi"][0], one, a["eoi"][0]]) for one in rows])


def test_the_names_are_those_of_the_checkpoints(model):
    names = {re.sub(r"\.\d+\.", ".N.", name) for name, _ in model.named_parameters()}
    siglip = TOWER + "vision_model."
    layer = siglip + "encoder.layers.N."
    both = (".weight", ".bias")
    expected = {siglip + "embeddings.patch_embedding" + end for end in both}
    expected |= {siglip + "embeddings.position_embedding.weight"}
    parts = (
        "layer_norm1",
        "layer_norm2",
        "mlp.fc1",
        "mlp.fc2",
        *(f"self_attn.{p}_proj" for p in ("q", "k", "v", "out")),
    )
    expected |= {layer + part + end for part in parts for end in both}
    expected |= {siglip + "post_layernorm" + end for end in both}
    expected |= {ADAPTER + name for name in ("boi", "eoi", "conv.weight", "conv.bias")}
    glu = ("linear_proj.weight", "norm1.weight", "norm1.bias", "gate_proj.weight", "dense_h_to_4h.weight")
    expected |= {ADAPTER + "linear_proj." + name for name in (*glu, "dense_4h_to_h.weight")}
    assert {name for name in names if name.startswith("model.vision.")} == expected
    text = {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    assert {name for name in names if not name.startswith(("model.vision.", "model.layers."))} == text


def test_features_are_those_of_the_parts(model, tensors):
    pixels = noise(2)
    with torch.no_grad():
        made = model.model.vision(pixels)
        other = model.get_image_features(pixels)
    assert made.shape == (2, 6, 64)
    assert torch.equal(made, other.pooler_output)
    assert other.last_hidden_state.shape == (2, 16, 32)
    torch.testing.assert_close(made, by_hand(tensors, pixels), atol=CLOSE, rtol=CLOSE)


def test_logits_are_those_of_glm_over_spliced_embeddings(model, tensors, folder, boi):
    """Two prompts, one with two pictures side by side and one with a single one."""
    one, two = [5, 6, *[boi] * 12, 7], [*[boi] * 6, *range(8, 17)]
    pixels = noise(3)
    features = by_hand(tensors, pixels)
    embeds = F.embedding(torch.tensor([one, two]), tensors["model.embed_tokens.weight"])
    embeds[0, 2:8], embeds[0, 8:14], embeds[1, :6] = features[0], features[1], features[2]
    glm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)  # drops every vision tensor
    with torch.no_grad():
        expected = glm(inputs_embeds=embeds).logits
        made = model(input_ids=torch.tensor([one, two]), pixel_values=pixels).logits
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def test_old_six_dimensional_pixels(model, boi):
    ids, pixels = torch.tensor([[5, *[boi] * 6, 7]]), noise(1)
    with torch.no_grad():
        assert torch.equal(
            model(input_ids=ids, pixel_values=pixels).logits,
            model(input_ids=ids, pixel_values=pixels[None, None]).logits,
        )


def test_text_alone_never_runs_the_tower(model, folder, monkeypatch):
    monkeypatch.setattr(model.model.vision, "forward", None)
    monkeypatch.setattr(model.model.vision.vit, "forward", None)
    ids = torch.tensor([[5, 6, 7, 8]])
    glm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=ids).logits, glm(input_ids=ids).logits)


def test_the_picture_matters_and_its_place_too(model, boi):
    before, after = (torch.tensor([ids]) for ids in ([5, *[boi] * 6, 6], [*[boi] * 6, 5, 6]))
    with torch.no_grad():
        seen = model(input_ids=before, pixel_values=noise(1)).logits[0, -1]
        other = model(input_ids=before, pixel_values=noise(1, seed=1)).logits[0, -1]
        moved = model(input_ids=after, pixel_values=noise(1)).logits[0, -1]
    assert (seen - other).abs().max() > 0.1
    assert (seen - moved).abs().max() > 0.1


@pytest.mark.parametrize(("placeholders", "pictures"), [(6, 2), (5, 1), (0, 1), (6, None)])
def test_a_number_of_placeholders_that_does_not_fit(model, boi, placeholders, pictures):
    ids = torch.tensor([[5, *[boi] * placeholders, 7]])
    with pytest.raises(UsageError, match="placeholders"):
        model(input_ids=ids, pixel_values=None if pictures is None else noise(pictures))


def test_pictures_need_ids(model):
    with pytest.raises(UsageError, match="input_ids"):
        model(inputs_embeds=torch.zeros(1, 6, 64), pixel_values=noise(1))


@pytest.mark.parametrize("beams", [1, 2])
def test_generation_with_a_cache_says_what_it_says_without(model, boi, beams):
    """Two prompts at once, the shorter one padded on the left; the second has two pictures."""
    pad = model.config.pad_token_id
    rows = [[pad] * 6 + [5, *[boi] * 6, 9], [6, *[boi] * 6, *[boi] * 6, 9]]
    ids = torch.tensor(rows)
    options = {"attention_mask": (ids != pad).long(), "max_new_tokens": 6, "do_sample": False, "num_beams": beams}
    pixels = noise(3)
    cached = model.generate(input_ids=ids, pixel_values=pixels, **options)
    assert torch.equal(cached, model.generate(input_ids=ids, pixel_values=pixels, use_cache=False, **options))
    alone = model.generate(input_ids=torch.tensor([rows[1]]), pixel_values=pixels[1:], max_new_tokens=6, do_sample=False,
                           num_beams=beams)  # fmt: skip
    assert torch.equal(cached[1, 14 : 14 + alone.shape[1] - 14], alone[0, 14:])


def test_the_tower_runs_once_a_generation(model, boi, monkeypatch):
    calls = []
    vision = model.model.vision.vit.forward
    monkeypatch.setattr(model.model.vision.vit, "forward", lambda pixels: calls.append(1) or vision(pixels))
    model.generate(input_ids=torch.tensor([[5, *[boi] * 6]]), pixel_values=noise(1), max_new_tokens=4, do_sample=False)
    assert len(calls) == 1


def test_eager_and_fused_attention_agree(folder, model, boi):
    eager = load(folder, attn_implementation="eager")
    assert eager.model.vision.vit.model.config._attn_implementation == "eager"
    ids, pixels = torch.tensor([[5, *[boi] * 6, 7]]), noise(1)
    with torch.no_grad():
        one, other = (m(input_ids=ids, pixel_values=pixels).logits for m in (eager, model))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_load_types_and_ties(folder, tmp_path):
    assert {p.dtype for p in load(folder, "bfloat16").parameters()} == {torch.bfloat16}
    tied = load(make_glm_edge_v(tmp_path, tie_word_embeddings=True))
    assert tied.lm_head.weight is tied.model.embed_tokens.weight
    assert not tied.training


@pytest.mark.parametrize("name", [ADAPTER + "eoi", TOWER + "vision_model.post_layernorm.bias", "model.norm.weight"])
def test_a_missing_tensor_is_an_error(tmp_path, name):
    path = make_glm_edge_v(tmp_path) / "model.safetensors"
    tensors = load_file(path)
    tensors.pop(name)
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=f"1 missing, e.g. {re.escape(name)}"):
        load(tmp_path)


def test_tensors_left_over_or_of_another_shape_are_an_error(tmp_path):
    path = make_glm_edge_v(tmp_path) / "model.safetensors"
    extra = ADAPTER + "linear_proj.linear_proj.bias"
    tensors = load_file(path) | {extra: torch.zeros(64), ADAPTER + "boi": torch.zeros(1, 1, 32)}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 unexpected, e\.g\. .*bias; 1 mismatched, e\.g\. .*boi"):
        load(tmp_path)


def test_a_text_model_with_the_config_of_a_vision_model(tmp_path):
    path = make_glm_edge_v(tmp_path) / "model.safetensors"
    text = {name: t for name, t in load_file(path).items() if not name.startswith("model.vision.")}
    save_file(text, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"\d+ missing"):
        load(tmp_path)


def test_saved_and_found_by_the_auto_class(model, tmp_path):
    register()
    model.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert type(again) is GlmEdgeVForConditionalGeneration
    assert type(again.model) is GlmEdgeVModel
    state = model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.state_dict().items())


def test_gradients_reach_every_parameter(folder, boi):
    model = load(folder).train()
    ids = torch.tensor([[5, *[boi] * 6, 7, 8, 9]])
    model(input_ids=ids, pixel_values=noise(1), labels=ids).loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []
