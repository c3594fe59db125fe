"""How fast a converted model runs on this machine, beside its reference: the figures that users of edge models compare."""

from .model import Result, Row, Side, Task
from .run import TASKS, Ask, bench

__all__ = ["TASKS", "Ask", "Result", "Row", "Side", "Task", "bench"]
