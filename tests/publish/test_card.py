"""The model card: what stands on it. Its snippets are run on real weights by tests/recipes/test_end_to_end.py."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from edgeconv.core.manifest import FileDigest, Manifest, VisionFacts
from edgeconv.publish import card, gate
from edgeconv.quantize.scheme import Request, resolve

from ..hub.conftest import Recorder
from ..validate import report_samples
from .conftest import REPO, Make

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GLM_EDGE = {
    "license": "other",
    "license_name": "glm-4",
    "license_link": "LICENSE",
    "language": ["zh"],
    "tags": ["chat"],
}


@pytest.fixture
def cleared(artifact: Make, progress: Recorder) -> gate.Cleared:
    return gate.clear(artifact(), progress)


def of(cleared: gate.Cleared, manifest: Manifest) -> gate.Cleared:
    """The same artifact by another manifest."""
    return replace(cleared, place=replace(cleared.place, manifest=manifest))


def with_source(cleared: gate.Cleared, update: dict[str, Any], **rest: Any) -> gate.Cleared:
    source = cleared.manifest.source.model_copy(update=update)
    manifest = cleared.manifest.model_copy(update={"source": source, **rest})
    return of(cleared, manifest)


def front_of(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text.split("---\n")[1]))


def test_license_source_parity_and_use(cleared: gate.Cleared) -> None:
    text = card.render(with_source(cleared, {"card": GLM_EDGE}), REPO)
    link = f"https://huggingface.co/org/name/blob/{COMMIT}/LICENSE"
    assert front_of(text) == {
        "license": "other",
        "license_name": "glm-4",
        "license_link": link,
        "base_model": "org/name",
        "base_model_relation": "quantized",
        "language": ["zh"],
        "pipeline_tag": "text-generation",
        "library_name": "openvino",
        "tags": ["chat", "openvino", "edgeconv", "int4"],
    }
    assert f"The source's: [glm-4]({link})." in text
    assert f"[org/name at 0123456789ab](https://huggingface.co/org/name/tree/{COMMIT})" in text
    for part in ("| mean KL |", "| top-1 agreement |", "| noise floor |", "(parity/parity.md)", "(parity/parity.html)"):
        assert part in text
    for part in (
        "openvino_genai.LLMPipeline",
        "OVModelForCausalLM",
        r"int4\_asym, group 32, ratio 1",
        "openvino 2026.4.1",
    ):
        assert part in text


def test_a_license_that_the_artifact_took_over_is_linked_there(cleared: gate.Cleared) -> None:
    outputs = cleared.manifest.outputs | {"LICENSE": FileDigest(size=1, sha256="0" * 64)}
    assert "[glm-4](LICENSE)" in card.render(with_source(cleared, {"card": GLM_EDGE}, outputs=outputs), REPO)
    assert "states none" in card.render(with_source(cleared, {"card": {}}), REPO)


def test_a_local_checkpoint_is_nobodys_base_model(cleared: gate.Cleared) -> None:
    text = card.render(with_source(cleared, {"repo_id": None, "commit": None, "card": GLM_EDGE}), REPO)
    assert "base_model" not in front_of(text)
    assert "huggingface.co" not in text.replace("huggingface_hub", "")
    assert "A glm checkpoint" in text


def test_a_quick_report_has_no_noise_floor_to_show(cleared: gate.Cleared) -> None:
    assert cleared.report
    comparisons = [c for c in cleared.report.comparisons if c.name != "noise_floor"]
    report = cleared.report.model_copy(update={"comparisons": comparisons})
    text = card.render(replace(cleared, report=report), REPO)
    assert "noise floor" not in text
    assert "| mean KL |" in text


def test_what_is_not_shown_is_said_first(cleared: gate.Cleared) -> None:
    text = card.render(replace(cleared, report=None, objection="there is no parity report"), REPO)
    assert text.index("Nobody has shown that this is still the same model") < text.index("## Use")


def gguf(cleared: gate.Cleared, *names: str) -> gate.Cleared:
    from edgeconv.convert.gguf.recipe import recipe

    scheme = {**recipe("q4_k_m", tensor_types=(("ffn_down", "q6_k"),)).as_dict(), "imatrix": {"file": "words.txt"}}
    outputs = {name: FileDigest(size=3_000_000, sha256="0" * 64) for name in names}
    update = {"target": "gguf", "scheme": scheme, "outputs": outputs, "vision": None}
    return of(cleared, Manifest.model_validate(cleared.manifest.model_dump() | update))


def test_an_onnx_model(cleared: gate.Cleared) -> None:
    manifest = cleared.manifest.model_copy(update={"target": "onnx", "vision": None})
    text = card.render(of(cleared, manifest), REPO, "onnx")
    assert front_of(text)["library_name"] == "onnx"
    for words in ("onnxruntime_genai.Model(folder)", 'ORTModelForCausalLM.from_pretrained(name, revision="onnx")'):
        assert words in text
    facts = VisionFacts(scheme=resolve(Request("fp16")).as_dict(), image_size=672, image_tokens=578, placeholder_id=1)
    seeing = manifest.model_copy(update={"vision": facts})
    text = card.render(of(cleared, seeing), REPO, "onnx")
    assert "edgeconv chat converted --image photo.jpg" in text
    assert "onnxruntime_genai" not in text
    adapter = manifest.tensors[0].model_copy(update={"name": "model.vision.adapter.conv.weight"})
    squares = seeing.model_copy(update={"tensors": [adapter]})
    text = card.render(of(cleared, squares), REPO, "onnx")
    assert "decoder_model_merged" in text
    assert "onnxruntime_genai" not in text


def test_a_gguf(cleared: gate.Cleared) -> None:
    text = card.render(gguf(cleared, "name-Q4_K_M.gguf"), REPO)
    assert front_of(text)["library_name"] == "gguf"
    assert front_of(text)["tags"] == ["gguf", "edgeconv", "q4_k_m"]
    assert f"llama-cli -hf {REPO}:Q4_K_M" in text
    assert 'LLM(folder + "/name-Q4_K_M.gguf"' in text
    assert "weighed by the importance matrix words.txt" in text
    assert "| `name-Q4_K_M.gguf` | 3.0 MB |" in text


def test_a_branch_is_in_every_snippet(cleared: gate.Cleared) -> None:
    text = card.render(gguf(cleared, "mmproj-name-F16.gguf", "name-Q4_K_M.gguf"), REPO, "q4")
    assert "llama-cli -hf" not in text  # it knows no branches
    assert text.count("--revision q4") == 2
    assert "--mmproj converted/mmproj-name-F16.gguf \\\n" in text
    assert 'snapshot_download("org/converted", revision="q4")' in text
    assert card.render(cleared, REPO, "b").count('revision="b"') == 3


def test_a_model_that_sees(cleared: gate.Cleared) -> None:
    facts = VisionFacts(scheme=resolve(Request("fp16")).as_dict(), image_size=672, image_tokens=578, placeholder_id=1)
    manifest = cleared.manifest.model_copy(update={"vision": facts})
    text = card.render(of(cleared, manifest), REPO)
    assert front_of(text)["pipeline_tag"] == "image-text-to-text"
    assert "edgeconv chat converted --image photo.jpg" in text
    assert "- **vision**: fp16" in text


@pytest.mark.parametrize("hostile", ["a | b", "x](http://evil", "# head", "`code`"])
def test_texts_of_others_stay_in_their_place(hostile: str, cleared: gate.Cleared) -> None:
    text = card.render(with_source(cleared, {"card": {"license": "other", "license_name": hostile}}), REPO)
    assert front_of(text)["license_name"] == hostile
    assert text.count("\n## ") == 5


def test_a_scheme_of_another_version_is_listed(cleared: gate.Cleared) -> None:
    manifest = cleared.manifest.model_copy(update={"scheme": {"precision": "int4", "new_field": 7}})
    assert r"new\_field 7, precision int4" in card.render(
        replace(of(cleared, manifest), report=report_samples.report("passed")), REPO
    )


def test_where_the_source_says_it_comes_from_is_not_carried_over(cleared: gate.Cleared) -> None:
    tags = ["chat", "base_model:meta-llama/Llama-3", "base_model:finetune:org/other", "arxiv:2406.12793", "dataset:x"]
    found = front_of(card.render(with_source(cleared, {"card": {**GLM_EDGE, "tags": tags}}), REPO))
    assert found["tags"] == ["chat", "openvino", "edgeconv", "int4"]
    assert found["base_model"] == "org/name"


def test_a_budget_looser_than_our_own_is_called_so(cleared: gate.Cleared) -> None:
    assert cleared.report
    assert "Yes, within its budget" in card.render(cleared, REPO)
    lines = [line.model_copy(update={"looser": "mean_kl" in line.metric}) for line in cleared.report.budgets]
    assert any(line.looser for line in lines)
    text = card.render(replace(cleared, report=cleared.report.model_copy(update={"budgets": lines})), REPO)
    assert "Yes, **within a budget that is looser than edgeconv's own limits** (mean KL)" in text
    assert "Yes, within its budget" not in text
