"""docs/trained.md is what its figures say, and the models that they are of are models that transformers and edgeconv know."""

from __future__ import annotations

from edgeconv.benchmarks import trained
from edgeconv.convert import families


def test_the_page_is_that_of_the_results() -> None:
    assert trained.RESULTS.with_suffix(".md").read_text("utf-8") == trained.page(trained.RESULTS)


def test_every_model_is_streamed() -> None:
    class Tokenizer:
        def __len__(self) -> int:
            return 300

        def convert_tokens_to_ids(self, names: list[str]) -> list[int]:
            return list(range(len(names)))

    for kind in trained._models():
        config = trained._model(kind, Tokenizer()).config.to_dict()
        assert families.decoder(config).vocab_size == 300


def test_a_row_is_held_to_the_bad_ends_of_intervals() -> None:
    lines = [
        {"metric": "quantisation.mean_kl", "value": 0.01, "worst": 0.02},
        {"metric": "quantisation.top1", "value": 0.95, "worst": 0.9},
        {"metric": "runtime.mean_kl", "value": 0.003, "worst": None},
    ]
    facts = {"bits per weight": "4.50"}
    made = trained.row("lfm2", "onnx", "int4", {"budgets": lines, "verdict": "passed", "artefact": {"facts": facts}})
    assert (made.mean_kl, made.top1, made.runtime_kl, made.bits) == (0.02, 0.9, 0.003, 4.5)
