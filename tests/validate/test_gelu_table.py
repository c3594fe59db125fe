"""GELU as llama.cpp looks it up."""

import numpy as np
import torch

from edgeconv.validate.gelu_table import looked_up, looking_up


def test_the_table_is_ggmls() -> None:
    """ggml fills it with `ggml_gelu_f32` of each float16, rounded to float16, and takes the limits beyond 10."""
    x = np.array([-11.0, -10.0, -3.00005, -0.1, 0.0, 0.30003, 1.7, 9.999, 10.0, 12.5], np.float32)
    half = x.astype(np.float16).astype(np.float32)
    tanh = np.tanh(np.float32(0.79788456080286535587989211986876) * half * (1 + np.float32(0.044715) * half * half))
    table = (np.float32(0.5) * half * (1 + tanh)).astype(np.float16).astype(np.float32)
    wanted = np.where(x <= -10, 0, np.where(x >= 10, x, table))
    np.testing.assert_array_equal(looked_up(torch.from_numpy(x)).numpy(), wanted)


def test_only_the_tanh_form_is_looked_up_and_only_for_a_while() -> None:
    from transformers.activations import ACT2FN

    module = torch.nn.ModuleDict({name: ACT2FN[name] for name in ("gelu_pytorch_tanh", "gelu_new", "gelu", "silu")})
    x = torch.linspace(-4, 4, 101)
    before = {name: part(x) for name, part in module.items()}
    with looking_up(module):
        within = {name: part(x) for name, part in module.items()}
    assert {name for name in module if not torch.equal(before[name], within[name])} == {"gelu_pytorch_tanh", "gelu_new"}
    assert all(torch.equal(part(x), before[name]) for name, part in module.items())
