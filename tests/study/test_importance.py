import json
from pathlib import Path

import numpy as np
import pytest

from edgeconv.builtin import corpus
from edgeconv.convert.conversion import GgufJob, plan, run
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import UsageError
from edgeconv.core.progress import Silent
from edgeconv.study.calibration import OWN
from edgeconv.study.calibration.importance import CHUNK, documents_of, importance
from edgeconv.validate.suite import Document, Suite, load, require_apart


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "calibration.txt"
    path.write_text("\n\n".join(corpus.running_text()[0])[:12_000], "utf-8")
    return path


def test_mean_squares_are_those_of_the_whole_model(builtin_model: Path, text: Path) -> None:
    """Against hooks on transformers' own model, run as one."""
    import torch
    from transformers import AutoModelForCausalLM

    checkpoint = open_checkpoint(builtin_model)
    documents = documents_of(checkpoint, text)
    assert max(map(len, documents)) <= CHUNK
    found = importance(checkpoint, documents, Silent())
    model = AutoModelForCausalLM.from_pretrained(builtin_model, dtype=torch.float32).eval()
    sums: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):

            def add(_: object, arguments: tuple[torch.Tensor, ...], name: str = f"{name}.weight") -> None:
                sums[name] = sums.get(name, torch.zeros(())) + arguments[0].double().square().sum((0, 1))

            module.register_forward_pre_hook(add)
    with torch.no_grad():
        for ids in documents:
            model(input_ids=torch.tensor([ids]), use_cache=False)
    tokens = sum(map(len, documents))
    assert set(found) == set(sums)
    for name, total in sums.items():
        np.testing.assert_allclose(found[name], (total / tokens).numpy(), rtol=1e-4, err_msg=name)


def test_a_text_in_the_place_of_a_matrix(builtin_model: Path, text: Path, tmp_path: Path) -> None:
    job = GgufJob(str(builtin_model), recipe("q4_k_m"), calibrator=OWN, output=tmp_path / "out", imatrix=text)
    planned, made = plan(job), run(job)
    assert planned.output_bytes == sum(file.size for file in made.manifest.outputs.values())
    assert made.manifest.scheme["imatrix"]["dataset"] == text.name
    plain = run(GgufJob(str(builtin_model), recipe("q4_k_m"), calibrator=OWN, output=tmp_path / "plain"))
    assert made.manifest.outputs != plain.manifest.outputs


def test_a_text_that_is_too_short(builtin_model: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("A few words.")
    with pytest.raises(UsageError, match="needs 1024"):
        plan(GgufJob(str(builtin_model), recipe("q4_k_m"), calibrator=OWN, imatrix=short))


def test_a_text_that_the_suite_measures_on(builtin_model: Path, tmp_path: Path) -> None:
    """Found whatever its line breaks and case, in a text or in a conversation; a few words in common are no matter."""
    suite = next(document for document in load().documents if document.name.startswith("udhr-en"))
    passage = str(suite.text).replace(" ", "\n").upper()[300:420]
    for name, content in (
        ("a.txt", "Something of our own. " * 100 + passage),
        ("b.jsonl", json.dumps({"messages": [{"role": "user", "content": f"Go on: {passage}"}]})),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(UsageError, match=r"the suite.s udhr-en.* share a passage"):
            plan(GgufJob(str(builtin_model), recipe("q4_k_m"), calibrator=OWN, imatrix=tmp_path / name))
    ours = Suite(name="ours", documents=(Document(name="a", kind="text", text=passage[:48]),), prompts=())
    require_apart(ours, load())
