"""What a trained network says of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from fine_tuner.data.images import load_image
from fine_tuner.data.transforms import build_transforms
from fine_tuner.errors import RunError
from fine_tuner.models.weights import SavedModel, load_saved_model
from fine_tuner.models.outputs import split_outputs
from fine_tuner.runs.layout import RunFolder
from fine_tuner.tasks import TASK_SPECS


class Predictor:
    """A saved network with its preprocessing, on the CPU.

    Args:
        saved: Network and metadata as read from a weights file.
        about: Where the weights come from, for the reader of the answer.
    """

    def __init__(self, saved: SavedModel, *, about: dict[str, Any]) -> None:
        self.about = about
        self._model = saved.model.eval()
        self._task = TASK_SPECS[saved.metadata["task"]]
        self._names = saved.metadata["classes"]
        self._transform = build_transforms(augment="none", train=False, task="classification", **saved.metadata["preprocessing"])

    @classmethod
    def of_run(cls, run: RunFolder) -> Predictor:
        """The best checkpoint of a run.

        Raises:
            RunError: If the run has none yet.
        """
        if not run.best_weights.exists():
            raise RunError(f"Run {run.id} has no checkpoint yet. Wait for the end of its first epoch, or stop it to keep one.")
        saved = load_saved_model(run.best_weights)
        return cls(saved, about={k: saved.metadata.get(k) for k in ("network", "step", "epoch", "metric", "value")})

    @torch.inference_mode()
    def predict(self, image: Path) -> dict[str, Any]:
        """The task's answer for one picture; see ``describe`` of the task.

        Raises:
            DataError: If the file is not a picture that can be read.
        """
        pixels, _ = self._transform(load_image(image), 0)
        logits, _ = split_outputs(self._model(pixels.unsqueeze(0)))
        return self._task.describe(logits, self._names)
