"""Chat templates of the three models, in Jinja; the prefix stands in the template, since rendered prompts get none.

Sources: `tokenization_chatglm.py` of each: `build_prompt` (ChatGLM2), `build_chat_input` (ChatGLM3, GLM-4). ChatGLM3 encodes the
line of the role and the content apart, and sentencepiece puts a space in front of each: hence the space behind the line break.
ChatGLM2 has no role for a system; its text goes in front of the first round, as FastChat does it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core import limits
from ...core.json_file import read_json
from .version import Version

CHATGLM2 = """\
{%- set state = namespace(round=0) -%}
{{- '[gMASK]<sop>' -}}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
{%- set state.round = state.round + 1 -%}
{{- '[Round ' ~ state.round ~ ']\\n\\n问：' ~ message['content'] ~ '\\n\\n' -}}
{%- elif message['role'] == 'assistant' -%}
{{- '答：' ~ message['content'] ~ '\\n\\n' -}}
{%- elif message['content'] -%}
{{- message['content'] ~ '\\n\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '答：' -}}{%- endif -%}
"""
CHATGLM3 = """\
{{- '[gMASK]<sop>' -}}
{%- for message in messages -%}
{{- '<|' ~ message['role'] ~ '|>' ~ (message['metadata'] or '') ~ '\\n' -}}
{%- if message['content'] -%}{{- ' ' ~ message['content'] -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""
GLM4 = """\
{{- '[gMASK]<sop>' -}}
{%- for message in messages -%}
{{- '<|' ~ message['role'] ~ '|>' ~ (message['metadata'] or '') ~ '\\n' ~ message['content'] -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""
_OURS = {Version.CHATGLM2: CHATGLM2, Version.CHATGLM3: CHATGLM3, Version.GLM4: GLM4}


def choose(folder: Path, version: Version) -> tuple[str, bool]:
    """Return the checkpoint's own template if it states one, else ours, and whether it is its own."""
    stated = _stated(folder)
    if stated is None:
        return _OURS[version], False
    # the tokenizer made of ChatGLM3's vocabulary calls the second token <sop>
    return (stated.replace("[gMASK]sop", "[gMASK]<sop>") if version is not Version.GLM4 else stated), True


def _stated(folder: Path) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return limits.read_text(path, limits.TEMPLATE, errors="replace")
    path = folder / "tokenizer_config.json"
    stated: Any = read_json(path).get("chat_template") if path.is_file() else None
    return stated if isinstance(stated, str) else None
