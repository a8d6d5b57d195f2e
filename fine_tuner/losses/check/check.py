"""The check of a user's loss: runs the file on a batch and says what training would meet. Runs in a child process.

What it reports is in ``check_loss``. The parts: ``given.py`` (what the code is given), ``edge_cases.py`` (edge cases
and half precision), ``sandbox.py`` (the child and its limits), and of ``trials/`` one call, heuristics and the line.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fine_tuner.base.errors import TrainingError
from fine_tuner.config.sections.loss_inputs import why_no_form
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.losses.check.batch import PreparedBatch
from fine_tuner.losses.check.edge_cases import HALF_SIDE_PX, check_edge_cases, check_half_precision
from fine_tuner.losses.check.given import (
    answers,
    describe_inputs,
    imported_findings,
    meaningless_findings,
    settled_findings,
)
from fine_tuner.losses.check.side_effects import SideEffects, changed_defaults
from fine_tuner.losses.check.spent import Spent, Stopwatch
from fine_tuner.losses.code import LossCodeError, LossFinding, first_sentence, read_code
from fine_tuner.losses.curves import curve_panels
from fine_tuner.losses.custom import USER_ERRORS, LoadedLoss
from fine_tuner.losses.trials.attempt import Trial, attempt, merge, without_compiler
from fine_tuner.losses.trials.meaning import LossUse, settle
from fine_tuner.losses.trials.sanity import check_failed, check_sanity, check_zero_gradient

SLOW_SECONDS = 0.002
SLOW_RATIO = 10.0
SHORT_SECONDS = 0.5
SHARE = 0.7  # of the limits, for parts that are nice to have
MEANING = "what it means"


def check_loss(
    file: str | Path,
    entry: str,
    prepared: PreparedBatch,
    *,
    inputs: str = "auto",
    arguments: str = "",
    ignored: str = "auto",
    seconds: float = 20.0,
    passed_seconds: float = 120.0,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> dict[str, Any]:
    """Everything that can be said of a user's loss by running it.

    Args:
        file: The user's Python file.
        entry: Name of function or class; empty takes the only one.
        prepared: Data, network and device, from ``prepare``.
        inputs: What the code is given, see ``LossInputs``.
        arguments: As ``load_custom_loss``.
        ignored: What becomes of pixels to ignore.
        seconds: Aim for the whole check at work; parts that are nice to have are left out when a slow loss needs more.
        passed_seconds: The same on the wall, for code that waits.
        on_stage: Told in words what is about to run.

    Returns:
        A report that JSON can hold: ``ok`` (no error), ``findings`` (errors first; see ``LossFinding``), ``file``,
        ``entry``, ``style``, ``sha256``, ``task``, ``batch`` (shapes), ``values`` (per precision: value and
        gradient norm), ``inputs`` (as ``describe_inputs``), ``answers`` (values for right, half right and wrong
        answers), ``parameters`` (trainable, reached), ``cost`` (seconds per call beside cross entropy, or the task's
        like of it), ``panels`` (as ``loss_curve``), ``seconds``.
    """
    watch = Stopwatch()
    report: dict[str, Any] = {
        "ok": False, "file": str(file), "entry": entry, "task": prepared.batch.task, "findings": [],
    }  # fmt: skip
    on_stage("reading the file")
    before = SideEffects()
    use = LossUse(
        task=prepared.batch.task,
        num_outputs=prepared.batch.num_outputs,
        ignore_index=prepared.batch.ignore_index,
        inputs=inputs,
        ignored=ignored,
    )
    if why := why_no_form(inputs, use.task, use.num_outputs):
        finding = LossFinding(level="error", kind="inputs", what=why, remedy="", file=Path(file).name)
        return report | {"findings": [finding.to_json()], "seconds": watch.spent().passed}
    on_stage("finding what the code is given")
    try:
        settled = settle(read_code(file), entry, arguments, use)
    except LossCodeError as error:
        return report | {"findings": [error.finding.to_json()], "seconds": watch.spent().passed}
    loaded = settled.loaded
    report |= {
        "inputs": describe_inputs(settled, use, prepared),
        "entry": loaded.entry,
        "style": loaded.style,
        "sha256": loaded.code.sha256,
        "file": str(loaded.code.path),
    }
    loaded.module.to(prepared.device)
    findings = changed_defaults(loaded)
    try:
        with warnings.catch_warnings(), without_compiler(loaded.code):
            warnings.simplefilter("ignore")  # what torch warns of, such as shapes that differ, is among the findings
            findings += [*imported_findings(loaded.code), *settled_findings(settled, use)]
            limit = Spent(seconds, passed_seconds).times(SHARE)
            findings += _Check(loaded, prepared, on_stage, watch, limit).run(report)
            if not any(f.level == "error" for f in findings):
                findings += meaningless_findings(settled)
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
        "seconds": watch.spent().passed,
    }


class _Check:
    """The parts of one check in their order; each adds to the report and returns findings."""

    def __init__(
        self,
        loaded: LoadedLoss,
        prepared: PreparedBatch,
        on_stage: Callable[[str], None],
        watch: Stopwatch,
        limit: Spent,
    ) -> None:
        self.loaded, self.prepared, self.on_stage = loaded, prepared, on_stage
        self.watch, self.limit = watch, limit
        self.task = prepared.batch.task
        self.about = {"task": self.task, "num_outputs": prepared.batch.num_outputs}
        self.output, self.targets = prepared.output.detach(), prepared.targets

    def run(self, report: dict[str, Any]) -> list[LossFinding]:
        """Run all parts; stops at the first call if that cannot be used."""
        batch = self.prepared.batch
        report["batch"] = {
            "origin": batch.origin, "images": list(batch.images.shape), "output": list(self.output.shape),
            "targets": list(self.targets.shape), "targets_dtype": str(self.targets.dtype).removeprefix("torch."),
        }  # fmt: skip
        self.on_stage("calling the loss")
        first = attempt(self.loaded, self.output, self.targets, task=self.task)
        report["values"] = {"fp32": _described(first)}
        if not first.is_usable or first.gradient is None:
            causes = check_failed(self.loaded, first.trace, device=self.prepared.device, **self.about)
            return sorted([*first.findings, *causes], key=lambda f: f.kind != "wrong_axis")
        findings = list(first.findings)
        findings += self._precisions(report)
        if not first.gradient.any():
            return findings + check_zero_gradient(self.loaded, first.trace)
        findings += self._reach(report, first.gradient)
        watch = Stopwatch()
        findings += self._repeat(first)
        return findings + self._optional(report, first, watch.spent())

    def _optional(self, report: dict[str, Any], first: Trial, call: Spent) -> list[LossFinding]:
        """Parts that a slow loss has no time for are left out, and named."""
        about, device = self.about, self.prepared.device
        half_calls = 2 * HALF_SIDE_PX**2 / self.targets.numel() if target_kind(self.task) is TargetKind.MASK else 2
        parts: list[tuple[str, float, Callable[[], list[LossFinding]]]] = [
            (MEANING, 7, lambda: check_sanity(self.loaded, first.trace, device=device, **about)),
            ("its cost", 3, lambda: self._cost(report, repeats=7 if call.passed < 1 else 1)),
            ("edge cases", 10, lambda: check_edge_cases(
                self.loaded, ignore_index=self.prepared.batch.ignore_index, device=device, **about)),
            ("half precision", half_calls, lambda: check_half_precision(
                self.loaded, self.output, self.targets, **about)),
            ("its values", 3, lambda: self._answers(report)),
            ("its curve", 50, lambda: self._curve(report)),
        ]  # fmt: skip
        findings, left_out = [], []
        for stage, calls, part in parts:
            is_needed = stage == MEANING and call.passed < SHORT_SECONDS  # however long it took to come here
            if not is_needed and not (self.watch.spent() + call.times(calls)).fits(self.limit):
                left_out.append(stage)
                continue
            self.on_stage(stage)
            findings += part()
        if left_out:
            is_waiting = call.working < call.passed / 2
            takes = f"{call.passed:.2g} s{f', {call.working:.2g} s of it at work' if is_waiting else ''}"
            what = f"one call takes {takes}, so the check left out: {', '.join(left_out)}"
            waits = "Remove what waits, or check again when the machine is less busy."
            remedy = waits if is_waiting else "Make the loss faster."
            findings.append(self.loaded.code.finding("warning", "slow", what, remedy))
        return findings

    def _precisions(self, report: dict[str, Any]) -> list[LossFinding]:
        """Value and gradient for the network's output in half precision; the loss gets float32 all the same."""
        found = []
        for name, output in self.prepared.half_outputs.items():
            if isinstance(output, str):
                report["values"][name] = {"value": None, "gradient_norm": None, "error": output}
                continue
            self.on_stage(f"calling the loss on output in {name}")
            trial = attempt(self.loaded, output, self.targets, task=self.task)
            report["values"][name] = _described(trial)
            found += [(name, f) for f in trial.findings if f.level == "error"]
        return merge(found, lambda names: f"for the network's output in {names}")

    def _reach(self, report: dict[str, Any], gradient: Tensor) -> list[LossFinding]:
        """Trainable parameters that the task's own loss moves and this one does not."""
        own, trainable = self.prepared.reached_by(gradient), self.prepared.trainable
        missing = [name for name in self.prepared.reached if name not in own]
        report["parameters"] = {"trainable": trainable, "reached": len(own), "unreached": missing[:10]}
        code, found = self.loaded.code, []
        if missing:
            what = f"no gradient reaches {len(missing)} of {trainable} trainable parameters, such as {missing[0]}"
            remedy = f"Use the whole output; {self.prepared.reference_name} reaches them."
            found.append(code.finding("error", "unreached", what, remedy, code.last_return(self.loaded.entry)))
        parameters = [n for n, _ in self.loaded.module.loss.named_parameters()] if self.loaded.style == "class" else []
        if parameters:
            what = f"the loss has parameters of its own ({', '.join(parameters[:3])}), trained in a group named loss"
            found.append(code.finding("note", "own_parameters", what, "Use register_buffer for constants."))
        return found

    def _repeat(self, first: Trial) -> list[LossFinding]:
        again = attempt(self.loaded, self.output, self.targets, task=self.task)
        if again.value == first.value or again.value is None:
            return []
        what = f"the loss is {first.value:.6g}, then {again.value:.6g} for the same output and target"
        remedy = "Without chance or memory between calls a run can be repeated and resumed exactly."
        return [self.loaded.code.finding("warning", "not_repeatable", what, remedy)]

    def _cost(self, report: dict[str, Any], repeats: int) -> list[LossFinding]:
        name = self.prepared.reference_name
        own, reference = (
            _seconds_per_call(loss_fn, self.output, self.targets, repeats)
            for loss_fn in (self.loaded.module, self.prepared.reference)
        )
        ratio = own / reference
        report["cost"] = {
            "seconds": own, "reference": name, "reference_seconds": reference, "ratio": ratio,
        }  # fmt: skip
        if ratio < SLOW_RATIO or own < SLOW_SECONDS:
            return []
        what = f"a call takes {own * 1000:.1f} ms, {ratio:.0f} times {name}"
        remedy = "Replace Python loops over images, classes or pixels by tensor operations."
        return [self.loaded.code.finding("warning", "costly", what, remedy)]

    def _answers(self, report: dict[str, Any]) -> list[LossFinding]:
        report["answers"] = answers(self.loaded, self.task, self.prepared.batch.num_outputs, self.prepared.device)
        return []

    def _curve(self, report: dict[str, Any]) -> list[LossFinding]:
        try:
            report["panels"] = curve_panels(self.loaded.module.cpu(), self.task)
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


def _seconds_per_call(loss_fn: nn.Module, output: Tensor, targets: Tensor, repeats: int) -> float:
    """Shortest time of forward and backward, from and to the output: what else the machine does only adds to it.

    On a CPU it is the time of one thread at work, which does not count the waiting for a core that others use.
    """
    clock = time.perf_counter if output.device.type == "cuda" else time.thread_time
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = []
    for _ in range(repeats + 1):
        leaf = output.detach().clone().requires_grad_()
        _synchronize(output.device)
        began = clock()
        loss_fn(leaf, targets).backward()
        _synchronize(output.device)
        seconds.append(clock() - began)
    torch.set_num_threads(threads)
    return min(seconds[1:])


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
