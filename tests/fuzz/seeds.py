# ruff: noqa: E501 - lists of samples
"""The corpus: valid files to begin with, and what earlier attacks on readers of the same formats looked like.

All of it is made by code, so that it can be read. The attacks follow published ones: GGUF's counts, lengths, dimensions and
alignment (llama.cpp: CVE-2024-21802, -21825, -21836, -23496, -23605 and TALOS-2024-1912 to 1916; CVE-2025-53630), templates that
run code (llama-cpp-python: CVE-2024-34359), pickles, YAML that builds objects.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import struct
import zipfile
from typing import Any

import yaml

from edgeconv.convert.gguf.header import Entry, Kind, Value, array, f32, pack, string, u32
from edgeconv.quantize.ggml.types import TYPES

TENSOR = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
HEADER = {
    "__metadata__": {"format": "pt"},
    "model.norm.weight": TENSOR,
    "model.embed.weight": {"dtype": "BF16", "shape": [4, 2], "data_offsets": [24, 40]},
    "empty": {"dtype": "F16", "shape": [0, 7], "data_offsets": [40, 40]},
}


def safetensors(header: Any, data: int = 40, length: int | None = None) -> bytes:
    """A file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(data)


SAFETENSORS_ATTACKS = {
    "header of 2^63 bytes": safetensors(HEADER, length=1 << 63),
    "header of 2^64 - 1 bytes": safetensors(HEADER, length=(1 << 64) - 1),
    "header one byte too long": safetensors({}, 0, 3),
    "a name twice": safetensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],'
                                b'"data_offsets":[0,4]}}', 4),
    "a field twice": safetensors(b'{"a":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,4]}}', 4),
    "overlapping tensors": safetensors({"a": TENSOR, "b": TENSOR}, 24),
    "a hole": safetensors({"a": {**TENSOR, "data_offsets": [8, 32]}}, 32),
    "offsets backwards": safetensors({"a": {**TENSOR, "data_offsets": [24, 0]}}, 24),
    "dimensions whose product is 2^64": safetensors({"a": {**TENSOR, "shape": [1 << 32, 1 << 32]}}, 24),
    "a dimension of 0 beside 2^63": safetensors({"a": {"dtype": "F32", "shape": [1 << 63, 0], "data_offsets": [0, 0]}}, 0),
    "a type that is a list": safetensors({"a": {**TENSOR, "dtype": ["F32"]}}, 24),
    "a number of 5,000 digits": safetensors(b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,4]}}', 4),
    "nested without end": safetensors(b'{"a":' + b"[" * 50_000, 0),
    "metadata nested without end": safetensors(b'{"__metadata__":' + b'{"a":' * 50_000, 0),
}  # fmt: skip

INDEX = {
    "metadata": {"total_size": 48},
    "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
}
INDEX_ATTACKS = {
    f"shard {name!r:.40}": json.dumps({"weight_map": {**INDEX["weight_map"], "a": name}}).encode()
    for name in (
        "../model-00001-of-00002.safetensors", "/etc/passwd", "/etc/passwd.safetensors", "..\\x.safetensors", "x\0.safetensors",
        "a/../../x.safetensors", "x" * 5000 + ".safetensors", "\ud800.safetensors", "", 7, None, ["a"], {"a": 1},
        "./model-00001-of-00002.safetensors", "x.bin",
    )
}  # fmt: skip


GGUF_KEYS: dict[str, Value] = {
    "general.architecture": string("llama"),
    "general.file_type": u32(15),
    "llama.block_count": u32(1),
    "llama.context_length": u32(64),
    "llama.rope.freq_base": f32(1e4),
    "tokenizer.ggml.model": string("gpt2"),
    "tokenizer.ggml.tokens": array(Kind.STRING, ["a", "b", "<s>"]),
    "tokenizer.ggml.token_type": array(Kind.I32, [1, 1, 3]),
    "tokenizer.ggml.eos_token_id": u32(2),
}


def gguf(keys: dict[str, Value] | None = None) -> bytes:
    """A valid file of three tensors."""
    entries = [
        Entry("token_embd.weight", (3, 32), TYPES["q8_0"], 0),
        Entry("output_norm.weight", (32,), TYPES["f32"], 128),
        Entry("output.weight", (3, 256), TYPES["q4_k"], 256),
    ]
    return pack(GGUF_KEYS if keys is None else keys, entries) + bytes(256 + 3 * 144)


