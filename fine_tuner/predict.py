"""What a trained network says of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from fine_tuner.data.images import load_image
from fine_tuner.data.transforms import build_transforms
from fine_tuner.errors import RunError
from fine_tuner.models.build import BuiltModel
from fine_tuner.models.outputs import split_outputs
from fine_tuner.models.weights import load_network
from fine_tuner.runs.layout import RunFolder
from fine_tuner.tasks import TASK_SPECS


class Predictor:
    """A saved network with its preprocessing, on the CPU.

    Args:
        built: The network.
        about: Metadata of its weights file.
    """

    def __init__(self, built: BuiltModel, about: dict[str, Any]) -> None:
        self.about = about
        self._model = built.model.eval()
        self._task = TASK_SPECS[built.task]
        self._names = about["classes"]
        preprocessing = built.preprocessing.to_dict()
        self._transform = build_transforms(augment="none", train=False, task=built.task, **preprocessing)

    @classmethod
    def of_run(cls, run: RunFolder) -> Predictor:
        """The best checkpoint of a run.

        Raises:
            RunError: If the run has none yet.
        """
        if not run.best_weights.exists():
            raise RunError(
                f"Run {run.id} has no checkpoint yet. Wait for the end of its first epoch, or stop it to keep one."
            )
        return cls(*load_network(run.best_weights))

    @torch.inference_mode()
    def predict(self, image: Path) -> dict[str, Any]:
        """The task's answer for one picture; see ``describe`` of the task.

        Raises:
            DataError: If the file is not a picture that can be read.
        """
        picture = load_image(image)
        mask = np.zeros(picture.size[::-1], np.uint8)  # moves with the picture where masks do; else not looked at
        pixels, _ = self._transform(picture, mask if self._task.name == "segmentation" else torch.tensor(0))
        logits, _ = split_outputs(self._model(pixels.unsqueeze(0)))
        return {"task": self._task.name, **self._task.describe(logits, self._names)}


def answer_text(answer: dict[str, Any]) -> str:
    """One line for a terminal."""
    numbers = answer.get("probabilities") or answer.get("shares") or answer.get("numbers") or {}
    shown = ", ".join(f"{name} {value:.4g}" for name, value in list(numbers.items())[:5])
    return f"{answer['image']}: {shown}"
