"""What is kept of a step that went wrong: its images and targets, and the first layer whose output is not finite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from fine_tuner.base.files import write_atomically, write_json
from fine_tuner.models.outputs import loss_of_outputs, split_outputs
from fine_tuner.training.loop.bad_step import BadStepError
from fine_tuner.training.loop.learner import Learner, is_empty
from fine_tuner.training.loop.micro_batches import Undo


@dataclass(kw_only=True)
class Evidence:
    """Of one step.

    Attributes:
        about: JSON-able: step, rates, loss scale, layer, ...
        batch: ``images`` and what the targets are made of, on the CPU.
        indices: Of its images in the training split.
        blamed: Those of ``indices`` that are not finite, or whose loss alone is not; empty if it takes several.
    """

    about: dict[str, Any]
    batch: dict[str, Tensor]
    indices: list[int]
    blamed: list[int]

    @property
    def sentence(self) -> str:
        """Where it begins, for a person."""
        if self.about["non_finite_images"]:
            return f"Not finite already: image {', '.join(map(str, self.about['non_finite_images']))} of the batch."
        if self.about["first_layer"]:
            return f"The first layer with an output that is not finite is {self.about['first_layer']}."
        if self.about["first_gradient"]:
            return f"Every layer's output is finite; the gradient of {self.about['first_gradient']} is not."
        return "A replay of the step came out finite."

    def write(self, folder: Path) -> None:
        """``batch.safetensors`` and ``about.json`` in ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "batch.safetensors", save(self.batch))
        write_json(folder / "about.json", self.about)


def collect(bad_step: BadStepError, learner: Learner, *, weights_of_step: int) -> Evidence:
    """Load the step's images again and run them with the present weights; the learner stays as it is.

    Args:
        bad_step: What went wrong.
        learner: What trains.
        weights_of_step: Steps that made its present weights.
    """
    place = bad_step.place
    steps = range(place.first_micro_step, place.first_micro_step + place.micro_steps)
    learner.batches.prepare(steps.start)
    loaded = zip(steps, islice(learner.batches.starting_at(steps.start), len(steps)), strict=True)
    batches = [batch for number, batch in loaded if not is_empty(learner.batches.part(number))]
    indices = [i for number in steps for i in learner.batches.indices(number)[learner.batches.part(number)]]
    undo = Undo(learner.model, learner.device)
    undo.remember()
    first_layer, first_gradient = _replay(learner, batches)
    undo.take_back()
    bad, suspects = _suspects(learner, batches)
    undo.take_back()
    about = {
        "step": place.step,
        "epoch": place.epoch,
        "what": bad_step.what,
        "value": str(bad_step.value),
        "rates": dict(place.lrs),
        "precision": learner.precision.dtype,
        "loss_scale": learner.loss_scale.scale,
        "weights_of_step": weights_of_step,
        "first_layer": first_layer,
        "first_gradient": first_gradient,
        "images": indices,
        "non_finite_images": bad,
    }
    blamed = sorted({indices[i] for i in suspects if i < len(indices)})
    return _joined(
        learner.ranks.collect(
            Evidence(about=about | {"blamed": blamed}, batch=_tensors(batches), indices=indices, blamed=blamed)
        )
    )


def _joined(found: list[Evidence]) -> Evidence:
    """What all ranks found, each in its part of the step."""
    if len(found) == 1:
        return found[0]
    before = [sum(len(one.indices) for one in found[:rank]) for rank in range(len(found))]
    blamed = sorted({index for one in found for index in one.blamed})
    indices = [index for one in found for index in one.indices]
    together = {
        "first_layer": next((one.about["first_layer"] for one in found if one.about["first_layer"]), None),
        "first_gradient": next((one.about["first_gradient"] for one in found if one.about["first_gradient"]), None),
        "non_finite_images": [
            start + place for start, one in zip(before, found, strict=True) for place in one.about["non_finite_images"]
        ],
        "images": indices,
        "blamed": blamed,
    }
    tensors = [one.batch for one in found if one.batch]
    names = [name for name in tensors[0] if all(name in batch for batch in tensors)]
    batch = {name: torch.cat([batch[name] for batch in tensors]) for name in names}
    return Evidence(about=found[0].about | together, batch=batch, indices=indices, blamed=blamed)


def _replay(learner: Learner, batches: list[Any]) -> tuple[str | None, str | None]:
    """Names of the first layer with a non-finite output and of the first parameter with a non-finite gradient."""
    found: list[str] = []
    learner.train_mode()
    learner.optimizer.zero_grad(set_to_none=True)
    with _watched(learner.model, found):
        for images, targets in learner.micro_batches.of(batches, "train"):
            loss = learner.loss_of(images.to(learner.device), targets.to(learner.device))
            learner.precision.backward(loss)
    named = learner.model.named_parameters()
    gradient = next((n for n, p in named if p.grad is not None and not _is_finite(p.grad)), None)
    learner.optimizer.zero_grad(set_to_none=True)
    return (found[0] if found else None), gradient


@contextmanager
def _watched(model: nn.Module, found: list[str]) -> Iterator[None]:
    """Inside, the first innermost layer whose output is not finite is put into ``found``, with its type."""

    def watch(name: str) -> Any:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if not found and isinstance(output, Tensor) and not _is_finite(output):
                found.append(f"{name} ({type(module).__name__})")

        return look

    layers = [(n, m) for n, m in model.named_modules() if next(m.children(), None) is None]
    hooks = [module.register_forward_hook(watch(name)) for name, module in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _suspects(learner: Learner, batches: list[Any]) -> tuple[list[int], list[int]]:
    """Places in the step of images that are not finite themselves, and of those that are to blame alone."""
    bad, suspects, place = [], [], 0
    learner.model.eval()
    device = learner.device
    for images, targets in learner.micro_batches.of(batches, "train"):
        images, targets = images.to(device), targets.to(device)
        with learner.precision.autocast():
            logits, _ = split_outputs(learner.network(images))
        for number in range(len(images)):
            one = slice(number, number + 1)
            if not all(_is_finite(t) for t in (images[one], *_parts(targets[one]).values())):
                bad.append(place)
                suspects.append(place)
            elif not _is_finite(loss_of_outputs(logits[one], targets[one], learner.loss_fn)):
                suspects.append(place)
            place += 1
    return bad, suspects if len(suspects) < place else bad


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())


def _parts(targets: Any) -> dict[str, Tensor]:
    """Targets as named tensors: one, or those of mixed images."""
    if isinstance(targets, Tensor):
        return {"targets": targets}
    return {"targets": targets.first, "second_targets": targets.second, "share": torch.tensor([targets.lam])}


def _tensors(batches: list[Any]) -> dict[str, Tensor]:
    parts = [{"images": images, **_parts(targets)} for images, targets in batches]
    if not parts:
        return {}
    names = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: torch.cat([part[name] for part in parts]).cpu().contiguous() for name in names}
