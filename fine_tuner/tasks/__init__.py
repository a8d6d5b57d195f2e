"""The four tasks. Here data, model, loss and metrics meet: ``build.py`` turns settings into objects."""

from __future__ import annotations

from collections.abc import Mapping

from fine_tuner.tasks.base import TaskSpec
from fine_tuner.tasks.classification import CLASSIFICATION
from fine_tuner.tasks.multilabel import MULTILABEL
from fine_tuner.tasks.regression import REGRESSION
from fine_tuner.tasks.segmentation import SEGMENTATION

TASK_SPECS: Mapping[str, TaskSpec] = {t.name: t for t in (CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION)}
