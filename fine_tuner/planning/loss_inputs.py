"""What a loss of the user's own can be given, shown on the first images of the data, before there is any code."""

from __future__ import annotations

from typing import Any

import torch

from fine_tuner.config.io import to_tree
from fine_tuner.config.settings import Settings
from fine_tuner.losses.check.given import example_forms
from fine_tuner.tasks.loss_batch import first_batch


def loss_inputs(settings: Settings) -> dict[str, Any]:
    """``{"task", "forms"}`` with a form as in ``example_forms``, in the order in which ``auto`` tries them.

    Raises:
        InputError: As training would.
    """
    batch = first_batch(to_tree(settings))
    with torch.no_grad():
        output = batch.model.eval()(batch.images).float()
    return {"task": settings.task, "forms": example_forms(batch, output)}


def inputs_text(result: dict[str, Any]) -> str:
    """Lines for a terminal."""
    lines = []
    for form in result["forms"]:
        lines += [f"loss.inputs={form['inputs']}: {form['name']}", f"  output {form['output']}"]
        lines.append(f"  target {form['target']}")
    return "\n".join(lines)