MODEL_KEYS: dict[str, Value] = {
    **GGUF_KEYS,
    "general.file_type": u32(0),
    "llama.embedding_length": u32(32),
    "llama.feed_forward_length": u32(64),
    "llama.attention.head_count": u32(2),
    "llama.attention.head_count_kv": u32(1),
    "llama.attention.layer_norm_rms_epsilon": f32(1e-5),
    "llama.rope.dimension_count": u32(16),
    "llama.vocab_size": u32(4),
    "tokenizer.ggml.pre": string("llama-bpe"),
    "tokenizer.ggml.tokens": array(Kind.STRING, ["a", "b", "ab", "<s>"]),
    "tokenizer.ggml.token_type": array(Kind.I32, [1, 1, 1, 3]),
    "tokenizer.ggml.merges": array(Kind.STRING, ["a b"]),
    "tokenizer.ggml.bos_token_id": u32(3),
    "tokenizer.ggml.eos_token_id": u32(3),
    "tokenizer.chat_template": string("{{ messages }}"),
}
_MODEL_SHAPES: dict[str, tuple[int, ...]] = {
    "token_embd": (4, 32), "output_norm": (32,), "output": (4, 32), "blk.0.attn_norm": (32,), "blk.0.attn_q": (32, 32),
    "blk.0.attn_k": (16, 32), "blk.0.attn_v": (16, 32), "blk.0.attn_output": (32, 32), "blk.0.ffn_norm": (32,),
    "blk.0.ffn_gate": (64, 32), "blk.0.ffn_up": (64, 32), "blk.0.ffn_down": (32, 64),
}  # fmt: skip


def gguf_model() -> tuple[bytes, bytes]:
    """Head and weights of a whole Llama of one layer, which can be converted."""
    entries, position = [], 0
    for name, shape in _MODEL_SHAPES.items():
        entries.append(Entry(f"{name}.weight", shape, TYPES["f32"], position))
        position += 4 * math.prod(shape)  # all are multiples of 32
    return pack(MODEL_KEYS, entries), bytes(position)


