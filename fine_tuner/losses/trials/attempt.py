"""One call of a user's loss on one batch of outputs and targets, forward and backward, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fine_tuner.config.tasks import TargetKind
from fine_tuner.losses.code import LossCode, LossFinding, first_sentence
from fine_tuner.losses.custom import NUM_CLASSES, USER_ERRORS, LoadedLoss
from fine_tuner.losses.formula_parts import without_autocast
from fine_tuner.losses.signature import possible_losses
from fine_tuner.losses.trials.hints import NO_NUMPY, cut_remedy, exception_remedy
from fine_tuner.losses.trials.tracing import CLASSES, LABELS, LOG_PROBS, OUTPUT, PROBS, Step, Trace, names

OF_POSITIVE = names("log log1p log2 log10 sqrt rsqrt pow __pow__ poisson_nll_loss xlogy")


@dataclass(slots=True)
class Trial:
    """What one call gave.

    Attributes:
        value: The loss; None if the call failed or returned no scalar.
        gradient: With respect to the output, same shape; None if there was none.
        findings: Errors first; empty if value and gradient are usable.
        given: What the code was given of the output.
        wanted: What it was given of the target.
    """

    trace: Trace
    given: Tensor
    wanted: Tensor
    value: float | None = None
    gradient: Tensor | None = None
    findings: list[LossFinding] = field(default_factory=list)

    @property
    def is_usable(self) -> bool:
        """Whether there is a finite value and a finite gradient."""
        return self.gradient is not None and not any(f.level == "error" for f in self.findings)


def without_compiler(code: LossCode) -> AbstractContextManager[object]:
    """Context in which ``torch.compile`` compiles nothing: a few calls of many shapes would each wait for it."""
    return torch.compiler.set_stance("force_eager") if "torch.compile" in code.text else nullcontext()


def attempt(loaded: LoadedLoss, output: Tensor, target: Tensor, *, task: str) -> Trial:
    """Call the loss on a copy of ``output`` and ``target`` as training does, and backpropagate.

    Args:
        loaded: The user's loss.
        output: Raw output; half precision stays as it is, so that overflow can be seen.
        target: As the task has it.
        task: One of the four tasks.
    """
    code, module = loaded.code, loaded.module
    leaf = output.detach().clone().requires_grad_()
    form, copied = module.adaptation, target.clone()
    with without_autocast(output.device):
        given, wanted = form(leaf * 1, copied)  # not a leaf, as in training
    tags = [
        (given, PROBS if form.gives_probs else LOG_PROBS if form.gives_log_probs else OUTPUT),
        (wanted, CLASSES if wanted.dtype == torch.int64 else LABELS),
    ]
    trial = Trial(Trace(str(code.path), tags), given=given, wanted=wanted)
    if not given.numel():  # every pixel is left out
        trial.value, trial.gradient = 0.0, torch.zeros_like(output)
        return trial
    versions = given._version, wanted._version
    value = _call(loaded, trial, given, wanted)
    if trial.findings:
        return trial
    is_same = wanted.untyped_storage().data_ptr() == copied.untyped_storage().data_ptr()
    is_copy = not (form.keeps_targets or is_same)
    trial.findings += _written_over(code, trial.trace, given, wanted, versions, is_copy=is_copy)
    trial.findings += _unusable_value(loaded, trial.trace, value, given)
    if any(f.level == "error" for f in trial.findings):
        return trial
    value = value.mean()
    trial.value = float(value.detach())
    if not torch.isfinite(value.detach()):
        is_number = module.adaptation.kind is TargetKind.NUMBERS
        trial.findings.append(_not_finite(code, trial.trace, trial.value, is_number=is_number))
        return trial
    _backward(code, trial, value, leaf)
    return trial


def _call(loaded: LoadedLoss, trial: Trial, output: Tensor, target: Tensor) -> Any:
    code = loaded.code
    try:
        with without_autocast(output.device), trial.trace:
            return loaded.module.value_of(output, target)
    except USER_ERRORS as error:
        line = code.line_of(error.__traceback__)
        kind, what, remedy = exception_remedy(error, output, target)
        if kind == "raises":
            remedy = _other_num_classes(loaded, output) or remedy
        trial.findings.append(code.finding("error", kind, what, remedy, line))
    return None


def _other_num_classes(loaded: LoadedLoss, output: Tensor) -> str | None:
    """What to do where the code's own number of classes is another than that of the output."""
    possible = next((p for p in possible_losses(loaded.code.text, only_main=False) if p.name == loaded.entry), None)
    classes = output.shape[1] if output.ndim > 1 else 0
    for argument in possible.arguments if possible else ():
        default = argument.default or ""
        if argument.name in NUM_CLASSES and default.isdecimal() and int(default) != classes > 1:
            return f"Set {argument.name}={classes} under 'Arguments' (loss.arguments): in the code it is {default}."
    return None


