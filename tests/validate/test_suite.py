import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from edgeconv.core.errors import UsageError
from edgeconv.validate import suite as package
from edgeconv.validate.suite import Document, Message, Suite, encode, load, require
from edgeconv.validate.suite.files import DOCUMENT_BYTES

DATA = Path(package.__file__).parent / "data"


@pytest.fixture(scope="module")
def tokenizer(builtin_model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(builtin_model)


def test_the_built_in_suite_is_what_its_sources_say() -> None:
    sources = json.loads((DATA / "SOURCES.json").read_text("utf-8"))
    files = {path.relative_to(DATA).as_posix() for path in DATA.rglob("*") if path.is_file()}
    texts = files - {"SOURCES.json", "LICENSES.txt"}
    assert set(sources) == texts
    for name, source in sources.items():
        content = (DATA / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (source["bytes"], source["sha256"])
        assert source["licence"]
        assert name in (DATA / "LICENSES.txt").read_text("utf-8")


def test_the_built_in_suite_has_every_kind_and_is_always_the_same() -> None:
    suite = load()
    assert {(d.kind, d.language) for d in suite.documents} == {
        ("text", "en"), ("text", "zh"), ("code", "python"), ("chat", "en"), ("chat", "zh"),
    }  # fmt: skip
    size = sum(len((d.text or "".join(m.content for m in d.messages or ())).encode()) for d in suite.documents)
    assert 35_000 < size < 45_000
    assert len(suite.documents) >= 25
    assert 8 <= len(suite.prompts) <= 12
    assert all(prompt[-1].role == "user" for prompt in suite.prompts)
    assert load().digest == suite.digest


def test_the_built_in_pictures_come_in_every_form() -> None:
    from PIL import Image

    shown = [Image.open(picture.path) for picture in load().pictures]
    assert {image.mode for image in shown} >= {"RGB", "L", "RGBA"}
    assert any(image.getexif().get(0x0112, 1) != 1 for image in shown)
    assert any(image.width > 1.5 * image.height for image in shown)
    assert any(image.height > 1.5 * image.width for image in shown)
    assert min(image.width for image in shown) < 64 < 1024 < max(image.width for image in shown)


def test_pictures_of_ones_own(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "mine.png")
    entry = "suite: 1\ndocuments: [{name: a, kind: text, text: some text}]\n"
    (tmp_path / "s.yaml").write_text(entry + 'pictures: [{file: mine.png, question: "What?"}]\n')
    (picture,) = load(tmp_path / "s.yaml").pictures
    assert (picture.name, picture.question) == ("mine", "What?")
    (tmp_path / "s.yaml").write_text(entry + 'pictures: [{file: other.png, question: "What?"}]\n')
    with pytest.raises(UsageError, match=r"other\.png"):
        load(tmp_path / "s.yaml")


def test_cutting_loses_nothing_and_keeps_paragraphs_whole(tmp_path: Path) -> None:
    text = "".join(f"Paragraph {i}, {'word ' * (i % 90)}end.\n\n" for i in range(120)) + "x" * 5000 + "\nlast"
    (tmp_path / "my.txt").write_text(text, "utf-8")
    documents = load(tmp_path / "my.txt").documents
    assert "".join(d.text or "" for d in documents) == text
    assert [d.name for d in documents] == [f"my/{i}" for i in range(1, len(documents) + 1)]
    assert sum(len(d.text or "") > DOCUMENT_BYTES for d in documents) == 1  # the line that cannot be cut
    assert all((d.text or "").startswith(("Paragraph", "x", "last")) for d in documents)


def test_jsonl_of_chats_and_texts(tmp_path: Path) -> None:
    lines = [
        {"messages": [{"role": "user", "content": "Hi", "id": 3}, {"role": "assistant", "content": "Hello"}], "x": 1},
        {"text": "Some text."},
        {"name": "own", "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]},
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n", "utf-8")
    suite = load(path)
    assert [(d.name, d.kind) for d in suite.documents] == [("chats/1", "chat"), ("chats/2", "text"), ("own", "chat")]
    assert [[m.content for m in prompt] for prompt in suite.prompts] == [["Hi"], ["S", "Q"]]


def yaml_suite(folder: Path, body: str) -> Path:
    (folder / "data.txt").write_text("Some text.\n", "utf-8")
    (folder / "empty.txt").write_text(" \n\n", "utf-8")
    path = folder / "mine.yaml"
    path.write_text(body, "utf-8")
    return path


def test_a_yaml_suite_of_all_three_contents(tmp_path: Path) -> None:
    body = """
suite: 1
documents:
  - {name: a, kind: text, file: data.txt}
  - {name: b, kind: code, language: c, text: "int main;"}
  - {name: c, kind: chat, messages: [{role: user, content: Q}, {role: assistant, content: A}]}
prompts: [[{role: user, content: "Why?"}]]
"""
    suite = load(yaml_suite(tmp_path, body))
    assert (suite.name, [d.name for d in suite.documents]) == ("mine", ["a", "b", "c"])
    assert suite.prompts == ((Message(role="user", content="Why?"),),)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("suite: 1\ndocuments: [{name: a, kind: text, file: data.txt, extra: 1}]", r"documents\.0\.extra: unknown key"),
        ("suite: 1\nbudget: 3\ndocuments: [{name: a, kind: text, file: data.txt}]", "budget: unknown key"),
        ("suite: 2\ndocuments: [{name: a, kind: text, file: data.txt}]", "mine.yaml: suite: Input should be 1"),
        ("suite: 1\ndocuments: []", "documents: List should have at least 1 item"),
        ("suite: 1\ndocuments: [{name: a, kind: prose, file: data.txt}]", r"documents\.0\.kind"),
        ("suite: 1\ndocuments: [{name: a, kind: text}]", "none of text, messages, file"),
        ("suite: 1\ndocuments: [{name: a, kind: text, text: x, file: data.txt}]", "text and file"),
        ("suite: 1\ndocuments: [{name: a, kind: text, text: ' '}]", r"documents\.0.*the text is empty"),
        ("suite: 1\ndocuments: [{name: a, kind: chat, messages: []}]", r"documents\.0.*the messages are empty"),
        ("suite: 1\ndocuments: [{name: a, kind: chat, messages: [{role: bot, content: x}]}]", r"messages\.0\.role"),
        ("suite: 1\ndocuments: [{name: a, kind: text, file: empty.txt}]", r"documents\.0\.file: .*empty\.txt is empty"),
        ("suite: 1\ndocuments: [{name: a, kind: text, file: absent.txt}]", "absent.txt', which is not there"),
        ("suite: 1\ndocuments: [{name: a, kind: text, file: ../x.txt}]", "lies outside the folder"),
        ("suite: 1\ndocuments: [{name: a, kind: text, file: /etc/passwd}]", "lies outside the folder"),
        ("suite: 1\ndocuments: [{name: a, kind: text, text: x}, {name: a, kind: text, text: y}]", "called a"),
        ("suite: 1\nx: &a [1]\ny: [*a, *a]", "uses YAML aliases"),
        ("suite: !!python/object:os.system 1", "not valid YAML"),
        ("suite: [1", "not valid YAML at line"),
        ("- a", "mine.yaml: the file: Input should be"),
    ],
)
def test_a_wrong_yaml_names_file_and_key(body: str, message: str, tmp_path: Path) -> None:
    path = yaml_suite(tmp_path, body)
    with pytest.raises(UsageError, match=message) as caught:
        load(path)
    assert str(tmp_path) in caught.value.message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b" \n", "is empty"),
        ("a.txt", b"\xff\xfe\x00", "not UTF-8"),
        ("a.jsonl", b"\n\n", "is empty"),
        ("a.jsonl", b'{"text": "x"}\n{"text":\n', "line 2 is not JSON"),
        ("a.jsonl", b'{"question": "x"}\n', "line 1 has neither messages nor text"),
        ("a.jsonl", b'{"text": ""}\n', "line 1.*empty"),
        ("a.jsonl", b'{"messages": "x"}\n', r"line 1\.messages"),
        ("a.pdf", b"x", "not a suite that can be read"),
    ],
)
def test_other_wrong_files(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load(tmp_path / name)


def test_the_digest_is_that_of_the_content() -> None:
    document = Document(name="a", kind="text", text="x")
    one = Suite(name="one", documents=(document,), prompts=())
    assert Suite(name="two", documents=(document,), prompts=()).digest == one.digest
    changed = document.model_copy(update={"text": "y"})
    assert Suite(name="one", documents=(changed,), prompts=()).digest != one.digest


def test_windows_join_to_the_tokenizers_ids(tokenizer: Any) -> None:
    suite = load()
    windows = encode(suite, tokenizer, window=100)
    assert windows == encode(suite, tokenizer, window=100)
    assert all(2 <= len(w.ids) <= 100 for w in windows)
    for document in suite.documents:
        joined = [i for w in windows if w.document == document.name for i in w.ids]
        if document.messages is None:
            assert joined == tokenizer(document.text)["input_ids"]
        else:
            turns = [m.model_dump() for m in document.messages]
            text = tokenizer.apply_chat_template(turns, tokenize=False)
            assert joined == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len({w.name for w in windows}) == len(windows)


@pytest.mark.parametrize("limit", [500, 3000])
def test_a_limit_takes_the_same_share_of_every_kind(limit: int, tokenizer: Any) -> None:
    suite = load()
    everything, some = encode(suite, tokenizer), encode(suite, tokenizer, limit)
    languages = {d.name: (d.kind, d.language) for d in suite.documents}

    def count(windows: list[Any]) -> dict[tuple[str, str], int]:
        sums: dict[tuple[str, str], int] = {}
        for window in windows:
            sums[languages[window.document]] = sums.get(languages[window.document], 0) + len(window.ids)
        return sums

    whole, part = count(everything), count(some)
    share = limit / sum(whole.values())
    assert sum(part.values()) <= limit
    assert {group: pytest.approx(size * share, abs=0.15 * size * share + 12) for group, size in whole.items()} == part
    assert some == encode(suite, tokenizer, limit)


@pytest.mark.parametrize("limit", [2, 3, 5, 11, 67, 68, 69, 500, 1000, 4321, 10**9])
def test_a_limit_cuts_texts_and_drops_none_that_it_need_not(limit: int, tokenizer: Any) -> None:
    everything, some = encode(load(), tokenizer), encode(load(), tokenizer, limit)
    total = sum(len(window.ids) for window in everything)
    assert sum(len(window.ids) for window in some) == min(limit, total)
    texts = {window.document for window in everything}
    assert len({window.document for window in some}) == min(len(texts), limit // 2)
    assert all(len(window.ids) >= 2 for window in some)
    require(some, min(limit, total))


def test_too_few_tokens_are_an_error(tokenizer: Any) -> None:
    windows = encode(load(), tokenizer, 100)
    require(windows, 50)
    with pytest.raises(UsageError, match="1,000 were asked for"):
        require(windows, 1000)
    with pytest.raises(UsageError, match="gives no tokens"):
        encode(load(), tokenizer, 1)


def test_a_template_without_system_role_gets_the_system_text_with_the_question(tokenizer: Any) -> None:
    import copy

    strict = copy.deepcopy(tokenizer)
    strict.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ m['role'] }}:{{ m['content'] }}\n{% endfor %}"
    )
    chat = Document(
        name="c", kind="chat", messages=(Message(role="system", content="Be kind."), Message(role="user", content="Hi"))
    )
    (window,) = encode(Suite(name="s", documents=(chat,), prompts=()), strict)
    assert strict.decode(window.ids) == "user:Be kind.\n\nHi\n"


