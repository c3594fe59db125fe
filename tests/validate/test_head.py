"""Logits that are computed ahead are those of each position by itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconv.validate import head as heads
from edgeconv.validate.head import Ahead, Head

VOCABULARY, HIDDEN = 40, 8


@pytest.fixture(scope="module")
def head() -> Head:
    return Head(torch.randn(VOCABULARY, HIDDEN, generator=torch.Generator().manual_seed(0)).bfloat16(), None, "float32")


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(0, 9), max_size=6), st.integers(1, 12), st.integers(1, 7))
def test_every_position_once_in_order(head, lengths, rows, step):
    states = [np.random.default_rng(i).normal(size=(n, HIDDEN)).astype(np.float32) for i, n in enumerate(lengths)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "AHEAD", rows * 4 * VOCABULARY)
        ahead = Ahead(head, states)
        for document in states:
            start = 0
            while start < len(document):
                made = ahead.take(min(step, len(document) - start))
                assert 0 < len(made) <= step
                np.testing.assert_allclose(made, head.logits(document[start : start + len(made)]), atol=1e-5)
                start += len(made)
        assert len(ahead.take(1)) == 0
