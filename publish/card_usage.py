"""How a published artifact is run: the snippets of the model card, each of which runs as it stands.

tests/publish/test_card.py takes them off the card and runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..convert.families.glm_edge_v_model.facts import VISION
from ..core.escape import block, python, shell
from ..core.manifest import EncoderFacts, Manifest

_QUESTION = "What is the capital of France?"


def snippets(manifest: Manifest, repo_id: str, branch: str | None) -> str:
    """Return the section's text.

    Args:
        manifest: of the artifact.
        repo_id: where it is published.
        branch: that it is published on; None: the default one.
    """
    return "\n\n".join(SNIPPETS[manifest.target](manifest, repo_id, branch))


def _openvino(manifest: Manifest, repo_id: str, branch: str | None) -> list[str]:
    if manifest.vision:
        return _vision(repo_id, branch)
    if manifest.encoder:
        return _encoder(manifest.encoder, repo_id, branch)
    at = _revision(branch)
    genai = f"""\
import openvino_genai
from huggingface_hub import snapshot_download

folder = snapshot_download({python(repo_id)}{at})
pipe = openvino_genai.LLMPipeline(folder, "CPU")
print(pipe.generate("{_QUESTION}", max_new_tokens=64))"""
    optimum = f"""\
from optimum.intel import OVModelForCausalLM
from transformers import AutoTokenizer

name = {python(repo_id)}
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


_POOLING = {"mean": "MEAN", "cls": "CLS", "last": "LAST_TOKEN"}


def _encoder(facts: EncoderFacts, repo_id: str, branch: str | None) -> list[str]:
    """openvino_genai's pipeline for vectors, or for scores."""
    begin = f"""\
import openvino_genai
from huggingface_hub import snapshot_download

folder = snapshot_download({python(repo_id)}{_revision(branch)})"""
    if facts.task == "score":
        code = f"""\
{begin}
pipe = openvino_genai.TextRerankPipeline(folder, "CPU")
print(pipe.rerank("{_QUESTION}", ["Paris is the capital of France.", "Cats sleep a lot."]))"""
    else:
        code = f"""\
{begin}
kind = openvino_genai.TextEmbeddingPipeline
config = kind.Config(pooling_type=kind.PoolingType.{_POOLING[facts.pooling or "mean"]}, normalize={facts.normalize})
pipe = kind(folder, "CPU", config)
print(pipe.embed_documents(["Paris is the capital of France.", "Cats sleep a lot."]))"""
    return [_titled("OpenVINO GenAI", "`pip install openvino-genai huggingface_hub`", "python", code)]


def _onnx_encoder(repo_id: str, branch: str | None) -> list[str]:
    code = f"""\
import onnxruntime
from huggingface_hub import snapshot_download
from transformers import AutoTokenizer

folder = snapshot_download({python(repo_id)}{_revision(branch)})
session = onnxruntime.InferenceSession(f"{{folder}}/model.onnx")
inputs = AutoTokenizer.from_pretrained(folder)(["Paris is the capital of France."], return_tensors="np")
names = [one.name for one in session.get_inputs()]
print(session.run(None, {{name: inputs[name].astype("int64") for name in names}})[0])"""
    return [_titled("onnxruntime", "`pip install onnxruntime transformers huggingface_hub`", "python", code)]


def _onnx(manifest: Manifest, repo_id: str, branch: str | None) -> list[str]:
    if manifest.vision:
        squares = any(one.name.startswith(VISION) for one in manifest.tensors)
        return _onnx_vision(repo_id, branch) if squares else _vision(repo_id, branch, "edgeconv[onnx]")
    if manifest.encoder:
        return _onnx_encoder(repo_id, branch)
    at = _revision(branch)
    genai = f"""\
import json

import onnxruntime_genai
from huggingface_hub import snapshot_download

folder = snapshot_download({python(repo_id)}{at})
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

name = {python(repo_id)}
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


def _onnx_vision(repo_id: str, branch: str | None) -> list[str]:
    at = _revision(branch)
    code = f"""\
import json
from pathlib import Path

import numpy as np
import onnxruntime
from huggingface_hub import snapshot_download
from PIL import Image

from edgeconv.convert.families.glm_edge_v_model import load_processor
from edgeconv.convert.families.glm_edge_v_model.pixels import Preprocess