def _written_over(
    code: LossCode, trace: Trace, output: Tensor, target: Tensor, versions: tuple[int, int], *, is_copy: bool
) -> list[LossFinding]:
    found = []
    for name, tensor, before in (("output", output, versions[0]), ("target", target, versions[1])):
        if tensor._version == before or (tensor is target and is_copy):  # a one-hot target is made for each call
            continue
        storage = tensor.untyped_storage().data_ptr()

        def writes(step: Step, storage: int = storage) -> bool:
            in_place = (step.name.endswith("_") and not step.name.endswith("__")) or step.name == "__setitem__"
            return in_place and bool(step.inputs) and step.inputs[0].untyped_storage().data_ptr() == storage

        step = trace.first(writes)
        what = f"the loss writes over {name}, which training and the metrics use afterwards"
        remedy = f"Work on a copy: {name} = {name}.clone(), or an operation without '_' at its end."
        found.append(code.finding("error", "in_place", what, remedy, step.line if step else None))
    return found


def _unusable_value(loaded: LoadedLoss, trace: Trace, value: Any, output: Tensor) -> list[LossFinding]:
    """Findings about a value that is not a differentiable floating point scalar on the output's device."""
    cut = trace.last(lambda step: step.cuts_graph)
    line = loaded.code.last_return(loaded.entry)

    def error(kind: str, what: str, remedy: str, at: int | None = line) -> list[LossFinding]:
        return [loaded.code.finding("error", kind, what, remedy, at)]

    if not isinstance(value, Tensor):
        return error("no_value" if value is None else "not_tensor", *_not_tensor(value, cut), cut.line if cut else line)
    if not value.numel():
        remedy = "Reduce it to one number, for instance with .mean()."
        return error("not_scalar", f"the loss has shape {tuple(value.shape)}: no number at all", remedy)
    if not value.is_floating_point():
        remedy = cut_remedy(cut) if cut else "Compute it from output in floating point; class numbers have no gradient."
        return error("not_float", f"the loss is {value.dtype}", remedy, cut.line if cut else line)
    if value.device != output.device:
        what = f"the loss is on {value.device}, the output on {output.device}"
        return error("device", what, "Compute it from output; don't move it with .cpu() or .to().")
    if not value.requires_grad and cut:
        how = f"at {cut.name}" if cut.is_grad_enabled else "inside torch.no_grad()"
        return error("detached", f"the gradient is cut {how}", cut_remedy(cut), cut.line)
    if not value.requires_grad:
        return error("constant", "the loss does not depend on output", "Compute it from output with torch operations.")
    if value.dtype == torch.float64:
        what = "the loss is float64, which is slow and takes twice the memory"
        remedy = "Convert NumPy values and constants to float32."
        return [loaded.code.finding("warning", "float64", what, remedy, line)]
    if value.ndim:
        what = f"the loss has shape {tuple(value.shape)}, not one number, so the mean of it is taken"
        remedy = "Reduce it yourself if another number is meant, such as .sum()."
        return [loaded.code.finding("note", "averaged", what, remedy, line)]
    return []


