import ast
import threading
from pathlib import Path
from typing import Any

import pytest

import edgeconv
from edgeconv.core import chat_template
from edgeconv.core.chat_template import ChatTemplate, TemplateFault

FIRST = [{"role": "user", "content": "Hello"}]


DOUBLED = (
    "{% set n = namespace(a=[1], b=[1]) %}"
    "{% for i in range(40) %}{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}"
)
"""Two lists of 2^40 numbers in little memory: one operation on them in C is without an end."""


def render(text: str, **values: Any) -> str:
    return ChatTemplate(text).render(**{"messages": FIRST, **values})


def test_settings_and_helpers_are_those_of_transformers() -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    text = (
        "{% for m in messages %}\n  {{ m | tojson }}{{ m.role }}\n{% generation %}{{ m.content }}{% endgeneration %}\n"
        "  {% if loop.first %}{% continue %}{% endif %}{% endfor %}{{ strftime_now('%Y') }}{{ [3, 'é'] | tojson(indent=1) }}"
    )
    theirs, _ = render_jinja_template([FIRST], chat_template=text)
    assert render(text) == theirs[0]


def test_a_refusal_is_told_in_the_templates_words() -> None:
    with pytest.raises(TemplateFault, match=r"^no system prompts$"):
        render("{{ raise_exception('no system prompts.') }}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "runs for more than"),
        ("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("{{ 'x' * 10**10 }}", "repeats|number over"),
        ("{{ 999999999 * 'x' }}", "repeats something"),
        ("{{ 9 ** 9999999 }}", "number over"),
        ("{{ '%999999999d' % 1 }}", "takes more"),
        ("{{ '%3000000000d' | format(1) }}", "takes more"),
        ("{{ '{:3000000000}'.format(1) }}", "takes more"),
        ("{{ ('a' * 1000000) | replace('a', 'b' * 1000000) }}", "takes more"),
        ("{{ lipsum(1000000, false, 999999, 1000000) }}", "lipsum.* undefined"),
        ("{{ joiner() }}", "joiner.* undefined"),
        (DOUBLED + "{{ n.a == n.b }}", "runs for more than"),
        (DOUBLED + "{{ [n.a, n.b] | sort }}", "runs for more than"),
        (DOUBLED + "{{ n.a | tojson }}", "runs for more than|takes more"),
        (DOUBLED + "{{ n.a | string }}", "runs for more than|takes more"),
        ("{{ ('a' * 1000000) | wordwrap(1) }}", "runs for more than"),
        ("{{ 'x' | center(999999999) }}", "number over"),
        ("{{ 'x'.ljust(999999999) }}", "number over"),
        ("{{ [1] | tojson(indent=999999999) }}", "number over"),
        ("{% set n = namespace(x='x' * 1000) %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}\n{% endfor %}", "takes more"),
        ("{% for a in messages %}" * 30 + "{% endfor %}" * 30, "too many statically nested blocks"),
        ("{{ ''.__class__.__mro__[1] }}", "unsafe|undefined"),
        ("{{ cycler.__init__.__globals__.os }}", "unsafe|undefined"),
        ("{{ messages.append(1) }}", "not safely callable|unsafe"),
        ("{{ 1 / 0 }}", "division"),
        ("{% include '/etc/passwd' %}", "loader"),
        ("{{", "unexpected .end"),
    ],
)  # fmt: skip
def test_what_no_template_may_do(text: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "runs" in says:  # the others must be stopped by something else, however slow the machine
        monkeypatch.setattr(chat_template, "SECONDS", 0.2)
    monkeypatch.setattr(chat_template, "MEMORY", 64 << 20)
    with pytest.raises(TemplateFault, match=f"(?i){says}"):
        render(text)


def test_in_another_thread() -> None:
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(render("{{ messages[0].content }}")))
    thread.start()
    thread.join()
    assert seen == ["Hello"]


def test_templates_are_rendered_in_two_places_alone() -> None:
    """Chat templates in the worker's sandbox, pages of HTML in an environment that escapes."""
    root = Path(edgeconv.__file__).resolve().parent
    found = set()
    for path in root.rglob("*.py"):
        name = path.relative_to(root).as_posix()
        if name.startswith(("tests/", ".", "benchmarks/", "build/")):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "jinja2":
                found |= {
                    name
                    for one in node.names
                    if one.name in ("Environment", "Template", "ImmutableSandboxedEnvironment")
                }
    assert found == {"core/template_task.py", "validate/report/html/jinja.py"}
