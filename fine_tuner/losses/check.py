"""The check of a user's loss: runs the file on a batch and says what training would meet. Runs in a child process.

What it reports is in ``check_loss``. The parts: ``trials.py`` (one call), ``corners.py`` (batches at the corners and
half precision), ``meaning.py`` (heuristics), ``tracing.py`` (which line), ``sandbox.py`` (the child and its limits).
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fine_tuner.config.knobs import tag_of
from fine_tuner.config.losses import DEFAULT_LOSS, VARIANTS
from fine_tuner.errors import TrainingError
from fine_tuner.losses.build import build_loss
from fine_tuner.losses.code import Finding, LossCodeError, first_sentence
from fine_tuner.losses.corners import HALF_SIDE_PX, check_corners, check_half_precision
from fine_tuner.losses.curves import curve_panels
from fine_tuner.losses.custom import USER_ERRORS, LoadedLoss, load_custom_loss
from fine_tuner.losses.made_up import NUM_OUTPUTS, made_up_batch, made_up_model
from fine_tuner.losses.meaning import check_meaning, check_trace, check_zero_gradient
from fine_tuner.losses.surroundings import Surroundings, changed_defaults
from fine_tuner.losses.trials import Trial, attempt

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
REFERENCES = {**DEFAULT_LOSS, "segmentation": "cross_entropy"}
"""The loss of each task that cost and reach are compared with."""
SLOW_SECONDS = 0.002
SLOW_RATIO = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What the loss is checked on.

    Attributes:
        model: Gives the raw output ``(B, ...)`` of images; in evaluation mode.
        images: ``(B, 3, H, W)``.
        targets: As the task has them.
        origin: ``"your data and network"`` or ``"made-up data"``, for the report.
    """

    model: nn.Module
    images: Tensor
    targets: Tensor
    task: str
    num_outputs: int
    ignore_index: int = 255
    origin: str = "your data and network"


def made_up(task: str, num_outputs: int | None = None, ignore_index: int = 255) -> Batch:
    """A small batch and network for a check without the user's data."""
    outputs = num_outputs or NUM_OUTPUTS[task]
    images, targets = made_up_batch(task, outputs, batch=max(8, outputs + 1))
    return Batch(
        model=made_up_model(task, outputs), images=images, targets=targets, task=task, num_outputs=outputs,
        ignore_index=ignore_index, origin="made-up data",
    )  # fmt: skip