folder = Path(snapshot_download({python(repo_id)}{at}))
names = ("vision_encoder", "embed_tokens", "decoder_model_merged")
tower, table, decoder = (onnxruntime.InferenceSession(folder / f"{{name}}.onnx") for name in names)
config = json.loads((folder / "config.json").read_text())
processor = load_processor(folder)
turn = {{"role": "user", "content": [{{"type": "image"}}, {{"type": "text", "text": "Describe the image."}}]}}
ids = processor.tokenizer(processor.apply_chat_template([turn], add_generation_prompt=True))["input_ids"]
rows = tower.run(None, {{"pixel_values": Preprocess.from_folder(folder)([Image.open("photo.jpg")])}})[0]
step = table.run(None, {{"input_ids": np.array([ids])}})[0]
step[:, np.array(ids) == config["boi_token_id"]] = rows
caches = [i for i in decoder.get_inputs() if i.name.startswith("past_key_values.")]
past = {{i.name: np.zeros((1, i.shape[1], 0, i.shape[3]), np.float32) for i in caches}}
stops, made, position = np.atleast_1d(config["eos_token_id"]), [], 0
while len(made) < 64:
    places = np.arange(position, position + step.shape[1])[None]
    position += step.shape[1]
    mask = np.ones((1, position), np.int64)
    logits, *cache = decoder.run(None, {{"inputs_embeds": step, "attention_mask": mask, "position_ids": places, **past}})
    past = dict(zip(past, cache))
    made.append(int(logits[0, -1].argmax()))
    if made[-1] in stops:
        break
    step = table.run(None, {{"input_ids": np.array([made[-1:]])}})[0]
print(processor.tokenizer.decode(made, skip_special_tokens=True))"""
    return [_titled("onnxruntime", "`pip install edgeconv onnxruntime huggingface_hub`", "python", code)]


def _vision(repo_id: str, branch: str | None, package: str = "edgeconv") -> list[str]:
    return [
        _titled(
            "edgeconv",
            f"`pip install {shell(package)}`",
            "sh",
            _fetch(repo_id, branch, f"edgeconv chat {shell(_folder(repo_id))} --image photo.jpg"),
        )
    ]


def _gguf(manifest: Manifest, repo_id: str, branch: str | None) -> list[str]:
    files = sorted(name for name in manifest.outputs if name.endswith(".gguf"))
    first = next(name for name in files if not name.startswith("mmproj"))
    towers = [name for name in files if name.startswith("mmproj")]
    kind = str(manifest.scheme.get("file_type", "")).upper()
    folder = _folder(repo_id)
    model = shell(f"{folder}/{first}")
    if manifest.encoder:
        return [_titled("llama.cpp", "", "sh", _embedding(manifest.encoder, repo_id, branch, model, kind))]
    if branch:
        line = _fetch(repo_id, branch, f'llama-cli -m {model} -p "{_QUESTION}"')
    else:
        line = f'llama-cli -hf {shell(f"{repo_id}:{kind}")} -p "{_QUESTION}"'
    parts = [_titled("llama.cpp", "", "sh", line)]
    if towers:
        tower = shell(f"{folder}/{towers[0]}")
        see = " \\\n  ".join((f"llama-mtmd-cli -m {model}", f"--mmproj {tower}", '--image photo.jpg -p "Describe it."'))
        parts.append(_titled("llama.cpp, with a picture", "", "sh", _fetch(repo_id, branch, see)))
    at = _revision(branch)
    code = f"""\
from cyllama import LLM
from huggingface_hub import snapshot_download

folder = snapshot_download({python(repo_id)}{at})
llm = LLM(folder + {python("/" + first)}, max_tokens=64)
print(llm.chat([{{"role": "user", "content": "{_QUESTION}"}}]))"""
    return [*parts, _titled("Python", "`pip install cyllama huggingface_hub`", "python", code)]


def _embedding(facts: EncoderFacts, repo_id: str, branch: str | None, model: str, kind: str) -> str:
    """Return the command that prints a text's vector."""
    how = f"--pooling {facts.pooling or 'mean'} --embd-normalize {2 if facts.normalize else -1}"
    asked = f'{how} -p "Paris is the capital of France."'
    if branch:
        return _fetch(repo_id, branch, f"llama-embedding -m {model} {asked}")
    return f"llama-embedding -hf {shell(f'{repo_id}:{kind}')} {asked}"


def _fetch(repo_id: str, branch: str | None, line: str) -> str:
    revision = f" --revision {shell(branch)}" if branch else ""
    return f"hf download {shell(repo_id)}{revision} --local-dir {shell(_folder(repo_id))}\n{line}"


def _folder(repo_id: str) -> str:
    return repo_id.rsplit("/", 1)[-1]


def _revision(branch: str | None) -> str:
    """Return an argument of Python for the branch."""
    return f", revision={python(branch)}" if branch else ""


def _titled(title: str, needs: str, language: str, code: str) -> str:
    return f"**{title}**" + (f" ({needs})" if needs else "") + f"\n\n{block(code, language)}"


SNIPPETS: Mapping[str, Callable[[Manifest, str, str | None], list[str]]] = {
    "openvino": _openvino,
    "gguf": _gguf,
    "onnx": _onnx,
}
"""By the name of the format."""
