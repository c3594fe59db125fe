"""Templates are rendered as transformers renders them, without importing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeconv.validate.checkpoint_checks.template import conversation, render

ROLES = {"bos_token": "<s>", "eos_token": "</s>"}
LIKE_LLAMA_3 = (
    "{%- if not date is defined %}{%- set date = strftime_now('%Y') %}{%- endif %}\n{{- bos_token }}{{ date | length }}\n"
    "{%- for message in messages %}\n    {%- if message['role'] == 'tool' %}{% continue %}{% endif %}\n"
    "    {{- '<|start|>' + message['role'] + '\\n' + message['content'] | trim + eos_token }}\n{%- endfor %}\n"
    "{%- if tools is not none %}{{ tools | tojson }}{% endif %}\n"
    "{%- if add_generation_prompt %}{{- '<|start|>assistant\\n' }}{%- endif %}\n"
)
TRACKED = (
    "{% for m in messages %}\n  {% if m.role == 'assistant' %}\n{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}"
    "\n  {% else %}{{ m | tojson(indent=1) }}{% endif %}\n{% endfor %}é<b>"
)


@pytest.mark.parametrize("template", [LIKE_LLAMA_3, TRACKED])
@pytest.mark.parametrize("prompted", [True, False])
def test_rendering_is_that_of_transformers(template: str, prompted: bool, builtin_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(builtin_model, **ROLES)
    messages = conversation(in_parts=False)
    expected = tokenizer.apply_chat_template(
        messages, chat_template=template, tokenize=False, add_generation_prompt=prompted
    )
    assert render(template, messages, ROLES, prompted=prompted) == expected


@pytest.mark.parametrize(
    "template",
    ["{% for x in %}", "{{ messages.pop() }}", "{{ raise_exception('only one question') }}", "{{ 1 / 0 }}", "{{ [][1].x }}",
     "{{ range(10 ** 9) }}", "{{ messages[0]['content'] + 1 }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}",
     "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"],
)  # fmt: skip
def test_a_template_that_fails_or_attacks_is_told_from_a_sound_one(template: str) -> None:
    with pytest.raises(ValueError, match=r"^it cannot be rendered: "):
        render(template, conversation(in_parts=False), ROLES)
