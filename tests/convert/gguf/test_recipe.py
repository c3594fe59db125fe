import gguf
import pytest

from edgeconv.convert.gguf.recipe import ALIASES, FILE_TYPES, recipe
from edgeconv.core.errors import UsageError
from edgeconv.quantize.ggml.types import TYPES


def test_file_types_have_llama_cpps_numbers():
    for name, kind in FILE_TYPES.items():
        upstream = "ALL_F32" if name == "f32" else f"MOSTLY_{name.upper()}"
        assert kind.number == gguf.LlamaFileType[upstream]
        assert kind.base in TYPES


def test_names_and_aliases_in_any_case():
    assert recipe("INT4").file_type == "q4_k_m"
    assert recipe("int8").file_type == recipe("Q8_0").file_type == "q8_0"
    assert set(ALIASES.values()) <= set(FILE_TYPES)
    made = recipe("q4_k_m", output_type="Q8_0", tensor_types=(("attn_v", "Q6_K"),))
    assert (made.output_type, made.tensor_types) == ("q8_0", (("attn_v", "q6_k"),))
    assert made.describe() == "Q4_K_M, output q8_0, attn_v q6_k"
    assert made.as_dict()["tensor_types"] == [["attn_v", "q6_k"]]


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("q4", {}, "Unknown GGUF type"),
        ("q4_k_m", {"output_type": "q4_k_m"}, "not a ggml type"),
        ("q4_k_m", {"tensor_types": (("ffn_(", "q8_0"),)}, "not a regular expression"),
        ("q4_k_m", {"leave_output": True, "output_type": "q8_0"}, "contradicts"),
        ("bf16", {"tensor_types": (("ffn", "q8_0"),)}, "no effect"),
    ],
)
def test_refused(kind, options, said):
    with pytest.raises(UsageError, match=said):
        recipe(kind, **options)
