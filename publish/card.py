"""The model card: README.md of a published artefact, with the Hub's metadata in front.

Licence, languages and tags are the source's own (`source.card` of the manifest); nothing of the machine or its user is on it.
"""

from __future__ import annotations

from typing import Any

from ..core.manifest import Manifest
from ..validate.report.model import Report
from ..validate.report.words import comparison, interval, metric, quantity
from .gate import PARITY, Cleared

_SHOWN = ("mean_kl", "kl_99", "top1", "ln_ppl_ratio", "max_abs_logit")
_LIBRARIES = {"openvino": "openvino", "gguf": "gguf", "onnx": "onnx"}
_TITLES = {"openvino": "OpenVINO IR", "gguf": "GGUF", "onnx": "ONNX"}
_HUB = "https://huggingface.co"


def render(cleared: Cleared, repo_id: str) -> str:
    """Return the card's text."""
    manifest = cleared.manifest
    name = repo_id.rsplit("/", 1)[-1]
    parts = [
        f"# {name}",
        _introduction(manifest),
        _parity(cleared),
        "## Use\n\n" + "\n\n".join(_snippets(manifest, repo_id)),
        _made(manifest),
    ]
    return f"---\n{_front(manifest)}---\n\n" + "\n\n".join(parts) + "\n"


def _front(manifest: Manifest) -> str:
    import yaml

    card, source = manifest.source.card, manifest.source
    tags = [*_list(card.get("tags")), _LIBRARIES[manifest.target], "edgeconv"]
    quantised = str(manifest.scheme.get("precision") or manifest.scheme.get("file_type") or "")
    fields: dict[str, Any] = {key: card[key] for key in ("license", "license_name", "license_link") if card.get(key)}
    if source.repo_id:
        fields |= {"base_model": source.repo_id, "base_model_relation": "quantized"}
    fields |= {key: card[key] for key in ("language", "pipeline_tag") if card.get(key)}
    fields |= {"library_name": _LIBRARIES[manifest.target], "tags": list(dict.fromkeys([*tags, *_list(quantised)]))}
    return str(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True))


def _introduction(manifest: Manifest) -> str:
    source = manifest.source
    origin = f"[{source.repo_id}]({_HUB}/{source.repo_id})" if source.repo_id else "A checkpoint"
    commit = (
        f" at commit [`{source.commit[:12]}`]({_HUB}/{source.repo_id}/tree/{source.commit})" if source.commit else ""
    )
    size = sum(file.size for file in manifest.outputs.values()) / 1e9
    return (
        f"{origin}{commit} as {_TITLES[manifest.target]}: {source.parameters / 1e9:.2f} billion parameters in {size:.2f} GB, "
        f"{manifest.bits_per_weight:.2f} bits a weight."
    )


def _parity(cleared: Cleared) -> str:
    if cleared.report is None:
        return (
            "## Not validated\n\n> **Nobody has shown that this is still the same model**: "
            f"{cleared.objection}. It was published with `--allow-unvalidated`."
        )
    report = cleared.report
    rows = [f"| {title} | {measured} | {floor} |" for title, measured, floor in _figures(report)]
    table = "\n".join(["| | this model | bfloat16 alone |", "| --- | ---: | ---: |", *rows])
    return (
        "## Is it still the same model?\n\nYes, within its budget: measured token by token against "
        f"{report.reference.name} in float32 with `edgeconv validate`, over {_tokens(report):,} tokens "
        f"([the whole report]({PARITY}/parity.html)).\n\n{table}"
    )


def _figures(report: Report) -> list[tuple[str, str, str]]:
    found, floor = comparison(report, "quantisation"), comparison(report, "noise_floor")
    rows = []
    for key in _SHOWN if found else ():
        title, unit = metric(key)
        value = found.figures[key]  # type: ignore[union-attr]
        spread = interval(key, value)
        beside = quantity(floor.figures[key].value, unit) if floor else "–"
        rows.append((title, quantity(value.value, unit) + (f" ({spread})" if spread else ""), beside))
    return rows


def _tokens(report: Report) -> int:
    found = comparison(report, "quantisation")
    return found.tokens if found else 0


def _snippets(manifest: Manifest, repo_id: str) -> list[str]:
    fetch = f"```\nhf download {repo_id} --local-dir {repo_id.rsplit('/', 1)[-1]}\n```"
    folder = repo_id.rsplit("/", 1)[-1]
    if manifest.target == "gguf":
        first = sorted(name for name in manifest.outputs if name.endswith(".gguf") and not name.startswith("mmproj"))[0]
        return [fetch, f"With llama.cpp:\n\n```\nllama-cli -m {folder}/{first} -p 'Hello'\n```"]
    if manifest.vision:
        return [fetch, f"With edgeconv:\n\n```\nedgeconv chat {folder} --image photo.jpg\n```"]
    genai = (
        f'import openvino_genai\n\npipe = openvino_genai.LLMPipeline("{folder}", "CPU")\n'
        'print(pipe.generate("Hello", max_new_tokens=64))'
    )
    optimum = (
        "from optimum.intel import OVModelForCausalLM\nfrom transformers import AutoTokenizer\n\n"
        f'model = OVModelForCausalLM.from_pretrained("{repo_id}")\ntokenizer = AutoTokenizer.from_pretrained("{repo_id}")'
    )
    return [fetch, _python("With OpenVINO GenAI", genai), _python("With optimum-intel", optimum)]


def _python(title: str, code: str) -> str:
    return f"{title}:\n\n```python\n{code}\n```"


def _made(manifest: Manifest) -> str:
    scheme = ", ".join(
        f"{key} {value}" for key, value in sorted(manifest.scheme.items()) if value not in (None, [], False)
    )
    rows = [("scheme", scheme), ("engine", f"{manifest.engine}, compressor {manifest.compressor}")]
    if manifest.vision:
        rows.append(
            ("vision", ", ".join(f"{k} {v}" for k, v in sorted(manifest.vision.scheme.items()) if v is not None))
        )
    rows += [("assumed", text) for text in manifest.assumed] + [("note", text) for text in manifest.notes]
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in sorted(manifest.versions.items()))))
    lines = "\n".join(f"| {label} | {_cell(value)} |" for label, value in rows)
    return (
        f"## How it was made\n\n| | |\n| --- | --- |\n{lines}\n\n`edgeconv.json` has the SHA-256 of every file that went in and "
        "came out; `edgeconv verify` checks them."
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _list(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str) and item]
