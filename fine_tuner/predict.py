"""What a trained network says of a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from fine_tuner.base.errors import InputError
from fine_tuner.config.tasks import TargetKind
from fine_tuner.data.files.images import load_image
from fine_tuner.data.loading.batches import load_input
from fine_tuner.data.loading.transforms import build_transforms
from fine_tuner.data.mask_coding import IGNORE_INDEX, lay_over, legend
from fine_tuner.models.build import BuiltModel
from fine_tuner.models.grad_cam import grad_cam, write_heat
from fine_tuner.models.outputs import split_outputs
from fine_tuner.models.saved import load_network
from fine_tuner.runs.answering import Answering, read_answering
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import best_weights
from fine_tuner.tasks import TASKS

OVERLAY_PX = 1024


class Predictor:
    """A saved network with its preprocessing, on the CPU.

    Args:
        built: The network.
        about: Metadata of its weights file.
        answering: Temperature and thresholds of its answers.
    """

    def __init__(self, built: BuiltModel, about: dict[str, Any], answering: Answering | None = None) -> None:
        self.about = about
        self.answering = answering or Answering()
        self._model = built.model.eval()
        self._task = TASKS[built.task]
        self._names = about["classes"]
        preprocessing = built.preprocessing.to_dict()
        self._transform = build_transforms(augment="none", train=False, task=built.task, **preprocessing)

    @classmethod
    def of_run(cls, run: RunFolder, *, is_raw: bool = False) -> Predictor:
        """The best checkpoint of a run, answering as was chosen for it; as trained if ``is_raw``.

        Raises:
            RunError: If the run has none yet.
        """
        return cls(*load_network(best_weights(run)), None if is_raw else read_answering(run))

    @torch.inference_mode()
    def predict(self, image: Path, *, overlay: Path | None = None) -> dict[str, Any]:
        """The task's answer for one picture; see ``describe`` of the task.

        Args:
            image: The file.
            overlay: For segmentation: where to write the picture, as a PNG, with the classes in colours over it. The
                answer then has ``overlay``, the file, and ``legend``.

        Raises:
            DataError: If the file is not a picture that can be read.
        """
        if self._task.spec.target is not TargetKind.MASK:
            logits, _ = self._logits(image, lambda size: None)
            return {"task": self._task.name, **self._answer(logits)}
        logits, inside = self._logits(image, lambda size: np.zeros(size[::-1], np.uint8))
        logits = logits[..., *_extent(inside != IGNORE_INDEX)]  # what was padded to a square is no part of the picture
        answer = {"task": self._task.name, **self._task.describe(logits, self._names)}
        if overlay is not None:
            _write_overlay(load_image(image, pixel_range=self._transform.pixel_range), logits, overlay)
            answer |= {"overlay": str(overlay), "legend": legend(self._names)}
        return answer

    def _answer(self, logits: torch.Tensor) -> dict[str, Any]:
        """The task's answer, at the temperature and from the thresholds that were chosen."""
        kind, chosen = self._task.spec.target, self.answering
        if kind is TargetKind.CLASS and chosen.temperature != 1:
            return {**self._task.describe(logits / chosen.temperature, self._names), "temperature": chosen.temperature}
        answer = self._task.describe(logits, self._names)
        if kind is TargetKind.LABELS and chosen.thresholds:
            said = [name for name, p in answer["probabilities"].items() if p >= chosen.thresholds.get(name, 0.5)]
            return {**answer, "labels": said, "thresholds": dict(chosen.thresholds)}
        return answer

    def looked(self, image: Path, heat: Path, *, name: str = "") -> dict[str, Any]:
        """Write where the network looked, to lay over the part of the picture that it sees.

        Args:
            image: The file.
            heat: The PNG to write; beside it ``seen.png``, the picture as the network sees it.
            name: Of a class, label or number; empty: the one that it says.

        Returns:
            ``name``, ``names`` that can be asked for, ``heat`` and ``seen``.

        Raises:
            DataError: If the file is not a picture that can be read.
            InputError: If there is no such name, or the network has no map, or marks pixels itself.
        """
        if self._task.spec.target is TargetKind.MASK:
            raise InputError("This network marks each pixel: what it says is where it looked.")
        if name and name not in self._names:
            raise InputError(f"There is no {name!r}. The network tells {', '.join(self._names[:20])}.")
        pixels, _ = load_input(image, self._transform, lambda size: None)
        with torch.inference_mode():
            logits, _ = split_outputs(self._model(pixels.unsqueeze(0)))
        said = self._names.index(name) if name else int(logits[0].argmax())
        write_heat(grad_cam(self._model, pixels.unsqueeze(0), said), heat)
        seen = heat.with_name("seen.png")
        Image.fromarray(self._transform.denormalise(pixels).permute(1, 2, 0).numpy()).save(seen)
        return {"name": self._names[said], "names": list(self._names), "heat": str(heat), "seen": str(seen)}

    def _logits(self, image: Path, target_for: Callable[[tuple[int, int]], Any]) -> tuple[torch.Tensor, Any]:
        """Output ``(1, ...)`` for the picture as evaluation sees it, and the target as it came along."""
        pixels, target = load_input(image, self._transform, target_for)
        logits, _ = split_outputs(self._model(pixels.unsqueeze(0)))
        return logits, target


def _extent(inside: torch.Tensor) -> tuple[slice, slice]:
    """Rows and columns of the rectangle that is True in ``inside`` ``(H, W)``."""
    rows, columns = inside.any(1).nonzero().flatten(), inside.any(0).nonzero().flatten()
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _write_overlay(picture: Image.Image, logits: torch.Tensor, path: Path) -> None:
    """The picture, at most OVERLAY_PX on a side, under the most probable class of each pixel; ``(1, K, h, w)``."""
    shown = picture.copy()
    shown.thumbnail((OVERLAY_PX, OVERLAY_PX))
    classes = F.interpolate(logits.float(), shown.size[::-1], mode="bilinear").argmax(1)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(lay_over(np.asarray(shown), classes.numpy().astype(np.uint8))).save(path)


def answer_text(answer: dict[str, Any]) -> str:
    """One line for a terminal."""
    numbers = answer.get("probabilities") or answer.get("shares") or answer.get("numbers") or {}
    shown = ", ".join(f"{name} {value:.4g}" for name, value in list(numbers.items())[:5])
    return f"{answer['image']}: {shown}"
