"""The tasks. Here data, model, loss and metrics meet: ``build.py`` turns settings into objects.

A fifth task is a spec in ``config/tasks.py``, a file here, and its line below.
"""

from __future__ import annotations

from collections.abc import Mapping

from fine_tuner.tasks.base import Task
from fine_tuner.tasks.classification import CLASSIFICATION
from fine_tuner.tasks.multilabel import MULTILABEL
from fine_tuner.tasks.regression import REGRESSION
from fine_tuner.tasks.segmentation import SEGMENTATION

_TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION)}
TASKS: Mapping[str, Task] = _TASKS


def add_task(task: Task) -> None:
    """Make a task trainable whose spec is registered.

    Raises:
        ValueError: If there is a task of this name.
    """
    if task.name in _TASKS:
        raise ValueError(f"task {task.name!r} is added twice")
    _TASKS[task.name] = task
