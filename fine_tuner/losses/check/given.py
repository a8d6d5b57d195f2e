"""What a person is shown of a loss: what each form gives its code of this data, and its values for three answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from fine_tuner.config.sections.loss_inputs import forms_of
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.losses.adapt import Adaptation
from fine_tuner.losses.check.batch import CheckBatch, PreparedBatch
from fine_tuner.losses.code import LossCode, LossFinding
from fine_tuner.losses.custom import LoadedLoss
from fine_tuner.losses.pasted import import_of, names_to_import
from fine_tuner.losses.trials.attempt import attempt
from fine_tuner.losses.trials.meaning import LossUse, Settled
from fine_tuner.losses.trials.synthetic import SIDE_PX, sure_output, synthetic_targets

SHOWN = 5
ANSWER_LOGIT = 4.0  # 0.9997 and 0.0003 of two classes


def describe_inputs(settled: Settled, use: LossUse, prepared: PreparedBatch) -> dict[str, Any]:
    """The form that was chosen, why, and every form with an example of this data.

    Returns:
        ``asked``, ``used`` and ``ignored`` (words of the settings), ``sentence``, and ``forms``: for each ``inputs``,
        ``name``, ``output`` and ``target`` (shape and values of the first image), ``has_meaning`` (None: not tried)
        and ``why``.
    """
    used, tried = settled.loaded.module.adaptation, {c.inputs: c for c in settled.considered}
    batch = dataclasses.replace(prepared.batch, targets=prepared.targets)
    forms = []
    for example in example_forms(batch, prepared.output, ignored=used.ignored):
        considered = tried.get(example["inputs"])
        about_form = {"has_meaning": None, "why": ""}
        if considered is not None:
            about_form = {"has_meaning": considered.has_meaning, "why": considered.why}
        forms.append(example | about_form)
    about = {"asked": use.inputs, "used": used.inputs, "ignored": used.ignored}
    return about | {"sentence": settled.reason, "forms": forms}


def example_forms(batch: CheckBatch, output: Tensor, *, ignored: str = "given") -> list[dict[str, str]]:
    """Every form that a loss can be given of this data: ``inputs``, ``name``, and examples ``output`` and ``target``.

    Args:
        batch: Images and targets.
        output: Of the network for them.
        ignored: What becomes of pixels to ignore.
    """
    kind, examples = target_kind(batch.task), []
    for inputs, name in forms_of(batch.task, batch.num_outputs).items():
        adaptation = Adaptation(kind=kind, inputs=inputs, ignored=ignored, ignore_index=batch.ignore_index)
        targets = batch.targets
        if ignored == "given" and not adaptation.keeps_targets and kind is TargetKind.MASK:
            targets = torch.where(targets == batch.ignore_index, 0, targets)  # no class of its own among one-hot ones
        given, wanted = adaptation(output.detach(), targets)
        examples.append({"inputs": inputs, "name": name, "output": _shown(given), "target": _shown(wanted)})
    return examples


def _shown(tensor: Tensor) -> str:
    """``(4, 3, 32, 32) float32: 0.12, -0.53, 1.1``: shape, type, and the values of the first image's first place."""
    first = tensor[:1]
    while first.ndim > 2:
        first = first[..., 0]
    values = ", ".join(f"{v:.3g}" for v in first.flatten()[:SHOWN].tolist())
    more = ", ..." if first.numel() > SHOWN else ""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}: {values}{more}"


def imported_findings(code: LossCode) -> list[LossFinding]:
    """A word about the names that were imported for code that comes without its imports."""
    names = names_to_import(code.text)
    if not names:
        return []
    what = f"the code uses {', '.join(names)} without an import, so that is done for it"
    return [code.finding("note", "imported", what, f"Elsewhere it needs: {'; '.join(map(import_of, names))}.")]


def meaningless_findings(settled: Settled) -> list[LossFinding]:
    """The error that no form has a meaning, of code with which nothing else is wrong."""
    if not settled.considered or any(c.has_meaning for c in settled.considered):
        return []
    code, used = settled.loaded.code, settled.loaded.module.adaptation.inputs
    nearest = next((c for c in settled.considered if c.inputs == used), settled.considered[0])
    what = f"no form of output and target has a meaning for this code: with {nearest.name} it {nearest.why}"
    remedy = "It should fall all the way from wrong to right answers; or choose what the code is given (loss.inputs)."
    return [code.finding("error", "no_meaning", what, remedy, code.last_return(settled.loaded.entry))]


def settled_findings(settled: Settled, use: LossUse) -> list[LossFinding]:
    """What is worth a word about pixels to ignore."""
    adaptation, code = settled.loaded.module.adaptation, settled.loaded.code
    if adaptation.kind is not TargetKind.MASK or adaptation.ignored == "given":
        return []
    if adaptation.ignored == "left_out":
        what = (
            f"pixels to ignore are left out: where there are any, the code gets the N others {_column(adaptation, use)}"
        )
    else:
        what = "pixels to ignore stay in place as class 0, rightly answered, since the code looks at whole images"
    return [code.finding("note", "ignored", what, "Choose another way under 'Pixels to ignore' (loss.ignored).")]


def _column(adaptation: Adaptation, use: LossUse) -> str:
    """In which shapes the code gets the pixels that count where one is left out."""
    count = 2 * use.num_outputs + 1  # no other side is as long
    targets = torch.zeros(1, 1, count + 1, dtype=torch.int64)
    targets[..., -1] = use.ignore_index
    pair = adaptation(torch.zeros(1, use.num_outputs, 1, count + 1), targets)
    output, target = (f"({', '.join('N' if n == count else str(n) for n in tensor.shape)})" for tensor in pair)
    return f"as one column, output {output} and target {target}"


def answers(loaded: LoadedLoss, task: str, num_outputs: int, device: str) -> dict[str, float | None]:
    """Values of a loss where every answer of a small batch is right, every second one, and none.

    Right and wrong answers are sure ones: logits of ``ANSWER_LOGIT``. Numbers that are wrong are wrong by 1.
    """
    rng = torch.Generator().manual_seed(7)
    target = synthetic_targets(task, num_outputs, batch=max(8, 2 * num_outputs), size=SIDE_PX, rng=rng)
    about = {"task": task, "num_outputs": num_outputs}
    is_number = target_kind(task) is TargetKind.NUMBERS
    right = sure_output(target, scale=ANSWER_LOGIT, **about)
    wrong = sure_output(target, scale=-1.0 if is_number else -ANSWER_LOGIT, **about)
    every_second = (torch.arange(len(target)) % 2 == 0).view(-1, *[1] * (right.ndim - 1))
    cases = {"right": right, "half": torch.where(every_second, right, wrong), "wrong": wrong}
    return {
        name: attempt(loaded, output.to(device), target.to(device), task=task).value for name, output in cases.items()
    }