def _text(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


def _head(tensors: int = 0, pairs: int = 0, rest: bytes = b"", version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + rest + bytes(64)


def _tensor(shape: list[int], kind: int = 0, offset: int = 0, name: bytes = b"t", dims: int | None = None) -> bytes:
    sizes = struct.pack(f"<I{len(shape)}Q", len(shape) if dims is None else dims, *shape)
    return _text(name) + sizes + struct.pack("<IQ", kind, offset)


def _alignment(number: int) -> bytes:
    return _head(1, 1, _text(b"general.alignment") + struct.pack("<II", 4, number) + _tensor([8]))


def _array(kind: int, count: int, rest: bytes = b"") -> bytes:
    return _head(0, 1, _text(b"a") + struct.pack("<IIQ", 9, kind, count) + rest)


GGUF_ATTACKS = {
    "2^64 - 1 pairs": _head(0, (1 << 64) - 1),
    "2^64 - 1 tensors": _head((1 << 64) - 1),
    "counts whose sizes wrap": _head((1 << 64) // 24 + 1, (1 << 64) // 13 + 1),
    "2^61 tensors": _head(1 << 61),
    "a key of 2^64 - 1 bytes": _head(0, 1, _text(b"key", (1 << 64) - 1)),
    "a key of 2^63 bytes": _head(0, 1, _text(b"key", 1 << 63)),
    "a text of 2^64 - 1 bytes": _head(0, 1, _text(b"k") + struct.pack("<I", 8) + _text(b"x", (1 << 64) - 1)),
    "an array of 2^64 - 1 numbers": _array(4, (1 << 64) - 1),
    "an array of 2^62 numbers": _array(10, (1 << 62) + 1),
    "an array of 2^40 texts": _array(8, 1 << 40),
    "an array of 2^61 texts": _array(8, (1 << 61) + 1),
    "arrays in arrays": _array(9, 1, struct.pack("<IQ", 9, 1) * 50_000),
    "an array of an unknown type": _array(13, 1),
    "a value of an unknown type": _head(0, 1, _text(b"k") + struct.pack("<I", 1 << 31)),
    **{f"alignment {number}": _alignment(number) for number in (0, 3, 1 << 31, (1 << 32) - 1)},
    "dimensions whose product is 2^64": _head(1, 0, _tensor([1 << 32, 1 << 32])),
    "dimensions whose product is 2^63": _head(1, 0, _tensor([1 << 62, 2])),
    "a dimension of 2^64 - 1": _head(1, 0, _tensor([(1 << 64) - 1])),
    "a dimension of 0 beside 2^63": _head(1, 0, _tensor([0, (1 << 63) - 1])),
    "2^32 - 1 dimensions": _head(1, 0, _tensor([1], dims=(1 << 32) - 1)),
    "5 dimensions": _head(1, 0, _tensor([1, 1, 1, 1, 1])),
    "an offset of 2^64 - 32": _head(1, 0, _tensor([8], offset=(1 << 64) - 32)),
    "an empty tensor far away": _head(1, 0, _tensor([0], offset=1 << 62)),
    "overlapping tensors": _head(2, 0, _tensor([8]) + _tensor([8], name=b"u")),
    "a tensor twice": _head(2, 0, _tensor([4]) + _tensor([4], offset=32)),
    "a name of 65 bytes": _head(1, 0, _tensor([1], name=b"n" * 65)),
    "a name with a control sequence": _head(1, 0, _tensor([1], name=b"\x1b[2J")),
    "a removed type": _head(1, 0, _tensor([32], kind=4)),
    "an unknown type": _head(1, 0, _tensor([32], kind=1 << 31)),
    "version 0": _head(version=0),
    "version 2^32 - 1": _head(version=(1 << 32) - 1),
    "big-endian": _head(version=3 << 24),
    "99,999 parts": gguf({**GGUF_KEYS, "split.count": u32(99_999), "split.no": u32(0)}),
    "2^32 - 1 parts": gguf({**GGUF_KEYS, "split.count": u32((1 << 32) - 1)}),
}

RECIPE = """\
recipe: 1
name: small
source:
  model: org/name
  revision: main
targets:
  good:
    format: openvino
    precision: int8
    budget: {mean_kl: 0.05}
  small:
    format: gguf
    type: q4_k_m
    tensor_type: ["ffn=q8_0"]
"""
YAML_PARTS = (
    "!!python/object/apply:os.system ['touch ran']", "!!python/name:os.system", "!!int ''", "!!int x", "!!float ''", "!!bool maybe",
    "!!binary '#'", "!!timestamp 2020-99-99", "2020-99-99", "!!set {a, b}", "!!omap [a: 1]", "&a [*a]", "&a {a: *a}", "*missing",
    "? [a, b] : c", "{[a]: b}", "{{a: b}: c}", "<<: {a: 1}", "1:99:99", "0x" + "f" * 400, "9" * 5000, ".inf", ".nan", "~", "''",
    "[]", "{}", "[[[[]]]]", "\"\\ud800\"", "\"\\0\"", "../../x", "/etc/x", "a: b: c", "\t", "- - -", "%YAML 9.9", "---\n...\n---",
    "!<tag:yaml.org,2002:null> x", "!", "| \n x", "'x", "\x07", "\ufeff", "recipe: 2", "name: ../../../x", "output: ../../x",
    "output: /tmp/x", "good:\n    format: gguf", "\u2028", "1e999", "!!null x", "!!seq x", "!!map x", "!!str [a]", "{a: 1, a: 2}",
)  # fmt: skip
RECIPE_ATTACKS = {
    "a billion laughs": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)),
    "nested without end": "a: " + "[" * 100_000,
    "flow maps without end": "a: " + "{a: " * 20_000,
    "indented without end": "".join(" " * n + "a:\n" for n in range(600)),
    "a million dashes": "- " * 200_000,
    "a key without end": "? " * 100_000,
    **{f"in a value: {part!r:.30}": RECIPE.replace("org/name", part) for part in YAML_PARTS},
    **{f"at the top: {part!r:.30}": f"{RECIPE}{part}\n" for part in YAML_PARTS},
}

TEMPLATE_PARTS = (
    "{{ messages }}", "{% for m in messages %}{{ m.content }}{% endfor %}", "{{ ''.__class__.__mro__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ cycler.__init__.__globals__.os.system('touch ran') }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}", "{{ self.__init__.__globals__ }}", "{{ x.__class__ }}",
    "{{ (messages|map(attribute='__class__'))|list }}", "{{ namespace.__init__.__globals__ }}", "{{ raise_exception('no') }}",
    "{{ ''|attr('__class__') }}", "{{ '{0.__class__.__mro__}'.format('') }}", "{{ ('{0.__class__}'|format('')) }}",
    "{{ '%s'|format(messages) }}", "{{ messages.append(1) }}", "{% set x = messages.clear() %}", "{{ 1/0 }}", "{{ 1//0 }}",
    "{{ {}['a'] }}", "{{ 'a' + 1 }}", "{{ undefined_name }}", "{{ undefined_name.x }}", "{{ undefined_name() }}", "{{ messages[9] }}",
    "{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{% extends 'x' %}", "{{ strftime_now('%Y') }}", "{{ strftime_now(1) }}",
    "{{ strftime_now('%' * 9) }}", "{% break %}", "{% for a in b %}{% continue %}{% endfor %}", "{% macro f() %}{{ f() }}{% endmacro %}",
    "{{ f() }}", "{{ f(f) }}", "{% call f() %}x{% endcall %}", "{% set ns = namespace(a=1) %}{% set ns.a = 2 %}", "{% if x %}",
    "{% endif %}", "{{ x|tojson }}", "{{ messages|tojson }}", "{{ namespace|tojson }}", "{{ messages|tojson(indent=4) }}", "{% raw %}",
    "{{ 'x'|list|first|int }}", "{{ 'x'|int(base=99) }}", "{{ 'x'|round }}", "{{ []|max }}", "{{ [1,'a']|sort }}", "{{ 2 ** 0.5 }}",
    "{{ -1 ** 0.5 }}", "{{ '\\ud800' }}", "{{ 'x'.encode('nope') }}", "{{ 'x'.split('') }}", "{{ 'x'|replace('') }}", "{{ ''.join([1]) }}",
    "{{ dict(a=1)|dictsort(by='x') }}", "{{ 'x'|batch(0)|list }}", "{{ 'x'|slice(0)|list }}", "{{ 'x'|indent('y') }}", "{# ", "{{", "}}",
    "{% for a in messages recursive %}{{ loop(messages) }}{% endfor %}", "{% set messages = 1 %}", "{{ messages|groupby('x') }}",
    "{{ (1).real.numerator.bit_length() }}", "{{ 'a'.zfill('b') }}", "{{ caller() }}", "{% trans %}x{% endtrans %}", "{{ 1 if }}",
    "{{ ''.format_map }}", "{{ '{a.b}'.format_map({'a': 1}) }}", "{% generation %}{% endgeneration %}", "{{ '\x00' }}", "{% do x %}",
    "{{ x|unknown_filter }}", "{{ x is unknown_test }}", "{{ messages[0]['role'] }}", "{{ bos_token }}", "{% filter upper %}a{% endfilter %}",
    "{{ 'a'|xmlattr }}", "{{ {'a b': 1}|xmlattr }}", "{{ 'x'|urlize }}", "{{ '9' * 5000 }}", "{{ ('9' * 5000)|int }}", "{{ 'é'|urlencode }}",
)  # fmt: skip
TEMPLATE_ATTACKS = {
    "nested blocks": "{% for a in messages %}" * 30 + "{% endfor %}" * 30,
    "more nested blocks": "{% if messages %}" * 5000 + "{% endif %}" * 5000,
    "nested brackets": "{{ " + "(" * 5000 + ")" * 5000 + " }}",
    "nested lists": "{{ " + "[" * 300 + "]" * 300 + " }}",
    "operators without end": "{{ " + "1+" * 20_000 + "1 }}",
    "filters without end": "{{ 1" + "|int" * 5000 + " }}",
    "a macro that calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a loop that calls itself": "{% for a in messages recursive %}{{ loop(messages) }}{% endfor %}",
    **{f"part {number}": part for number, part in enumerate(TEMPLATE_PARTS)},
}
"""Programs that take for ever or fill the memory are in tests/bad: they need bounds of another kind."""


def torch_file() -> bytes:
    """A valid file of torch.save with two tensors, written without torch."""
    head = b"\x80\x02}q\x00("
    tensor = (
        b"X\x01\x00\x00\x00%bctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x00%bX\x03\x00\x00\x00cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtR"
    )
    program = head + tensor % (b"a", b"0") + tensor % (b"b", b"1") + b"u."
    return zipped(program)


def zipped(program: bytes, **members: bytes) -> bytes:
    """A zip in torch's layout."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {"data.pkl": program, "data/0": bytes(24), "data/1": bytes(24), **members}.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
    return buffer.getvalue()


class _Runs:
    def __reduce__(self) -> Any:
        import os

        return os.system, ("touch ran",)


OPCODES = tuple(
    bytes([code]) + rest
    for code, rest in [
        *((ord(letter), b"") for letter in "().0125NQRabdeltu}])"), (0x81, b""), (0x85, b""), (0x86, b""), (0x87, b""), (0x88, b""),
        (0x89, b""), (0x8F, b""), (0x90, b""), (0x91, b""), (0x93, b""), (0x94, b""), (0x97, b""), (0x98, b""), (ord("K"), b"\x07"),
        (ord("M"), b"\xff\xff"), (ord("J"), b"\xff\xff\xff\xff"), (0x8A, b"\xff" + b"\x7f" * 255), (0x8B, b"\xff\xff\xff\x7f"),
        (ord("X"), b"\x01\0\0\0x"), (ord("X"), b"\xff\xff\xff\xff"), (0x8C, b"\x02\xed\xa0"), (0x8D, b"\xff" * 8), (ord("c"), b"os\nsystem\n"),
        (ord("c"), b"torch\nFloatStorage\n"), (ord("c"), b"torch._utils\n_rebuild_tensor_v2\n"), (ord("c"), b"collections\nOrderedDict\n"),
        (ord("i"), b"os\nsystem\n"), (ord("I"), b"x\n"), (ord("L"), b"1L\n"), (ord("F"), b"nan\n"), (ord("S"), b"'x'\n"), (ord("S"), b"x\n"),
        (ord("V"), b"\\ud800\n"), (ord("q"), b"\x05"), (ord("r"), b"\xff\xff\xff\xff"), (ord("h"), b"\x05"), (ord("j"), b"\xff\xff\xff\xff"),
        (ord("p"), b"-1\n"), (ord("g"), b"x\n"), (ord("P"), b"id\n"), (0x95, b"\xff" * 8), (0x82, b"\x01"), (0x8E, b"\xff" * 8), (0x96, b"\xff" * 8),
        (0x80, b"\xff"), (ord("G"), b"\x7f\xf8\0\0\0\0\0\0"),
    ]
)  # fmt: skip
"""Instructions of pickle with arguments that are in bounds, out of them, or of another kind than is expected."""
TORCH_ATTACKS = {
    "a program that is run": zipped(pickle.dumps(_Runs(), protocol=2)),
    "the same by name": zipped(b"cposix\nsystem\n(S'touch ran'\ntR."),
    "by another way of looking up": zipped(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x09touch ran\x85R."),
    "an object of any class": zipped(b"\x80\x02cbuiltins\neval\n)\x81."),
    "a text of 2^64 - 1 bytes": zipped(b"\x80\x04\x8d" + b"\xff" * 8),
    "tuples in tuples": zipped(b"\x80\x02)" + b"\x85" * 100_000 + b"."),
    "tuples that double": zipped(b"\x80\x02)" + b"2\x86" * 60 + b"."),
    "what is remembered doubles": zipped(b"\x80\x02)" + b"q\x00h\x00\x86" * 60 + b"."),
    "marks without end": zipped(b"\x80\x02" + b"(" * 1_000_000 + b"."),
    "nothing": zipped(b""),
    "two members of one name": zipped(torch_file()[:0], **{"data/0": b""}),
    "a bare pickle": pickle.dumps(_Runs()),
    "an end of a zip": b"PK\x05\x06" + bytes(18),
    "a zip64 far away": b"PK\x06\x06"
    + b"\xff" * 52
    + b"PK\x06\x07"
    + b"\xff" * 16
    + b"PK\x05\x06"
    + b"\xff" * 16
    + b"\0\0",
}


def manifest() -> dict[str, Any]:
    """A valid manifest of three files, two of which exist."""
    digest = {"size": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    return {
        "manifest": 1, "target": "openvino", "engine": "stream", "compressor": "edgeconv", "scheme": {"precision": "int8"},
        "source": {"repo_id": "org/name", "commit": "0" * 40, "model_type": "glm", "architectures": ["GlmForCausalLM"],
                   "parameters": 7, "files": {"model.safetensors": digest}, "card": {"license": "mit"}},
        "assumed": [], "notes": ["a"], "bits_per_weight": 8.1, "versions": {"openvino": "2026.4"},
        "tensors": [{"name": "a", "shape": [1, 7], "precision": "int8_asym", "group_size": -1, "bytes": 9}],
        "outputs": {"a.bin": digest, "sub/b.bin": digest, "missing.bin": digest},
    }  # fmt: skip


MANIFEST_ATTACKS = {
    f"a file called {name!r:.30}": {**manifest(), "outputs": {name: {"size": 3, "sha256": "0" * 64}}}
    for name in (
        "../x",
        "/etc/passwd",
        "a/../../x",
        "..\\x",
        "x\0y",
        "x" * 5000,
        "",
        ".",
        "sub",
        "\ud800",
        "a/" * 3000,
        "link",
    )
}
assert yaml.safe_load(RECIPE)
