"""The graph of an IR: OpenVINO reads its XML, then edgeconv looks for weights, windows and options in it."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from . import mutate
from .mutate import NUMBERS, SHARE, Change
from .targets import Target

_VALUE = re.compile(rb'="([^"]*)"')
_LINKS = 3000
"""Of the attacks: a chain so long, or with so many doublings of its paths."""


class Graph(Target):
    """An .xml beside a sound .bin, read as `inspect` and `validate` read it."""

    name = "ir"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._sound, weights = seed()
        self.attacks = MappingProxyType(attacks(self._sound))
        (self.folder / "openvino_model.bin").write_bytes(weights)

    def made(self, which: int, drawn: list[Change]) -> bytes:
        """Most changes are to a value between quotes: a number, or what another attribute says."""
        text, rest = self._sound, []
        for kind, place, pick in drawn:
            values = list(_VALUE.finditer(text))
            if which % 4 == 0 or kind >= 8 or not values:
                rest.append((kind, place, pick))
                continue
            at = values[place * len(values) // SHARE]
            other = values[pick * len(values) // SHARE][1] if kind % 2 else b"%d" % NUMBERS[pick % len(NUMBERS)]
            text = text[: at.start(1)] + other + text[at.end(1) :]
        return mutate.binary(text, rest)

    def read(self, content: bytes) -> None:
        from edgeconv.core.graph_file import read_graph
        from edgeconv.runtimes import irs
        from edgeconv.validate import histogram
        from edgeconv.validate.checks import fields, windows
        from edgeconv.validate.checks.weights import Findings
        from edgeconv.validate.weights import equivalent, openvino_find

        xml = self.folder / "openvino_model.xml"
        xml.write_bytes(content)
        irs.stateful(xml)
        model = read_graph(xml)
        equivalent.find([model])
        for weight in openvino_find.find(model):
            if not weight.unreadable and weight.size < 1 << 16:
                weight.whole()
        found = Findings()
        fields.runtime_options(model, found)
        windows.of_ir(model)
        histogram.of_ir(xml)


@lru_cache(1)
def seed() -> tuple[bytes, bytes]:
    """Return .xml and .bin of a small sound graph: a table, a weight in int4 with groups, a window, a state, options."""
    import openvino as ov
    from openvino import opset13 as ops

    ids = ops.parameter([-1, -1], np.int64, name="input_ids")
    table = ops.constant(np.arange(64, dtype=np.float32).reshape(8, 8), name="model.embed_tokens.weight")
    hidden = ops.gather(table, ids, ops.constant(0, np.int64))
    low = ops.constant(ov.Tensor(np.arange(16, dtype=np.uint8), [8, 2, 2], ov.Type.u4), name="model.w.weight")
    zero = ops.convert(ops.constant(np.ones((8, 2, 1), np.uint8), name="model.w.weight/zero_point"), np.float16)
    scale = ops.constant(np.ones((8, 2, 1), np.float16), name="model.w.weight/scale")
    weight = ops.multiply(ops.subtract(ops.convert(low, np.float16), zero), scale)
    weight = ops.convert(ops.reshape(weight, ops.constant([8, 4], np.int64), special_zero=False), np.float32)
    weight = ops.concat([weight, weight], 1)
    equivalent = ops.multiply(hidden, ops.constant(np.full((1, 1, 8), 2, np.float32)), name="model.w/awq_mul")
    product = ops.matmul(equivalent, weight, transpose_a=False, transpose_b=True)
    plain = ops.constant(np.ones((8, 8), np.float32), name="model.v.weight")
    product = ops.matmul(product, plain, transpose_a=False, transpose_b=True)
    kept = ops.read_value(product, "past.0.key", ov.Type.f32, ov.PartialShape([-1, -1, 8]))
    seen = ops.greater(ops.subtract(ids, ops.constant(7, np.int64)), ops.constant(0, np.int64))
    logits = ops.select(ops.unsqueeze(seen, ops.constant(-1, np.int64)), kept, product)
    model = ov.Model([ops.result(logits)], [ops.assign(kept, "past.0.key")], [ids], "Model0")
    for option, value in (("KV_CACHE_PRECISION", "f16"), ("ACTIVATIONS_SCALE_FACTOR", "8.0")):
        model.set_rt_info(value, ["runtime_options", option])
    model.set_rt_info("True", ["nncf", "weight_compression", "awq"])
    return _saved(model)


def _saved(model: object) -> tuple[bytes, bytes]:
    import tempfile

    import openvino as ov

    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder, "openvino_model.xml")
        ov.save_model(model, xml, compress_to_fp16=False)
        return xml.read_bytes(), xml.with_suffix(".bin").read_bytes()


def attacks(sound: bytes) -> dict[str, bytes]:
    """Return graphs that OpenVINO's own reader does not survive, or does not refuse in words."""
    bomb = b"<!DOCTYPE net [%s]>" % b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 9) for n in range(1, 9))
    return {
        "a state without a name": sound.replace(b"variable_id=", b"variable_ie="),
        "an operation whose name is not a text": sound.replace(b'type="MatMul"', b'type="Mat\xfful"'),
        "an operation of a foreign name": sound.replace(b'type="MatMul"', b'type="Mat\xc3\xbcul"'),
        "entities": sound.replace(b"<net ", bomb + b"<net "),
        "deep elements": sound.replace(b"<rt_info>", b"<rt_info>" + b"<a>" * _LINKS, 1),
        "no end": sound[: len(sound) // 2],
        "nothing": b"",
    }


TANGLES = ("casts", "products", "divisions", "windows")


def tangled(kind: str) -> tuple[bytes, bytes]:
    """Return .xml and .bin of a graph that OpenVINO reads: a long chain, or paths that double at every step."""
    import openvino as ov
    from openvino import opset13 as ops

    given = ops.parameter([8, 8], np.float32, name="x")
    weight = ops.constant(np.ones((8, 8), np.float32), name="model.w.weight")
    node: Any = {"divisions": given, "windows": ops.constant(np.full((1, 1), 7, np.int64))}.get(kind, weight)
    for step in range(_LINKS):
        if kind == "casts":
            node = ops.convert(node, (np.float16, np.float32)[step % 2])
        elif kind == "products":
            node = ops.multiply(node, node)
        elif kind == "divisions":
            node = ops.multiply(node, ops.constant(np.ones(8, np.float32)), name=f"{step}/awq_mul")
        else:
            node = ops.unsqueeze(ops.squeeze(node, ops.constant(0, np.int64)), ops.constant(0, np.int64))
    if kind == "divisions":
        node = ops.matmul(node, weight, False, False)
    elif kind == "windows":
        node = ops.greater(ops.add(node, ops.convert(given, np.int64)), ops.constant(0, np.int64))
    else:
        node = ops.matmul(given, node, False, False)
    model = ov.Model([ops.result(node)], [given], "Model0")
    model.set_rt_info("True", ["nncf", "weight_compression", "awq"])
    return _saved(model)
