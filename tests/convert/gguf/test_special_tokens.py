import pytest

from edgeconv.convert.gguf.special_tokens import ends, special_ids
from edgeconv.core.tokenizer_files import Files

TOKENS = ["a", "<|endoftext|>", "<|user|>", "<|observation|>", "<|im_end|>", "<x>", "<y>"]


def found(eos, folder, generation=None, **config):
    files = Files(folder, config=config)
    return special_ids(files, {"eos_token_id": eos}, generation or {}, TOKENS)


def test_where_ends_stand():
    assert ends({"eos_token_id": 2}, {}) == [2]
    assert ends({"eos_token_id": 2}, {"eos_token_id": [3, 4, 3]}) == [3, 4]
    assert ends({"eos_token_id": [1, None, -1, True]}, {"eos_token_id": None}) == [1]
    assert ends({}, {}) == []


def test_three_ends_fill_three_keys(tmp_path):
    """GLM-Edge: end of text, user, observation."""
    ids, notes = found([1, 2, 3], tmp_path, eos_token="<|endoftext|>")
    assert (ids["eos"], ids["eot"], ids["eom"]) == (1, 2, 3)
    assert notes == []


def test_ends_that_llama_cpp_knows_by_text_come_last(tmp_path):
    ids, notes = found([1, 4, 5, 6], tmp_path, eos_token="<|endoftext|>")
    assert (ids["eos"], ids["eot"], ids["eom"]) == (1, 5, 6)
    assert notes == []
    ids, notes = found([1, 2, 3, 5], tmp_path, eos_token="<|endoftext|>")
    assert "'<x>' will not stop llama.cpp" in notes[0]


LLAMA = ["<|end_of_text|>", "<|eom_id|>", "<|eot_id|>", "a"]


@pytest.mark.parametrize("eos", ["<|eot_id|>", "<|end_of_text|>"])
def test_ends_of_turn_and_message_have_the_keys_of_their_names(eos, tmp_path):
    """Llama 3.1."""
    files = Files(tmp_path, config={"eos_token": eos})
    ids, notes = special_ids(files, {"eos_token_id": [0, 1, 2]}, {}, LLAMA)
    assert ids == {"eos": LLAMA.index(eos), "eot": 2, "eom": 1}
    assert notes == []


def test_the_tokenizers_eos_is_taken_if_generation_ends_there(tmp_path):
    assert found([1, 4], tmp_path, eos_token="<|im_end|>")[0]["eos"] == 4
    assert found([2, 3], tmp_path, eos_token="<|im_end|>")[0]["eos"] == 2
    assert found(None, tmp_path, eos_token="<|im_end|>")[0]["eos"] == 4


@pytest.mark.parametrize("number", [99, "1", 1.5, None])
def test_ids_that_are_none_are_left_out(number, tmp_path):
    files = Files(tmp_path, config={"pad_token": None})
    ids, _ = special_ids(files, {"eos_token_id": 1, "pad_token_id": number, "bos_token_id": 0}, {}, TOKENS)
    assert ids == {"bos": 0, "eos": 1}


def test_texts_may_be_objects_and_stand_in_the_old_file(tmp_path):
    old = {"pad_token": {"content": "<y>"}, "bos_token": "a"}
    files = Files(tmp_path, config={"bos_token": {"content": "<x>"}}, special_map=old)
    ids, _ = special_ids(files, {}, {}, TOKENS)
    assert ids == {"bos": 5, "pad": 6}
