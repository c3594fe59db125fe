import pytest

from edgeconv.convert.gguf.metadata import Origin, general, read_card

from ...cards import CARD

HUB = Origin("glm-edge-1.5b-chat", "THUDM/glm-edge-1.5b-chat", "7b201d3c160c25beda4cf0d107617ad975cd1ca8")


def made(folder, origin=HUB, generation=None):
    keys = general(origin, folder, generation or {}, file_type=15, parameters=1_593_427_968, version="1.2.3")
    return {name: value.content for name, value in keys.items()}


def test_from_the_hub_with_a_card(tmp_path):
    (tmp_path / "README.md").write_text(CARD)
    assert made(tmp_path) == {
        "general.type": "model",
        "general.name": "Glm Edge 1.5b Chat",
        "general.organization": "THUDM",
        "general.finetune": "chat",
        "general.basename": "glm-edge",
        "general.size_label": "1.5B",
        "general.quantized_by": "edgeconv 1.2.3",
        "general.license": "other",
        "general.license.name": "glm-4",
        "general.license.link": "LICENSE",
        "general.source.repo_url": "https://huggingface.co/THUDM/glm-edge-1.5b-chat",
        "general.source.url": "https://huggingface.co/THUDM/glm-edge-1.5b-chat/tree/7b201d3c160c25beda4cf0d107617ad975cd1ca8",
        "general.base_model.count": 1,
        "general.base_model.0.name": "Glm Edge Base",
        "general.base_model.0.organization": "THUDM",
        "general.base_model.0.repo_url": "https://huggingface.co/THUDM/glm-edge-base",
        "general.tags": ["glm", "edge", "text-generation"],
        "general.languages": ["zh", "no"],
        "general.file_type": 15,
        "general.quantization_version": 2,
    }


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("model_name: GLM-Edge of ours", "GLM-Edge of ours"),
        ("name: first\nmodel_name: second", "first"),
        ("model_name: [a list]", "Glm Edge 1.5b Chat"),
        ("model_name: ''", "Glm Edge 1.5b Chat"),
        (f"model_name: {'x' * 201}", "Glm Edge 1.5b Chat"),
        ("model_name: phi3 of ours", "Phi 3 of ours"),
    ],
)
def test_the_card_may_state_the_name_as_for_llama_cpp(line, name, tmp_path):
    (tmp_path / "README.md").write_text(CARD.replace("pipeline_tag", f"{line}\npipeline_tag"))
    assert made(tmp_path)["general.name"] == name


def test_without_a_card_the_checkpoint_is_the_base(tmp_path):
    keys = made(tmp_path)
    assert keys["general.base_model.0.repo_url"] == "https://huggingface.co/THUDM/glm-edge-1.5b-chat"
    assert "general.license" not in keys


def test_a_local_folder_names_no_source(tmp_path):
    keys = made(tmp_path, Origin("my model"))
    assert keys["general.name"] == "My Model"
    assert keys["general.size_label"] == "1.6B"
    assert not [name for name in keys if "source" in name or "base_model" in name or "url" in name]


def test_a_phi_3_keeps_the_name_by_which_llama_cpp_knows_its_tokenizer(tmp_path):
    """Any other vocabulary under such a name does not load."""

    def name(folder, **options):
        keys = general(Origin(folder), tmp_path, {}, file_type=0, parameters=1, version="1", **options)
        return keys["general.name"].content

    assert name("Phi-3-mini-4k-instruct", strips=True) == "Phi-3-mini-4k-instruct"
    assert name("my-model", strips=True) == "my-model (phi-3 tokenizer)"
    assert name("phi3-tuned") == "Phi 3 Tuned"
    assert name("Phi-3-mini") == "Phi 3 Mini"


def test_sampling_defaults(tmp_path):
    generation = {
        "do_sample": True,
        "temperature": 0.6,
        "top_p": 0.8,
        "top_k": 50,
        "repetition_penalty": 1.2,
        "min_p": None,
    }
    keys = made(tmp_path, generation=generation)
    assert {k.removeprefix("general.sampling."): v for k, v in keys.items() if "sampling" in k} == {
        "top_k": 50, "top_p": 0.8, "temp": 0.6, "penalty_repeat": 1.2,
    }  # fmt: skip
    assert not [k for k in made(tmp_path, generation=generation | {"do_sample": False}) if "sampling" in k]
    odd = {"temperature": "hot", "top_k": True, "top_p": 1e300, "min_p": float("nan")}
    assert not [k for k in made(tmp_path, generation=odd) if "sampling" in k]


@pytest.mark.parametrize(
    "text", ["", "# only text", "---\nlicense: [\n---\n", "---\n- list\n---\n", "---\nno end: here"]
)
def test_a_card_that_cannot_be_read_is_no_card(text, tmp_path):
    (tmp_path / "README.md").write_text(text)
    assert read_card(tmp_path) == {}