def _not_tensor(value: Any, cut: Step | None) -> tuple[str, str]:
    """What and remedy for a value that is no tensor."""
    if value is None:
        return "the loss returns nothing (None)", "End with: return loss."
    kind = f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")
    if isinstance(value, tuple | list | dict):
        return f"the loss returns a {kind}, not a tensor", "Return the loss alone, without what stands beside it."
    remedy = cut_remedy(cut) if cut else "Return a tensor made from output with torch operations."
    return f"the loss returns {kind}, not a tensor", NO_NUMPY if kind.startswith("numpy") else remedy


def _not_finite(code: LossCode, trace: Trace, value: float, *, is_number: bool) -> LossFinding:
    step = trace.first(lambda s: not s.is_finite)
    at = f"; {step.name} gives the first such value" if step else ""
    remedy = _finite_remedy(step.name if step else "")
    if step and is_number and step.name in OF_POSITIVE and any(bool((t < 0).any()) for t in step.inputs):
        at = f"; {step.name} has none for negative numbers, and a network may answer any number"
        remedy = "Begin with output = output.clamp(min=1e-3), if no target is below 0."
    return code.finding("error", "not_finite", f"the loss is {value}{at}", remedy, step.line if step else None)


def _finite_remedy(name: str) -> str:
    if name in ("log", "__pow__", "pow", "exp"):
        return (
            "Use log_softmax or a *_with_logits function, or clamp before it: by 1e-6, since 1 - 1e-9 is 1 in float32."
        )
    if "div" in name:
        return "Add a small number to the denominator, or clamp it."
    return "Clamp before this line, or add a small number to what may be 0."


def _backward(code: LossCode, trial: Trial, value: Tensor, leaf: Tensor) -> None:
    try:
        value.backward()
    except RuntimeError as error:
        step = trial.trace.last(lambda s: s.name.endswith("_") and not s.name.endswith("__"))
        what = f"the gradient cannot be computed, {first_sentence(error)}"
        remedy = "Don't write over values that were used before; use operations without '_' at the end."
        trial.findings.append(code.finding("error", "backward", what, remedy, step.line if step else None))
        return
    gradient = leaf.grad
    if gradient is None:
        what = "no gradient reaches the output"
        trial.findings.append(code.finding("error", "constant", what, "Compute the loss from output."))
        return
    if not torch.isfinite(gradient).all():
        step = trial.trace.last(lambda s: s.bad_gradient)
        what = (
            f"the gradient is not finite{f', from {step.name} on' if step else ''}, though the loss is {trial.value:g}"
        )
        remedy = "Keep its argument away from 0: add a small number inside, as in sqrt(x + 1e-8)."
        trial.findings.append(code.finding("error", "gradient_not_finite", what, remedy, step.line if step else None))
        return
    trial.gradient = gradient.detach()


def merge(findings: list[tuple[str, LossFinding]], tell: Callable[[str], str]) -> list[LossFinding]:
    """Findings of several cases, the same one told once with the names of its cases.

    Args:
        findings: Name of the case and what was found in it.
        tell: Sentence part made of the joined names.
    """
    groups: dict[tuple[str, int | None], list[tuple[str, LossFinding]]] = {}
    for name, finding in findings:
        groups.setdefault((finding.kind, finding.line), []).append((name, finding))
    merged = []
    for group in groups.values():
        names = "; ".join(dict.fromkeys(name for name, _ in group))
        levels = [f.level for _, f in group]
        level = "error" if "error" in levels else levels[0]
        first = group[0][1]
        merged.append(
            LossFinding(
                level=level, kind=first.kind, what=f"{first.what} ({tell(names)})", remedy=first.remedy,
                line=first.line, source=first.source, file=first.file,
            )
        )  # fmt: skip
    return merged
