"""The machine of pickle, for the few instructions that a dictionary of tensors needs.

A pickle is a program for a stack machine, which may call any function. This one looks up no global and calls nothing; whatever
else the program asks for is refused.

Sources: `torch/_utils.py` (`_rebuild_tensor_v2`), CPython's `Lib/pickletools.py`.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

STORAGES = {
    "torch DoubleStorage": ("F64", 8), "torch FloatStorage": ("F32", 4), "torch HalfStorage": ("F16", 2),
    "torch BFloat16Storage": ("BF16", 2), "torch LongStorage": ("I64", 8), "torch IntStorage": ("I32", 4),
    "torch ShortStorage": ("I16", 2), "torch CharStorage": ("I8", 1), "torch ByteStorage": ("U8", 1),
    "torch BoolStorage": ("BOOL", 1),
}  # fmt: skip
"""Global → safetensors' name of the type, and bytes of an element."""
_REBUILD, _DICT = "torch._utils _rebuild_tensor_v2", "collections OrderedDict"


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class Storage:
    """A member that holds numbers: its global, its name, and how many there are."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class PickledTensor:
    """One tensor as the program makes it: numbers of its storage, counted from `offset`."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_MARK = object()


class Foreign(Exception):  # noqa: N818 - what was found, not yet an error
    """Something in the pickle that a dictionary of tensors does not need."""


def run(pickle: bytes) -> dict[str, Any]:
    """Return the dictionary that a pickle makes, of `PickledTensor` where all is well.

    Raises:
        Foreign: it needs more than this machine has.
        ValueError, IndexError, KeyError, TypeError, AttributeError, StopIteration: it is damaged.
    """
    return _Machine().run(pickle)


class _Machine:
    """The stack machine of pickle, less everything that looks up, calls or builds other things."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, pickle: bytes) -> dict[str, Any]:
        for opcode, argument, _ in pickletools.genops(pickle):
            if opcode.name == "STOP":
                break
            handle = _INSTRUCTIONS.get(opcode.name)
            if handle is None:
                raise Foreign(f"the instruction {opcode.name}")
            handle(self, argument)
        (table,) = self._stack
        if not isinstance(table, dict):
            raise Foreign("it is not a dictionary")
        return table

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def put(self, at: int | None) -> None:
        self._memo[len(self._memo) if at is None else at] = self._stack[-1]

    def get(self, at: int) -> None:
        self.push(self._memo[at])

    def look_up(self, name: str) -> None:
        if name not in (_REBUILD, _DICT, *STORAGES):
            raise Foreign(f"the global {name.replace(' ', '.')}")
        self.push(_Global(name))

    def stack_global(self, _: Any) -> None:
        module, name = self.pop(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a global without a name")  # noqa: TRY004 - damaged data, not a wrong call
        self.look_up(f"{module} {name}")

    def pop(self, count: int) -> list[Any]:
        if len(self._stack) < count or _MARK in self._stack[len(self._stack) - count :]:
            raise ValueError("the stack is empty")
        taken = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return taken

    def pop_mark(self) -> list[Any]:
        at = next(i for i in range(len(self._stack) - 1, -1, -1) if self._stack[i] is _MARK)
        taken = self._stack[at + 1 :]
        del self._stack[at:]
        return taken

    def set_items(self, pairs: list[Any]) -> None:
        table = self._stack[-1]
        if not isinstance(table, dict) or not all(isinstance(key, str) for key in pairs[::2]):
            raise Foreign("something else than names and values")
        table.update(zip(pairs[::2], pairs[1::2], strict=True))

    def persistent(self, _: Any) -> None:
        (identity,) = self.pop(1)
        kind, storage, key, _location, count = identity
        if kind != "storage" or not isinstance(storage, _Global) or storage.name not in STORAGES:
            raise Foreign("a reference to something that is not a storage of numbers")
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise ValueError("a reference that is none to a storage")
        self.push(Storage(storage.name, key, count))

    def reduce(self, _: Any) -> None:
        called, arguments = self.pop(2)
        if called == _Global(_DICT) and arguments == ():
            self.push({})
        elif called == _Global(_REBUILD):
            storage, offset, shape, strides = arguments[:4]
            numbers = (offset, *shape, *strides)
            if not isinstance(storage, Storage) or not all(type(number) is int for number in numbers):
                raise ValueError("a tensor without a storage")
            if len(shape) != len(strides):
                raise ValueError("a tensor with more sizes than strides")
            self.push(PickledTensor(storage, offset, tuple(shape), tuple(strides)))
        else:
            raise Foreign("a call that makes no tensor")

    def build(self, _: Any) -> None:
        """`_metadata` of a state dictionary; nothing here needs it."""
        table, state = self.pop(2)
        if not isinstance(table, dict) or not isinstance(state, dict) or set(state) - {"_metadata"}:
            raise Foreign("the state of an object")
        self.push(table)


_PUSHED = (
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
)  # fmt: skip
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.push(_MARK),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.look_up,
    "STACK_GLOBAL": _Machine.stack_global,
    "BINPERSID": _Machine.persistent,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    **dict.fromkeys(_PUSHED, _Machine.push),
}