def test_a_tokenizer_without_a_template_reads_chats_as_text(tokenizer: Any) -> None:
    import copy

    plain = copy.deepcopy(tokenizer)
    plain.chat_template = None
    chat = Document(
        name="c", kind="chat", messages=(Message(role="user", content="Hi"), Message(role="assistant", content="Ho"))
    )
    (window,) = encode(Suite(name="s", documents=(chat,), prompts=()), plain)
    assert plain.decode(window.ids) == "Hi\n\nHo"


CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells the weather.", "parameters": {}}}
CHAT = [
    {"role": "developer", "content": "Be brief.", "weight": 0},
    {"role": "user", "content": "And in Rome?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "sunny", "tool_call_id": "1", "name": "weather"},
    {"role": "assistant", "content": "Sunny.", "reasoning_content": "It said so."},
]
TEMPLATE = (
    "{% if tools %}[{{ tools | map(attribute='function.name') | join(',') }}]{% endif %}{% for m in messages %}"
    "<{{ m.role }}>{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}={{ c.function.name }}:{{ c.function.arguments.city }}{% endfor %}"
    "{% if m.name is defined %}@{{ m.name }}{% endif %}{% endfor %}"
)


def test_tools_and_their_calls_reach_the_template(tokenizer: Any, tmp_path: Path) -> None:
    import copy

    own = copy.deepcopy(tokenizer)
    own.chat_template = TEMPLATE
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": CHAT, "tools": [TOOL]}) + "\n")
    body = f"suite: 1\ndocuments: [{{name: a, kind: chat, tools: [{json.dumps(TOOL)}], messages: {json.dumps(CHAT)}}}]"
    with pytest.raises(UsageError, match="weight"):
        load(yaml_suite(tmp_path, body))
    suite = load(tmp_path / "a.jsonl")
    (window,) = encode(suite, own)
    assert tokenizer.decode(window.ids) == (
        "[weather]<developer>Be brief.<user>And in Rome?<assistant>=weather:Rome<tool>sunny@weather<assistant>(It said so.)Sunny."
    )
    assert suite.prompts == load().prompts, "a question without its tools is another one"


def test_messages_that_say_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": [{"role": "assistant"}]}) + "\n")
    with pytest.raises(UsageError, match="content, or tool_calls"):
        load(tmp_path / "a.jsonl")
