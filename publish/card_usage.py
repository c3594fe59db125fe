"""How a published artefact is run: the snippets of the model card, each of which runs as it stands.

tests/publish/test_card.py takes them off the card and runs them.
"""

from __future__ import annotations

from ..core.manifest import Manifest

_QUESTION = "What is the capital of France?"


def snippets(manifest: Manifest, repo_id: str, branch: str | None) -> str:
    """Return the section's text.

    Args:
        manifest: of the artefact.
        repo_id: where it is published.
        branch: that it is published on; None: the default one.
    """
    if manifest.target == "gguf":
        parts = _gguf(manifest, repo_id, branch)
    elif manifest.target == "onnx":
        parts = _onnx(repo_id, branch)
    elif manifest.vision:
        parts = _vision(repo_id, branch)
    else:
        parts = _openvino(repo_id, branch)
    return "\n\n".join(parts)


def _openvino(repo_id: str, branch: str | None) -> list[str]:
    at = f', revision="{branch}"' if branch else ""
    genai = f"""\
import openvino_genai
from huggingface_hub import snapshot_download

folder = snapshot_download("{repo_id}"{at})
pipe = openvino_genai.LLMPipeline(folder, "CPU")
print(pipe.generate("{_QUESTION}", max_new_tokens=64))"""
    optimum = f"""\
from optimum.intel import OVModelForCausalLM
from transformers import AutoTokenizer

name = "{repo_id}"
model = OVModelForCausalLM.from_pretrained(name{at})
tokenizer = AutoTokenizer.from_pretrained(name{at})
inputs = tokenizer.apply_chat_template(
    [{{"role": "user", "content": "{_QUESTION}"}}],
    add_generation_prompt=True, return_dict=True, return_tensors="pt",
)
answer = model.generate(**inputs, max_new_tokens=64)[0, inputs["input_ids"].shape[1]:]
print(tokenizer.decode(answer, skip_special_tokens=True))"""
    return [
        _titled("OpenVINO GenAI", "`pip install openvino-genai huggingface_hub`", "python", genai),
        _titled("optimum-intel", '`pip install "optimum-intel[openvino]"`', "python", optimum),
    ]


def _onnx(repo_id: str, branch: str | None) -> list[str]:
    at = f', revision="{branch}"' if branch else ""
    genai = f"""\
import json

import onnxruntime_genai
from huggingface_hub import snapshot_download

folder = snapshot_download("{repo_id}"{at})
model = onnxruntime_genai.Model(folder)
tokenizer = onnxruntime_genai.Tokenizer(model)
messages = json.dumps([{{"role": "user", "content": "{_QUESTION}"}}])
prompt = tokenizer.encode(tokenizer.apply_chat_template(messages, add_generation_prompt=True))
parameters = onnxruntime_genai.GeneratorParams(model)
parameters.set_search_options(max_length=len(prompt) + 64)
generator = onnxruntime_genai.Generator(model, parameters)
generator.append_tokens(prompt)
while not generator.is_done():
    generator.generate_next_token()
print(tokenizer.decode(generator.get_sequence(0)[len(prompt):]))"""
    optimum = f"""\
from optimum.onnxruntime import ORTModelForCausalLM
from transformers import AutoTokenizer

name = "{repo_id}"
model = ORTModelForCausalLM.from_pretrained(name{at})
tokenizer = AutoTokenizer.from_pretrained(name{at})
inputs = tokenizer.apply_chat_template(
    [{{"role": "user", "content": "{_QUESTION}"}}],
    add_generation_prompt=True, return_dict=True, return_tensors="pt",
)
names = ("input_ids", "attention_mask")
answer = model.generate(**{{n: inputs[n] for n in names}}, max_new_tokens=64)[0, inputs["input_ids"].shape[1]:]
print(tokenizer.decode(answer, skip_special_tokens=True))"""
    return [
        _titled("onnxruntime-genai", "`pip install onnxruntime-genai huggingface_hub`", "python", genai),
        _titled("optimum", '`pip install "optimum-onnx[onnxruntime]"`', "python", optimum),
    ]


def _vision(repo_id: str, branch: str | None) -> list[str]:
    return [
        _titled(
            "edgeconv", "`pip install edgeconv`", "sh", _fetch(repo_id, branch, "edgeconv chat {} --image photo.jpg")
        )
    ]


def _gguf(manifest: Manifest, repo_id: str, branch: str | None) -> list[str]:
    files = sorted(name for name in manifest.outputs if name.endswith(".gguf"))
    first = next(name for name in files if not name.startswith("mmproj"))
    towers = [name for name in files if name.startswith("mmproj")]
    kind = str(manifest.scheme.get("file_type", "")).upper()
    if branch:
        line = _fetch(repo_id, branch, f'llama-cli -m {{}}/{first} -p "{_QUESTION}"')
    else:
        line = f'llama-cli -hf {repo_id}:{kind} -p "{_QUESTION}"'
    parts = [_titled("llama.cpp", "", "sh", line)]
    if towers:
        see = " \\\n  ".join(
            (f"llama-mtmd-cli -m {{0}}/{first}", f"--mmproj {{0}}/{towers[0]}", '--image photo.jpg -p "Describe it."')
        )
        parts.append(_titled("llama.cpp, with a picture", "", "sh", _fetch(repo_id, branch, see)))
    at = f', revision="{branch}"' if branch else ""
    python = f"""\
from cyllama import LLM
from huggingface_hub import snapshot_download

folder = snapshot_download("{repo_id}"{at})
llm = LLM(f"{{folder}}/{first}", max_tokens=64)
print(llm.chat([{{"role": "user", "content": "{_QUESTION}"}}]))"""
    return [*parts, _titled("Python", "`pip install cyllama huggingface_hub`", "python", python)]


def _fetch(repo_id: str, branch: str | None, line: str) -> str:
    folder = repo_id.rsplit("/", 1)[-1]
    revision = f" --revision {branch}" if branch else ""
    return f"hf download {repo_id}{revision} --local-dir {folder}\n{line.format(folder)}"


def _titled(title: str, needs: str, language: str, code: str) -> str:
    return f"**{title}**" + (f" ({needs})" if needs else "") + f"\n\n```{language}\n{code}\n```"
