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
