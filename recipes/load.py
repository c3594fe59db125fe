"""Read a recipe, and say file and line of whatever is wrong in it."""

from __future__ import annotations

import difflib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from ..core import limits
from ..core.errors import UsageError
from .model import Recipe, Target


def shipped() -> dict[str, Path]:
    """Return the recipes that come with edgeconv, by name."""
    folder = Path(str(files(__package__)))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(name: str) -> Path:
    """Return the file of a recipe, given its path or a shipped one's name.

    Raises:
        UsageError: there is none.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = shipped()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, 1)
    hint = f"Did you mean {near[0]}?" if near else "`edgeconv recipes ls` lists those that are there."
    raise UsageError(f"There is no recipe {name}.", hint)


def begin(model: str, name: str) -> str:
    """Return the text of a recipe to begin with."""
    return f"""\
recipe: 1
name: {json.dumps(name)}
source:
  model: {json.dumps(model)}
  revision: null  # a commit makes every run the same
targets:
  openvino-int4:
    format: openvino
    precision: int4
    budget: {{}}  # replaces limits, e.g. {{mean_kl: 0.05, top1: 0.92}}
    # publish:
    #   repo: your-name/{name}-openvino-int4
  gguf-q4_k_m:
    format: gguf
    type: q4_k_m
"""


def load(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        UsageError: it cannot be read, is not YAML, or holds what the schema does not know; with file and line.
    """
    root = _compose(path)
    try:
        return Recipe.model_validate(_plain(root, path, set()))
    except ValidationError as error:
        raise _explain(error, path, root) from error


def _compose(path: Path) -> yaml.Node:
    try:
        if path.stat().st_size > limits.RECIPE:
            raise UsageError(
                f"{path} is larger than {limits.RECIPE} bytes; that is not a recipe.", "Give a recipe's file."
            )
        text = limits.read_text(path, limits.RECIPE, UsageError)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.", "Give a recipe's file.") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise UsageError(
            f"{path}{where} is not YAML: {getattr(error, 'problem', error)}.", "Correct the line."
        ) from error
    if not isinstance(root, yaml.MappingNode):
        raise UsageError(
            f"{path} is not a recipe: it holds no fields.", "`edgeconv recipes new` writes one to begin with."
        )
    return root


def _plain(node: yaml.Node, path: Path, seen: set[int]) -> Any:
    """Turn a node into Python's values; aliases, which can blow up, and doubled keys are refused: a recipe needs neither."""
    if id(node) in seen:
        raise UsageError(f"{_at(path, node)}: an alias.", "Write the value out where it is needed.")
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, path)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise UsageError(f"{_at(path, key)}: a field's name is not a text.", "Write `name: value`.")
            _require_unicode(key, path)
            if key.value in found:
                raise UsageError(f"{_at(path, key)}: {key.value} is there twice.", "Leave one of them out.")
            found[key.value] = _plain(value, path, seen)
        return found
    return [_plain(item, path, seen) for item in node.value]  # a SequenceNode: YAML has no fourth kind


def _require_unicode(node: yaml.ScalarNode, path: Path) -> None:
    if any("\ud800" <= character <= "\udfff" for character in node.value):  # YAML's \u takes half of a pair
        raise UsageError(f"{_at(path, node)}: {node.value!a:.100} is not Unicode.", "Write the character itself.")


def _scalar(node: yaml.ScalarNode, path: Path) -> Any:
    _require_unicode(node, path)
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    except Exception as error:  # PyYAML's readers of tagged values (!!int, !!bool) raise whatever they meet
        raise UsageError(f"{_at(path, node)}: {node.value!r:.100} cannot be read.", "Put it into quotes.") from error
    finally:
        loader.dispose()


def _explain(error: ValidationError, path: Path, root: yaml.Node) -> UsageError:
    first = error.errors()[0]
    # the discriminator's value stands in the location behind the target's name
    place = [
        part for i, part in enumerate(first["loc"]) if not (i == 2 and first["loc"][0] == "targets" and part in TARGETS)
    ]
    where = _at(path, _locate(root, place))
    dotted = ".".join(map(str, place)) or "the file"
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), _fields(first["loc"]), 1)
        return UsageError(
            f"{where}: there is no field {dotted}.", f"Did you mean {near[0]}?" if near else "Leave it out."
        )
    return UsageError(f"{where}: {dotted}: {first['msg']}.", "docs/recipe.schema.json describes every field.")


TARGETS = {get_args(kind.model_fields["format"].annotation)[0]: kind for kind in get_args(get_args(Target)[0])}
"""By the name of the format: the model of a recipe's target."""


def _fields(location: tuple[int | str, ...]) -> list[str]:
    """Name the fields that there are where one was not known."""
    model: Any = Recipe
    for part in location[:-1]:
        if part in TARGETS:
            model = TARGETS[str(part)]
        elif hasattr(model, "model_fields") and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            model = next(
                (t for t in (annotation, *getattr(annotation, "__args__", ())) if hasattr(t, "model_fields")), model
            )
    return list(model.model_fields)


def _locate(root: yaml.Node, place: list[int | str]) -> yaml.Node:
    """Return the node of a place, or the last one on the way that exists."""
    node = root
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if pair is None:
                return node
            key, node = pair
            if "[key]" in place and part == place[-2]:
                return key
            if part == place[-1]:
                return key  # a field is found by its name, not by the value's first line
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
    return node


def _at(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"
