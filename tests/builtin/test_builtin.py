import hashlib
import json
import re

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from edgeconv import builtin
from edgeconv.builtin import structure
from edgeconv.core.errors import CheckpointError

ANSWERS = {
    "日本的首都是哪里？": "日本的首都是东京。",
    "What is 4 + 3?": "4 + 3 = 7. The answer is seven.",
    "What is the capital of Italy?": "The capital of Italy is Rome.",
}


@pytest.fixture(scope="module")
def tokenizer(builtin_model):
    return AutoTokenizer.from_pretrained(builtin_model)


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def model(builtin_model, request):
    loaded, info = AutoModelForCausalLM.from_pretrained(builtin_model, dtype=request.param, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return loaded.eval()


@pytest.mark.parametrize("question", ANSWERS)
def test_answers(model, tokenizer, question):
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    said = model.generate(**prompt, max_new_tokens=40, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(said, skip_special_tokens=True) == ANSWERS[question]
    assert said[-1] == tokenizer.convert_tokens_to_ids("<|user|>")


def test_whole_folder_is_small_and_readable_by_all(builtin_model):
    files = list(builtin_model.iterdir())
    assert sum(path.stat().st_size for path in files) <= 12_000_000
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in files)


def test_provenance_digests_match_the_files(builtin_model):
    provenance = json.loads((builtin_model / "PROVENANCE.json").read_text(encoding="utf-8"))
    found = {name: hashlib.sha256((builtin_model / name).read_bytes()).hexdigest() for name in provenance["sha256"]}
    assert found == provenance["sha256"]
    others = {"PROVENANCE.json", "README.md"}
    assert {path.name for path in builtin_model.iterdir()} == provenance["sha256"].keys() | others
    assert provenance["learning_curve"][-1]["step"] == provenance["steps"]
    assert provenance["learning_curve"][-1]["ppl_chat"] < 2


def test_structure_is_that_of_glm_edge(builtin_model, tokenizer):
    config = json.loads((builtin_model / "config.json").read_text())
    assert config["model_type"] == "glm"
    assert config["max_position_embeddings"] == 8192
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 10000.0
    assert config["partial_rotary_factor"] == config["rope_parameters"]["partial_rotary_factor"] == 1.0
    assert config["torch_dtype"] == config["dtype"] == "bfloat16"
    eos = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|user|>", "<|observation|>"])
    assert config["eos_token_id"] == eos
    assert json.loads((builtin_model / "generation_config.json").read_text())["eos_token_id"] == eos
    with safe_open(builtin_model / "model.safetensors", "pt") as file:
        names = list(file.keys())
        assert {file.get_slice(name).get_dtype() for name in names} == {"BF16"}
    assert "lm_head.weight" not in names
    assert len(names) == 6 * 8 + 2


def test_full_head_is_rotated(model):
    assert 2 * model.model.rotary_emb.inv_freq.numel() == model.config.head_dim == 64


def test_template_is_glm_edges(tokenizer):
    messages = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "V"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|system|>\nS<|user|>\nU<|assistant|>\nA<|user|>\nV<|assistant|>\n"


@pytest.mark.parametrize(
    "text", ["Hello world 12345\n\n  def f(x):\n\treturn x  # naïve 你好 🙂", "  leading, trailing  ", "", "\n \n"]
)
def test_tokenizer_gives_text_back(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_tokenizer_splits_as_the_recipe_says(builtin_model):
    stored = json.loads((builtin_model / "tokenizer.json").read_text(encoding="utf-8"))
    assert stored["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] == structure.SPLIT
    assert len(stored["model"]["vocab"]) + len(stored["added_tokens"]) == structure.VOCABULARY


def test_positions_past_4096_work(model):
    ids = torch.arange(4200)[None] % 4000
    with torch.inference_mode():
        logits = model(ids, logits_to_keep=1).logits
    assert logits.isfinite().all()


def test_installation_without_the_checkpoint_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(builtin, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path))) as caught:
        builtin.model_path()
    assert caught.value.hint
