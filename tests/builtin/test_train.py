import json
from random import Random

import pytest
import torch

from edgeconv.builtin import corpus, model_path, train


def test_conversations_follow_the_seed_and_are_well_formed():
    first, again, other = ([corpus.conversation(r) for _ in range(300)] for r in (Random(1), Random(1), Random(2)))
    assert first == again != other
    for messages in first:
        roles = [message["role"] for message in messages]
        assert roles[roles[0] == "system" :] == ["user", "assistant"] * (len(roles) // 2)
        assert not any(token in message["content"] for message in messages for token in corpus.SPECIAL_TOKENS)


def test_held_out_documents_are_not_learned():
    learn, held_out = corpus.running_text()
    assert len(held_out) >= 3
    assert not set(learn) & set(held_out)
    assert sum(map(len, learn)) > 300_000


def test_rate_warms_up_and_falls():
    rates = [train.rate(step, 800) for step in range(800)]
    top = rates.index(max(rates))
    assert 50 <= top <= 70
    assert rates == [*sorted(rates[: top + 1]), *sorted(rates[top + 1 :], reverse=True)]
    assert rates[-1] < 0.04 * train.LEARNING_RATE


@pytest.fixture
def one_thread():
    """The recipe's own setting; two threads take several times as long at this size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_short_run_writes_a_checkpoint_and_learns(tmp_path):
    provenance = train.train(tmp_path, steps=6)
    start, end = provenance["learning_curve"]
    assert end["ppl_chat"] < 0.8 * start["ppl_chat"]
    written = json.loads((tmp_path / "PROVENANCE.json").read_text(encoding="utf-8"))
    assert written["sha256"].keys() >= {"model.safetensors", "tokenizer.json", "config.json"}
    shipped = json.loads((model_path() / "PROVENANCE.json").read_text(encoding="utf-8"))
    if written["corpus_sha256"] == shipped["corpus_sha256"]:  # another CPython brings another text
        assert written["sha256"]["tokenizer.json"] == shipped["sha256"]["tokenizer.json"]
