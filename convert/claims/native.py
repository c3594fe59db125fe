"""Which fields of config.json transformers' own class of a family reads, found without importing it, which takes seconds.

The class stands in `transformers/models/*/configuration_*.py`; its fields are those that it annotates, and those of its bases.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterable
from pathlib import Path

_LEGACY = {"rope_theta", "rope_scaling"}
"""What every class with `rope_parameters` reads under transformers 4's names."""
_PARTIAL = "partial_rotary_factor"


@functools.cache
def fields(model_type: str) -> frozenset[str] | None:
    """Return the fields that a family's config class declares or asks for; None if transformers does not have the family."""
    found = _module(model_type)
    if found is None:
        return None
    path, tree = found
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    own = [node for node in classes.values() if _model_type(node) == model_type]
    names = {name for node in own for name in _declared(node, classes, path)}
    if "text_config" in names:  # old configs state its fields beside it
        texts = [node for node in classes.values() if str(_model_type(node)).endswith("_text")]
        names |= {name for node in texts for name in _declared(node, classes, path)}
    if "rope_parameters" in names:
        names |= _LEGACY
    modeling = path.with_name(path.name.replace("configuration_", "modeling_", 1))
    if not modeling.is_file() or _PARTIAL not in modeling.read_text("utf-8"):
        names.discard(_PARTIAL)
    else:
        names.add(_PARTIAL)
    return frozenset(names)


@functools.cache
def _generators() -> frozenset[str]:
    """Return the types that transformers has a causal language model for, by its own table."""
    models = _models()
    if models is None:
        return frozenset()
    tree = ast.parse((models / "auto" / "modeling_auto.py").read_text("utf-8"))
    table = next(
        line.value
        for line in tree.body
        if isinstance(line, ast.Assign) and "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES" in _targets(line)
    )
    pairs = [part for part in ast.walk(table) if isinstance(part, ast.Tuple) and len(part.elts) == 2]
    return frozenset(name for pair in pairs for name in _texts(pair.elts[:1]))


def generates(model_type: str) -> bool:
    """Tell whether transformers has a causal language model of a type, without importing it."""
    return model_type in _generators()


def _models() -> Path | None:
    spec = importlib.util.find_spec("transformers")
    return Path(spec.origin).parent / "models" if spec and spec.origin else None


def _module(model_type: str) -> tuple[Path, ast.Module] | None:
    """Return the file in which the class is defined, the likely ones first."""
    models = _models()
    if models is None:
        return None
    stem = model_type.replace("-", "_")
    likely = [models / name / f"configuration_{name}.py" for name in (stem, stem.removesuffix("_text"))]
    for path in [*likely, *sorted(models.glob("*/configuration_*.py"))]:
        if path.is_file() and f'model_type = "{model_type}"' in (text := path.read_text("utf-8")):
            return path, ast.parse(text)
    return None


def _model_type(node: ast.ClassDef) -> str | None:
    for line in node.body:
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant) and "model_type" in _targets(line):
            return str(line.value.value)
    return None


def _targets(line: ast.Assign) -> list[str]:
    return [target.id for target in line.targets if isinstance(target, ast.Name)]


def _declared(node: ast.ClassDef, classes: dict[str, ast.ClassDef], path: Path) -> set[str]:
    names = {
        line.target.id for line in node.body if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }
    for line in node.body:
        if isinstance(line, ast.Assign) and "attribute_map" in _targets(line):
            names |= _texts(ast.walk(line.value))
    names |= {name for part in ast.walk(node) for name in _asked(part)}
    for base in node.bases:
        name = base.id if isinstance(base, ast.Name) else ""
        if name in classes:
            names |= _declared(classes[name], classes, path)
        elif name not in ("", "PreTrainedConfig", "PretrainedConfig"):
            names |= _elsewhere(name, path)
    return names


def _elsewhere(name: str, path: Path) -> set[str]:
    """Return the fields of a base class of another family."""
    for other in sorted(path.parent.parent.glob("*/configuration_*.py")):
        text = other.read_text("utf-8")
        if f"\nclass {name}(" in text:
            classes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
            return _declared(classes[name], classes, other)
    return set()


def _asked(node: ast.AST) -> set[str]:
    """Return the name in `kwargs.pop("name", …)` or `kwargs.get("name", …)`."""
    if (
        not isinstance(node, ast.Call)
        or not isinstance(node.func, ast.Attribute)
        or node.func.attr not in ("pop", "get")
    ):
        return set()
    return _texts(node.args[:1]) if isinstance(node.func.value, ast.Name) else set()


def _texts(nodes: Iterable[ast.AST]) -> set[str]:
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
