"""The model card of an encoder: its task as the Hub calls it, its figures, and a snippet of the pipeline for it."""

import pytest
from typer.testing import CliRunner

from edgeconv.cli.app import app
from edgeconv.core.manifest import read_manifest
from edgeconv.core.progress import Silent
from edgeconv.publish.card_usage import snippets
from edgeconv.publish.gate import clear

from ..models import tiny_encoder


@pytest.mark.parametrize(
    ("scores", "tag", "pipeline"),
    [(0, "sentence-similarity", "TextEmbeddingPipeline"), (1, "text-ranking", "TextRerankPipeline")],
)
def test_an_encoder_passes_the_gate_with_a_card_of_its_own(tmp_path, scores, tag, pipeline):
    from edgeconv.publish import card

    source = tiny_encoder.make("bert", tmp_path / "bert", scores=scores, pooling={"pooling_mode_cls_token": True})
    out = tmp_path / "out"
    for line in (["openvino", "--model", str(source), "-p", "fp32", "--output", str(out), "--no-smoke-test"],
                 ["validate", str(out), "--quick", "--max-tokens", "1000"]):  # fmt: skip
        done = CliRunner().invoke(app, line)
        assert done.exit_code == 0, done.output
    manifest = read_manifest(out)
    assert "1_Pooling/config.json" in manifest.outputs or scores
    cleared = clear(out, Silent())
    assert cleared.report is not None
    assert card._ENCODES[manifest.encoder.task] == tag
    assert pipeline in snippets(manifest, "someone/model", None)
    assert ("PoolingType.CLS" in snippets(manifest, "someone/model", None)) is (scores == 0)
    figures = card._figures(cleared.report)
    assert "rank correlation" in figures
    cleared.close()


def test_the_card_of_a_gguf_embeds(tmp_path):
    source = tiny_encoder.make("bert", tmp_path / "bert", pooling={"pooling_mode_cls_token": True})
    out = tmp_path / "out"
    done = CliRunner().invoke(
        app, ["gguf", "--model", str(source), "-t", "q8_0", "--output", str(out), "--no-smoke-test"]
    )
    assert done.exit_code == 0, done.output
    manifest = read_manifest(out)
    assert (manifest.encoder.task, manifest.encoder.pooling, manifest.encoder.normalize) == ("embed", "cls", True)
    assert {"modules.json", "1_Pooling/config.json"} <= set(manifest.source.files)
    said = snippets(manifest, "someone/model", None)
    assert "llama-embedding -hf someone/model:Q8_0 --pooling cls --embd-normalize 2" in said
    assert "llama-embedding -m " in snippets(manifest, "someone/model", "gguf")
    assert "llama-cli" not in said
