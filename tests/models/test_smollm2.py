import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

pytestmark = pytest.mark.slow

PARAGRAPH = (
    "Everyone has the right to freedom of thought, conscience and religion; this right includes freedom to change "
    "his religion or belief, and freedom, either alone or in community with others and in public or private, to "
    "manifest his religion or belief in teaching, practice, worship and observance. 人人生而自由 12345 naïve\n\n\tx = 1"
)


@pytest.fixture(scope="module")
def models(smollm2_llama, smollm2_glm):
    loaded = []
    for folder in (smollm2_llama, smollm2_glm):
        model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        loaded.append(model.eval())
    return loaded


@pytest.fixture(scope="module")
def tokenizer(smollm2_glm):
    return AutoTokenizer.from_pretrained(smollm2_glm)


def test_glm_form_is_the_same_model(models, tokenizer):
    llama, glm = models
    assert [type(model).__name__ for model in models] == ["LlamaForCausalLM", "GlmForCausalLM"]
    ids = tokenizer(PARAGRAPH, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        left, right = llama(ids).logits, glm(ids).logits
    assert (left - right).abs().max() < 1e-3
    assert left.std() > 1


def test_it_speaks(models, tokenizer):
    """A weight in the wrong place costs nats at once; texts are not compared, for first tokens nearly tie."""
    ids = tokenizer(PARAGRAPH[: PARAGRAPH.index("人")], return_tensors="pt")["input_ids"]
    fact = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        assert models[1](ids, labels=ids).loss < 3
        assert tokenizer.decode(models[1](fact).logits[0, -1].argmax()) == " Paris"


def test_tokenizer_is_that_of_the_gguf(tokenizer):
    assert len(tokenizer) == 49152
    assert tokenizer("Hello")["input_ids"] == tokenizer("Hello", add_special_tokens=False)["input_ids"]  # no BOS
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)
    assert tokenizer.decode(tokenizer(PARAGRAPH)["input_ids"]) == PARAGRAPH


def test_folders_say_where_they_come_from(smollm2_llama, smollm2_glm):
    for folder in (smollm2_llama, smollm2_glm):
        assert json.loads((folder / "PROVENANCE.json").read_text())["licence"] == "Apache-2.0"
        assert json.loads((folder / "config.json").read_text())["rope_theta"] == 100000.0