def check_loss(
    file: str | Path,
    entry: str,
    batch: Batch,
    *,
    device: str = "cpu",
    seconds: float = 20.0,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> dict[str, Any]:
    """Everything that can be said of a user's loss by running it.

    Args:
        file: The user's Python file.
        entry: Name of function or class; empty takes the only one.
        batch: Data and network.
        device: Where to run it.
        seconds: Aim for the whole check; parts that are nice to have are left out when a slow loss needs more.
        on_stage: Told in words what is about to run.

    Returns:
        A report that JSON can hold: ``ok`` (no error), ``findings`` (errors first; see ``Finding``), ``file``,
        ``entry``, ``style``, ``sha256``, ``task``, ``batch`` (shapes), ``values`` (per precision: value and
        gradient norm), ``parameters`` (trainable, reached), ``cost`` (seconds per call beside cross entropy, or the
        task's like of it), ``panels`` (as ``loss_curve``), ``seconds``.
    """
    began = time.perf_counter()
    report: dict[str, Any] = {"ok": False, "file": str(file), "entry": entry, "task": batch.task, "findings": []}
    on_stage("reading the file")
    before = Surroundings()
    try:
        loaded = load_custom_loss(file, entry)
    except LossCodeError as error:
        return report | {"findings": [error.finding.to_json()], "seconds": time.perf_counter() - began}
    report |= {
        "entry": loaded.entry,
        "style": loaded.style,
        "sha256": loaded.code.sha256,
        "file": str(loaded.code.path),
    }
    loaded.module.to(device)
    findings = changed_defaults(loaded)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch warns of, such as shapes that differ, is among the findings
            findings += _Check(loaded, batch, device, on_stage, deadline=began + seconds * 0.7).run(report)
    except USER_ERRORS as error:  # only a later call fails, so the loss remembers something between calls
        line = loaded.code.line_of(error.__traceback__)
        what = f"a later call fails where the first did not, {first_sentence(error)}"
        findings.append(loaded.code.finding("error", "raises", what, "Keep nothing between calls.", line))
    findings += [*changed_defaults(loaded), *before.differences(loaded)]
    order = {"error": 0, "warning": 1, "note": 2}
    findings.sort(key=lambda f: order[f.level])
    return report | {
        "ok": not any(f.level == "error" for f in findings),
        "findings": [f.to_json() for f in findings],
        "seconds": time.perf_counter() - began,
    }


class _Check:
    """The parts of one check in their order; each adds to the report and returns findings."""

    def __init__(
        self, loaded: LoadedLoss, batch: Batch, device: str, on_stage: Callable[[str], None], deadline: float
    ) -> None:
        self.loaded, self.batch, self.device, self.on_stage = loaded, batch, device, on_stage
        self.deadline = deadline
        self.about = {"task": batch.task, "num_outputs": batch.num_outputs}
        self.model = batch.model.to(device).eval()
        self.images, self.targets = batch.images.to(device), batch.targets.to(device)
        self.reference_name = REFERENCES[batch.task]
        reference = next(v for v in VARIANTS if tag_of(v) == self.reference_name)
        self.reference = build_loss(reference(), ignore_index=batch.ignore_index, **self.about).to(device)

    def run(self, report: dict[str, Any]) -> list[Finding]:
        """Run all parts; stops at the first call if that cannot be used."""
        self.on_stage("running the network")
        with torch.no_grad():
            output = self.model(self.images).float()
        report["batch"] = {
            "origin": self.batch.origin, "images": list(self.images.shape), "output": list(output.shape),
            "targets": list(self.targets.shape), "targets_dtype": str(self.targets.dtype).removeprefix("torch."),
        }  # fmt: skip
        self.on_stage("calling the loss")
        began = time.perf_counter()
        first = attempt(self.loaded, output, self.targets, task=self.batch.task)
        call_seconds = time.perf_counter() - began
        report["values"] = {"fp32": _described(first)}
        if not first.is_usable:
            return first.findings + check_trace(self.loaded, first.trace, device=self.device, **self.about)
        findings = list(first.findings)
        findings += self._precisions(report, first)
        if first.gradient is not None and not first.gradient.any():
            return findings + check_zero_gradient(self.loaded, first.trace)
        findings += self._reach(report)
        findings += self._repeat(output, first)
        return findings + self._optional(report, output, first, call_seconds)

    def _optional(self, report: dict[str, Any], output: Tensor, first: Trial, call_seconds: float) -> list[Finding]:
        """Parts that a slow loss has no time for are left out, and named."""
        about, side = self.about, HALF_SIDE_PX
        half_calls = 2 * side * side / self.targets.numel() if self.batch.task == "segmentation" else 2
        parts: list[tuple[str, float, Callable[[], list[Finding]]]] = [
            ("what it means", 7, lambda: check_meaning(self.loaded, first.trace, device=self.device, **about)),
            ("its cost", 3, lambda: self._cost(report, output, repeats=7 if call_seconds < 0.1 else 1)),
            ("corner cases", 10, lambda: check_corners(
                self.loaded, ignore_index=self.batch.ignore_index, device=self.device, **about)),
            ("half precision", half_calls, lambda: check_half_precision(self.loaded, output, self.targets, **about)),
            ("its curve", 50, lambda: self._curve(report)),
        ]  # fmt: skip
        findings, left_out = [], []
        for stage, calls, part in parts:
            if time.perf_counter() + calls * call_seconds > self.deadline:
                left_out.append(stage)
                continue
            self.on_stage(stage)
            findings += part()
        if left_out:
            what = f"one call takes {call_seconds:.2g} s, so the check left out: {', '.join(left_out)}"
            findings.append(self.loaded.code.finding("warning", "slow", what, "Make the loss faster."))
        return findings

    def _precisions(self, report: dict[str, Any], first: Trial) -> list[Finding]:
        """Value and gradient with the network in half precision; the loss gets float32 all the same."""
        self.on_stage("half precision of the network")
        found = []
        for name, dtype in HALVES.items():
            try:
                with torch.no_grad(), torch.autocast(torch.device(self.device).type, dtype=dtype):
                    output = self.model(self.images).float()
            except RuntimeError as error:  # an operation that this device lacks in this type
                report["values"][name] = {"value": None, "error": first_sentence(error)}
                continue
            trial = attempt(self.loaded, output, self.targets, task=self.batch.task)
            report["values"][name] = _described(trial)
            found += [f for f in trial.findings if f.level == "error"]
        return found

    def _reach(self, report: dict[str, Any]) -> list[Finding]:
        """Trainable parameters that the task's own loss moves and this one does not."""
        self.on_stage("the gradient of the network")
        reached = {name: _moved(self.model, loss, self.images, self.targets) for name, loss in
                   (("own", self.loaded.module), ("reference", self.reference))}  # fmt: skip
        missing = [name for name in reached["reference"] if name not in reached["own"]]
        trainable = sum(p.requires_grad for p in self.model.parameters())
        report["parameters"] = {"trainable": trainable, "reached": len(reached["own"]), "unreached": missing[:10]}
        code, found = self.loaded.code, []
        if missing:
            what = f"no gradient reaches {len(missing)} of {trainable} trainable parameters, such as {missing[0]}"
            remedy = f"Use the whole output; {self.reference_name} reaches them."
            found.append(code.finding("error", "unreached", what, remedy, code.last_return(self.loaded.entry)))
        own = [name for name, p in self.loaded.module.loss.named_parameters()] if self.loaded.style == "class" else []
        if own:
            what = f"the loss has parameters of its own ({', '.join(own[:3])}), which no optimizer trains"
            found.append(code.finding("warning", "own_parameters", what, "Use register_buffer for constants."))
        return found

    def _repeat(self, output: Tensor, first: Trial) -> list[Finding]:
        again = attempt(self.loaded, output, self.targets, task=self.batch.task)
        if again.value == first.value or again.value is None:
            return []
        what = f"the loss is {first.value:.6g}, then {again.value:.6g} for the same output and target"
        remedy = "Without chance or memory between calls a run can be repeated and resumed exactly."
        return [self.loaded.code.finding("warning", "not_repeatable", what, remedy)]

    def _cost(self, report: dict[str, Any], output: Tensor, repeats: int) -> list[Finding]:
        own = _seconds_per_call(self.loaded.module, output, self.targets, repeats)
        reference = _seconds_per_call(self.reference, output, self.targets, repeats)
        ratio = own / reference
        report["cost"] = {
            "seconds": own, "reference": self.reference_name, "reference_seconds": reference, "ratio": ratio,
        }  # fmt: skip
        if ratio < SLOW_RATIO or own < SLOW_SECONDS:
            return []
        what = f"a call takes {own * 1000:.1f} ms, {ratio:.0f} times {self.reference_name}"
        remedy = "Replace Python loops over images, classes or pixels by tensor operations."
        return [self.loaded.code.finding("warning", "costly", what, remedy)]

    def _curve(self, report: dict[str, Any]) -> list[Finding]:
        try:
            report["panels"] = curve_panels(self.loaded.module.cpu(), self.batch.task)
        except (TrainingError, RuntimeError):  # it may not take two classes and one image: no curve then
            report["panels"] = []
        return []


def _described(trial: Trial) -> dict[str, Any]:
    norm = None if trial.gradient is None else float(trial.gradient.norm())
    return {"value": _plain(trial.value), "gradient_norm": _plain(norm)}


def _plain(value: float | None) -> float | str | None:
    """A number that strict JSON can hold; NaN and infinities as words."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _moved(model: nn.Module, loss_fn: nn.Module, images: Tensor, targets: Tensor) -> list[str]:
    """Names of trainable parameters with a gradient other than 0."""
    model.zero_grad(set_to_none=True)
    loss_fn(model(images), targets).backward()
    moved = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is not None and bool(p.grad.any())]
    model.zero_grad(set_to_none=True)
    return moved


def _seconds_per_call(loss_fn: nn.Module, output: Tensor, targets: Tensor, repeats: int) -> float:
    """Shortest time of forward and backward, from and to the output: what else the machine does only adds to it."""
    seconds = []
    for _ in range(repeats + 1):
        leaf = output.detach().clone().requires_grad_()
        _synchronize(output.device)
        began = time.perf_counter()
        loss_fn(leaf, targets).backward()
        _synchronize(output.device)
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
