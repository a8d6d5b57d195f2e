"""The tasks. Here data, model, loss and metrics meet: ``build.py`` turns settings into objects.

A fifth task is a spec in ``config/tasks.py`` and a file of its name here, which holds its ``TASK``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from fine_tuner.config.tasks import BUILT_IN
from fine_tuner.tasks.base import Task

_TASKS: dict[str, Task] = {name: import_module(f"{__name__}.{name}").TASK for name in BUILT_IN}
TASKS: Mapping[str, Task] = _TASKS


def add_task(task: Task) -> None:
    """Make a task trainable whose spec is registered.

    Raises:
        ValueError: If there is a task of this name.
    """
    if task.name in _TASKS:
        raise ValueError(f"task {task.name!r} is added twice")
    _TASKS[task.name] = task
