"""Templates with tools, thinking and refusals: what an artifact's may differ in, and what is its engine's own doing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.validate.checks import template, template_gguf
from edgeconv.validate.checks.runtime_defects import as_failures
from edgeconv.validate.report.model import Check

from .gguf_files import write
from .planted import copy_of

TEMPLATE = """\
{%- if tools %}<|system|>
Tools:
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
{% endif %}
{%- for message in messages %}
{%- if message.role == "tool" %}<|observation|>
<result>{{ message.content }}</result>
{%- elif message.role == "assistant" %}<|assistant|>
{%- if message.reasoning_content is defined %}<think>{{ message.reasoning_content }}</think>{% endif %}
{{ message.content or "" }}
{%- for call in message.tool_calls or [] %}
<call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</call>
{%- endfor %}
{%- else %}<|{{ message.role }}|>
{{ message.content }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|assistant|>
{%- if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}
{% endif %}"""
PLANTS = {
    "the list of tools": ("{{ tool | tojson }}", "{{ tool.function | tojson }}"),
    "the role of tools": ("<result>{{", "<result> {{"),
    "the call": ('"arguments": {{ call', '"parameters": {{ call'),
    "a switch turned round": ("enable_thinking is false", "enable_thinking is true"),
    "reasoning": ("<think>{{ message.reasoning_content }}", "<think>"),
    "a branch that nothing reaches": ("{%- if message.role ==", '{%- if message.role == "x" %}y{% elif message.role =='),
}  # fmt: skip
REFUSING = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] | trim }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def set_files(folder: Path, text: str) -> None:
    (folder / "chat_template.jinja").write_text(text, "utf-8")


def set_ir(folder: Path, text: str) -> None:
    path = folder / "openvino_tokenizer.xml"
    content = path.read_text("utf-8")
    start = content.index("<chat_template")
    value = quoteattr(text, {"\n": "&#10;", '"': "&quot;"})
    path.write_text(content[:start] + f"<chat_template value={value} " + content[content.index("/>", start) :], "utf-8")


@pytest.fixture
def source(builtin_model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(builtin_model, tmp_path / "source")


@pytest.fixture
def artifact(converted: Path, tmp_path: Path) -> Path:
    return copy_of(converted, tmp_path / "artifact")


def judged(artifact: Path, source: Path) -> Check:
    return template.check(artifact, open_checkpoint(source), Silent())


def both(artifact: Path, source: Path, text: str) -> None:
    for folder in (source, artifact):
        set_files(folder, text)
    set_ir(artifact, text)


def test_tools_calls_answers_reasoning_and_switches_are_rendered_alike(artifact: Path, source: Path) -> None:
    both(artifact, source, TEMPLATE)
    one = judged(artifact, source)
    assert (one.status, one.failures) == ("passed", [])
    plain = 4 * len(template.CONVERSATIONS)
    assert one.figures["prompts"] > plain + 60
    assert {d.name for d in one.defects} <= {"arguments as text", "tools and options"}


@pytest.mark.parametrize("place", [set_files, set_ir])
@pytest.mark.parametrize("plant", PLANTS)
def test_a_plant_in_one_place_is_found_there(
    plant: str, place: Callable[[Path, str], None], artifact: Path, source: Path
) -> None:
    both(artifact, source, TEMPLATE)
    old, new = PLANTS[plant]
    assert old in TEMPLATE
    place(artifact, TEMPLATE.replace(old, new))
    one = judged(artifact, source)
    where = "the artifact's files" if place is set_files else "openvino_genai"
    assert one.status == "failed"
    assert one.failures[0].startswith(f"The chat template in {where} is another than the checkpoint's, from character")
    assert all(where in failure for failure in one.failures)
    assert (len(one.failures) > 1) == (plant != "a branch that nothing reaches")


def test_white_space_that_jinja_does_not_see_is_no_other_template(artifact: Path, source: Path) -> None:
    both(artifact, source, TEMPLATE)
    set_files(
        artifact,
        TEMPLATE.replace("{%- if tools %}", "{#- tools first #}{%-  if  tools -%}").replace("-%}<|sys", "%}<|sys"),
    )
    one = judged(artifact, source)
    assert (one.status, one.failures) == ("passed", [])


def test_a_refused_system_message_is_the_engines_doing_and_named(artifact: Path, source: Path) -> None:
    both(artifact, source, REFUSING)
    one = judged(artifact, source)
    assert (one.status, one.failures) == ("passed", [])
    assert {(d.engine, d.name) for d in one.defects} == {
        ("openvino_genai", "system message"),
        ("openvino_genai", "trim"),
    }
    assert as_failures(one).status == "failed"


def test_a_template_that_takes_what_the_checkpoints_refuses_is_a_fault(artifact: Path, source: Path) -> None:
    both(artifact, source, REFUSING)
    for place in (set_files, set_ir):
        place(artifact, REFUSING.replace("'system' %}{{ raise", "'x' %}{{ raise"))
    one = judged(artifact, source)
    assert one.status == "failed"
    assert any("the checkpoint's template refuses it, the artifact's files does not" in f for f in one.failures)


def named(folder: Path, **templates: str) -> None:
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text("utf-8"))
    listed = [{"name": name, "template": text} for name, text in templates.items()]
    path.write_text(json.dumps(content | {"chat_template": listed}), "utf-8")


def test_named_templates_are_compared_one_by_one(artifact: Path, source: Path) -> None:
    other = TEMPLATE.replace("Tools:", "Functions:")
    named(source, default=TEMPLATE, tool_use=other)
    named(artifact, default=TEMPLATE, tool_use=other)
    set_ir(artifact, TEMPLATE)
    assert (judged(artifact, source).status, judged(artifact, source).failures) == ("passed", [])
    named(artifact, default=TEMPLATE, tool_use=other.replace("<result>", "<output>"))
    failures = judged(artifact, source).failures
    assert failures[0].startswith("The chat template 'tool_use' in the artifact's files is another")
    assert any("template tool_use" in failure for failure in failures[1:])
    named(artifact, default=TEMPLATE)
    assert judged(artifact, source).failures == [
        "The checkpoint's chat template 'tool_use' is not in the artifact's files."
    ]


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("name", ["default", "tool_use"])
def test_a_plant_in_a_gguf_is_found(plant: str, name: str, source: Path, tmp_path: Path) -> None:
    sound = {"default": TEMPLATE, "tool_use": TEMPLATE.replace("Tools:", "Functions:")}
    spoilt = shutil.copytree(source, tmp_path / "spoilt")
    old, new = PLANTS[plant]
    named(spoilt, **(sound | {name: sound[name].replace(old, new)}))
    file = write(spoilt, tmp_path / "a.gguf", "q8_0")
    checkpoint = open_checkpoint(spoilt)
    assert check_gguf(file, checkpoint).status == "passed"
    shutil.rmtree(spoilt)
    named(source, **sound)
    one = check_gguf(file, open_checkpoint(source))
    assert one.status == "failed"
    called = "chat template" if name == "default" else "chat template 'tool_use'"
    assert one.failures[0].startswith(f"The {called} in the GGUF is another than the checkpoint's, from character")


def check_gguf(file: Path, checkpoint: Checkpoint) -> Check:
    return template_gguf.check(lambda: open_gguf(file), checkpoint, Silent())


def test_a_template_in_chat_template_json_counts(artifact: Path, source: Path) -> None:
    both(artifact, source, TEMPLATE)
    for folder in (artifact, source):
        (folder / "chat_template.jinja").unlink()
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}), "utf-8")
    one = judged(artifact, source)
    assert (one.status, one.failures) == ("passed", [])
