"""Reading config.json: numbers that are of their kind, what is absent and taken for granted, and what cannot be expressed."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.errors import CheckpointError

Config = Mapping[str, Any]
ACTIVATIONS = ("silu", "gelu", "gelu_pytorch_tanh")
QUICK = "quick_gelu"
"""x * sigmoid(1.702 x), which vision encoders of the CLIP kind have."""
DAMAGED = "The file is damaged or another model's; download it again."
MAX_LAYERS = 10_000
"""Far more than any model has, and few enough to list."""
_SYNONYMS = {"swish": "silu", "gelu_new": "gelu_pytorch_tanh", "gelu_fast": "gelu_pytorch_tanh"}


class UnsupportedArchitecture(Exception):  # noqa: N818 - a reason to take another engine or format, not an error
    """Why a block cannot express a checkpoint; another engine or format may still take it.

    Attributes:
        hint: what the user can do, if the reason lies in a file that can be mended.
    """

    def __init__(self, reason: str, hint: str | None = None) -> None:
        """Take the reason as a clause, and the hint as a sentence."""
        super().__init__(reason)
        self.hint = hint


def whole(value: Any, name: str) -> int:
    """Return a positive whole number of config.json. Raises CheckpointError if it is none."""
    if type(value) is not int or not 0 < value < 2**31:
        raise wrong(name, value, "a positive whole number")
    return value


def positive(value: Any, name: str) -> float:
    """Return a positive number of config.json, at most as large as float32 holds. Raises CheckpointError if it is none."""
    if type(value) not in (int, float) or not 0 < value < 3e38:
        raise wrong(name, value, "a positive number")
    return float(value)


def contradicting(what: str) -> CheckpointError:
    """Return the error for values of config.json that cannot all be true."""
    return CheckpointError(f"config.json: {what}.", DAMAGED)


def wrong(name: str, value: Any, wanted: str) -> CheckpointError:
    """Return the error for a value of config.json that is not of its kind."""
    return CheckpointError(f"config.json: {name} is {reprlib.repr(value)}, not {wanted}.", DAMAGED)


class Reader:
    """Reads config.json, remembers every value that it leaves out, and refuses what is not a number of that kind."""

    def __init__(self, config: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str = "") -> None:
        """Take the object to read, what transformers takes for absent keys, and how messages call the object ("part.")."""
        self.config = config
        self.defaults = defaults
        self.prefix = prefix
        self.assumed: dict[str, str] = {}

    def get(self, key: str) -> Any:
        """Return the value, or transformers' default for the family, which is then recorded as assumed."""
        if self.config.get(key) is not None:
            return self.config[key]
        if key not in self.defaults:
            raise CheckpointError(
                f"config.json does not state {self.prefix}{key}.", "The file is incomplete; download it again."
            )
        if key not in self.config and self.defaults[key] is not None:
            self.assumed[key] = (
                f"{self.prefix}{key} = {self.defaults[key]} (absent from config.json; transformers' default)"
            )
        return self.defaults[key]

    def size(self, key: str) -> int:
        """Return a positive whole number."""
        return whole(self.get(key), self.prefix + key)

    def layers(self, key: str = "num_hidden_layers") -> int:
        """Return the number of layers, of which there is a limit: a table of all their tensors is made."""
        count = self.size(key)
        if count > MAX_LAYERS:
            raise wrong(f"{self.prefix}{key}", count, f"at most {MAX_LAYERS:,}")
        return count

    def size_or(self, key: str, otherwise: int) -> int:
        """Return a positive whole number, or another one where neither the config nor a default states any."""
        value = self.get(key)
        return otherwise if value is None else whole(value, self.prefix + key)

    def number(self, key: str) -> float:
        """Return a positive number that is finite."""
        return positive(self.get(key), self.prefix + key)

    def activation(self, key: str = "hidden_act", known: Sequence[str] = ACTIVATIONS) -> str:
        """Return the activation's name. Raises UnsupportedArchitecture for one that is not `known` here."""
        name = str(self.get(key))
        name = _SYNONYMS.get(name, name)
        if name not in known:
            raise UnsupportedArchitecture(f"the activation {name} is not one of {', '.join(known)}")
        return name

    def refuse_windows(self) -> None:
        """Raise UnsupportedArchitecture if the config of a family without windows states one."""
        layers = self.config.get("layer_types") or []
        if not isinstance(layers, list):
            raise wrong("layer_types", layers, "a list")
        if any(kind != "full_attention" for kind in layers):
            raise UnsupportedArchitecture("some layers attend through a sliding window")
        window = self.config.get("sliding_window")
        if window is not None:
            raise UnsupportedArchitecture(f"attention through a sliding window of {window}")
