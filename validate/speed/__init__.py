"""How fast a converted model runs on this machine, beside its reference: the figures that users of edge models compare."""

from .bench import TASKS, Ask, bench
from .model import Result, Row, Side, Task

__all__ = ["TASKS", "Ask", "Result", "Row", "Side", "Task", "bench"]
