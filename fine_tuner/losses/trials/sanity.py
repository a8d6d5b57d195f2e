"""Whether a user's loss means what its author thinks: right is lower than wrong, and logits and targets are understood.

These are heuristics. What is certain (a loss that rewards wrong answers, ignores the target, or takes class numbers
for amounts) is an error; what only looks wrong is a warning.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.losses.code import LossFinding
from fine_tuner.losses.custom import LoadedLoss
from fine_tuner.losses.trials.attempt import attempt
from fine_tuner.losses.trials.synthetic import SIDE_PX, sure_output, synthetic_targets
from fine_tuner.losses.trials.tracing import (
    ACTIVATIONS,
    ARITHMETIC,
    CLASSES,
    LABELS,
    LOG_ACTIVATIONS,
    LOG_PROBS,
    OUTPUT,
    PROBS,
    Step,
    Trace,
    names,
)

CREATORS = names("tensor zeros ones full arange eye linspace rand randn randint empty")
TARGET_NAMES = names("target targets y_true true label labels gt ground_truth truth mask masks y")
OUTPUT_NAMES = names("output outputs pred preds y_pred prediction predictions logit logits input inputs prob probs x")
ORDERED = names("cross_entropy binary_cross_entropy binary_cross_entropy_with_logits nll_loss")
OVER_CLASSES = names("softmax log_softmax cross_entropy")
OFF = (-4.0, -0.5, 0.5, 4.0)  # from right numbers, which are from 1 to 3
ROUNDING = 1e-6  # of values near 1: 1 - a correlation of 1 may be -1e-7
NOTHING = 1e-4  # of the range from right to wrong: no less is lost by answering the same everywhere
NEAR, DRAWS = 0.15, 4  # how far from right numbers, and in how many directions, each both ways
EXCHANGED = 1e-5  # sums in another order differ by less
AS_THEY_ARE = (
    "Compare output and target as they are, as in (output - target) ** 2: the output is the number itself, neither a "
    "logit nor a logarithm."
)
HARD_STEPS = names("round floor ceil sign trunc floor_divide __floordiv__")
WAITING = names("item __float__ __int__ __bool__ tolist numpy __array__ cpu __repr__ __format__ nonzero")


def check_sanity(loaded: LoadedLoss, trace: Trace, *, task: str, num_outputs: int, device: str) -> list[LossFinding]:
    """All findings about the meaning of a loss whose values are usable."""
    if swapped := _swapped(loaded, trace):  # whatever else it seems to do follows from that
        return swapped
    about = {"task": task, "num_outputs": num_outputs, "device": device}
    direction = _direction(loaded, trace, **about)
    exchanged = [] if direction else _exchanged(loaded, trace, **about)
    wrong = direction or exchanged or _least_elsewhere(loaded, **about)
    raw = _raw_output(loaded, trace, **about)
    return [
        *wrong,
        *([] if wrong or raw else _content_with_one(loaded, **about)),  # of raw outputs logits of 4 tell nothing
        *_wrong_axis(loaded, **about),
        *raw,
        *(f for f in check_trace(loaded, trace, **about) if not (exchanged and f.kind == "broadcast")),
    ]


def check_failed(loaded: LoadedLoss, trace: Trace, *, task: str, num_outputs: int, device: str) -> list[LossFinding]:
    """What explains a call that failed, or gave nothing that trains: first what may be the cause of it."""
    about = {"task": task, "num_outputs": num_outputs, "device": device}
    return [*_wrong_axis(loaded, **about), *check_trace(loaded, trace, **about)]


def check_trace(loaded: LoadedLoss, trace: Trace, *, task: str, num_outputs: int, device: str) -> list[LossFinding]:
    """What the operations of one call tell, also of a call that failed."""
    return [
        *_swapped(loaded, trace),
        *_activations(loaded, trace, task=task),
        *_class_numbers(loaded, trace, num_outputs=num_outputs),
        *_broadcasts(loaded, trace),
        *_speed_and_device(loaded, trace, device=device),
    ]


def _value(loaded: LoadedLoss, output: Tensor, target: Tensor, task: str, device: str) -> float | None:
    trial = attempt(loaded, output.to(device), target.to(device), task=task)
    return trial.value


def _same(one: float, two: float) -> bool:
    """Equal but for rounding."""
    return math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-9)


def check_zero_gradient(loaded: LoadedLoss, trace: Trace) -> list[LossFinding]:
    """The finding for a gradient that is 0 at every output; names the step that has none."""
    hard = trace.last(lambda s: s.name in HARD_STEPS)
    what = "the gradient is 0 for every output" + (f": {hard.name} has none" if hard else "")
    remedy = "Use probabilities, as in output.softmax(1), instead of hard decisions."
    line = hard.line if hard else loaded.code.last_return(loaded.entry)
    return [loaded.code.finding("error", "zero_gradient", what, remedy, line)]


def _direction(loaded: LoadedLoss, trace: Trace, *, task: str, num_outputs: int, device: str) -> list[LossFinding]:
    code, line = loaded.code, loaded.code.last_return(loaded.entry)
    rng = torch.Generator().manual_seed(3)
    batch = max(6, 2 * num_outputs)
    target = synthetic_targets(task, num_outputs, batch=batch, size=SIDE_PX, rng=rng)
    other = _another(target, task, num_outputs)
    right_output = sure_output(target, task=task, num_outputs=num_outputs, scale=4.0)
    wrong_output = sure_output(target, task=task, num_outputs=num_outputs, scale=-4.0)
    # a relative error of numbers is the same for all outputs of the other sign
    near = right_output if target_kind(task) is TargetKind.NUMBERS else wrong_output
    noisy = near + torch.randn(near.shape, generator=rng)
    right, wrong = (_value(loaded, o, target, task, device) for o in (right_output, wrong_output))
    one, two = (_value(loaded, noisy, t, task, device) for t in (target, other))
    if right is None or wrong is None or one is None or two is None:
        return []
    if _same(right, wrong) and _same(one, two) and _same(right, one):
        remedy = "Compare output with target."
        what = f"the loss is {right:.4g} for right and for wrong answers"
        return [code.finding("error", "blind", what, remedy, line)]
    if _same(one, two):
        what = f"the loss does not depend on target: {one:.4g} whatever the target is"
        return [code.finding("error", "ignores_target", what, "Compare output with target.", line)]
    if _same(right, wrong) and _same(right, one):
        what = f"the loss does not depend on output: {right:.4g} whatever the output is"
        return [code.finding("error", "ignores_output", what, "Compare output with target.", line)]
    if right - wrong > ROUNDING * max(1.0, abs(right), abs(wrong)):
        what = f"the loss is lower for wrong answers ({wrong:.4g}) than for right ones ({right:.4g})"
        remedy = "Training makes the loss small: return 1 - score, or -score, if this is a score."
        return [code.finding("error", "upside_down", what, remedy, line)]
    return []


def _exchanged(loaded: LoadedLoss, trace: Trace, *, task: str, num_outputs: int, device: str) -> list[LossFinding]:
    """A loss that stays as it is when images exchange their targets, as the mean over all pairs of images does."""
    rng = torch.Generator().manual_seed(9)
    target = synthetic_targets(task, num_outputs, batch=max(7, 2 * num_outputs + 1), size=SIDE_PX, rng=rng)
    output = sure_output(target, task=task, num_outputs=num_outputs, scale=2.0)
    output = output + torch.randn(output.shape, generator=rng)
    own, other = (_value(loaded, output, t, task, device) for t in (target, target.roll(1, 0)))
    if own is None or other is None or not math.isclose(own, other, rel_tol=EXCHANGED, abs_tol=EXCHANGED):
        return []
    code, paired = loaded.code, _broadcasts(loaded, trace)
    if paired:
        (found,) = paired
        return [code.finding("error", found.kind, found.what, found.remedy, found.line)]
    what = f"the loss is {own:.4g} also when images exchange their targets"
    remedy = "Compare each output with its own target: give both the same shape, before any mean or sum."
    return [code.finding("error", "broadcast", what, remedy, code.last_return(loaded.entry))]


def _least_elsewhere(loaded: LoadedLoss, *, task: str, num_outputs: int, device: str) -> list[LossFinding]:
    """A loss of numbers that is lower, or no higher, at a number on one side of the right one."""
    if target_kind(task) is not TargetKind.NUMBERS:
        return []
    code = loaded.code
    rng = torch.Generator().manual_seed(8)
    target = synthetic_targets(task, num_outputs, batch=7, size=SIDE_PX, rng=rng)
    right = _value(loaded, target, target, task, device)
    off = {d: _value(loaded, target + d, target, task, device) for d in OFF}
    known = {d: value for d, value in off.items() if value is not None}  # a logarithm has none of negative numbers
    if right is None or not known or right != _value(loaded, target, target, task, device):
        return []  # what draws random numbers may be lower anywhere, which is a finding of its own
    line, slack = code.last_return(loaded.entry), ROUNDING * max(1.0, *map(abs, known.values()))
    steps = [NEAR * torch.randn(target.shape, generator=rng) for _ in range(DRAWS)]
    near = [_value(loaded, target + sign * step, target, task, device) for step in steps for sign in (1, -1)]
    if any(value is not None and value < right - slack for value in near):
        lowest = min(value for value in near if value is not None)
        what = f"the loss is lower for other outputs ({lowest:.4g}) than for the right numbers ({right:.4g})"
        return [code.finding("error", "least_elsewhere", what, AS_THEY_ARE, line)]
    least = min(known, key=known.__getitem__)
    if known[least] < right - slack:
        what = (
            f"the loss is lower for outputs {abs(least):g} {'above' if least > 0 else 'below'} the right numbers "
            f"({known[least]:.4g}) than for these ({right:.4g})"
        )
        return [code.finding("error", "least_elsewhere", what, AS_THEY_ARE, line)]
    flat = [d for d in (OFF[0], OFF[-1]) if d in known and known[d] - right <= slack]
    if len(flat) == 1:
        side = "large" if flat[0] > 0 else "small"
        what = f"the loss is as low for outputs {abs(flat[0]):g} too {side} as for right ones ({right:.4g})"
        remedy = "Count errors to both sides, as in (output - target).abs()."
        return [code.finding("error", "one_sided", what, remedy, line)]
    return []


def _content_with_one(loaded: LoadedLoss, *, task: str, num_outputs: int, device: str) -> list[LossFinding]:
    """A loss that is as low for the same answer everywhere, or for every class at once, as for right answers."""
    kind = target_kind(task)
    if kind is TargetKind.NUMBERS:
        return []
    rng = torch.Generator().manual_seed(10)
    about = {"task": task, "num_outputs": num_outputs}
    target = synthetic_targets(task, num_outputs, batch=max(7, 2 * num_outputs + 1), size=SIDE_PX, rng=rng)
    right_output = sure_output(target, scale=4.0, **about)
    same = {}
    if kind is TargetKind.LABELS or num_outputs == 2:
        names = ("no label", "every label") if kind is TargetKind.LABELS else ("class 0", "class 1")
        same = {n: sure_output(torch.full_like(target, i), scale=4.0, **about) for i, n in enumerate(names)}
    if kind is not TargetKind.LABELS:
        same["every class at once"] = torch.full_like(right_output, 4.0)
    right = _value(loaded, right_output, target, task, device)
    wrong = _value(loaded, sure_output(target, scale=-4.0, **about), target, task, device)
    slack = NOTHING * abs(wrong - right) if wrong is not None and right is not None else 0.0
    for name, output in same.items():
        value = _value(loaded, output, target, task, device)
        if value is None or right is None or not math.isfinite(value):
            continue
        if value - right > max(slack, ROUNDING * max(1.0, abs(right), abs(value))):
            continue
        what = (
            f"the loss is as low ({value:.4g}) where {name} is answered everywhere as for right answers ({right:.4g})"
        )
        remedy = "Count errors of both kinds. A formula for targets of -1 and 1 needs 2 * target - 1."
        return [loaded.code.finding("error", "one_sided", what, remedy, loaded.code.last_return(loaded.entry))]
    return []


def _swapped(loaded: LoadedLoss, trace: Trace) -> list[LossFinding]:
    """The target taken for the output, by the names in the signature or in a call of torch's."""
    code, entry = loaded.code, loaded.entry
    first, second = (name.lower() for name in loaded.first_two)
    if first in TARGET_NAMES and second in OUTPUT_NAMES:
        definition = code.definition(entry)
        what = f"{entry}({first}, {second}) takes the target first, and it is given the output first"
        remedy = f"Write the arguments as ({second}, {first})."
        return [code.finding("error", "swapped", what, remedy, definition.lineno if definition else None)]
    of_target, of_output = frozenset([LABELS, CLASSES]), frozenset([OUTPUT, PROBS, LOG_PROBS])
    step = trace.first(
        lambda s: s.name in ORDERED and len(s.tags) > 1 and bool(s.tags[0] & of_target) and bool(s.tags[1] & of_output)
    )
    if step is None:
        return []
    what = f"{step.name} is given the target first and the output second"
    return [code.finding("error", "swapped", what, "Give it the output first.", step.line)]


def _wrong_axis(loaded: LoadedLoss, *, task: str, num_outputs: int, device: str) -> list[LossFinding]:
    """Softmax along another dimension than the classes: a number added to all classes of a place changes it then."""
    if loaded.module.adaptation.makes_two_classes:
        return _wrong_axis_of_two(loaded, task=task, num_outputs=num_outputs, device=device)
    if target_kind(task) not in (TargetKind.CLASS, TargetKind.MASK):
        return []
    rng = torch.Generator().manual_seed(6)
    target = synthetic_targets(task, num_outputs, batch=max(7, 2 * num_outputs + 1), size=SIDE_PX, rng=rng)
    output = torch.randn(sure_output(target, task=task, num_outputs=num_outputs, scale=1.0).shape, generator=rng)
    shift = 3 * torch.randn((output.shape[0], 1, *output.shape[2:]), generator=rng)
    is_pair = loaded.module.adaptation.inputs.startswith("foreground")
    before, after = (
        [s for s in attempt(loaded, o.to(device), target.to(device), task=task).trace.steps if _is_over_classes(s)]
        for o in (output, output + shift)
    )
    for step, shifted in zip(before, after, strict=False):
        one, two = step.result, shifted.result
        if is_pair or one.shape != two.shape or not torch.allclose(one, two, rtol=1e-3, atol=1e-4):
            return [_runs_elsewhere(loaded, step)]
    return []


def _is_over_classes(step: Step) -> bool:
    """Whether it is a softmax of the output, by name or by hand."""
    return step.is_softmax_by_hand or (step.name in OVER_CLASSES and bool(step.tags) and OUTPUT in step.tags[0])


def _runs_elsewhere(loaded: LoadedLoss, step: Step) -> LossFinding:
    if step.is_softmax_by_hand:
        what = "the sum of exponentials runs along another dimension than the classes"
        remedy = "Sum along dim=1, where the classes are: .sum(dim=1, keepdim=True), or use output.softmax(dim=1)."
    else:
        what = f"{step.name} runs along another dimension than the classes"
        remedy = "Give softmax dim=1, where the classes are; bring them last with .movedim(1, -1) before a view."
    return loaded.code.finding("error", "wrong_axis", what, remedy, step.line)


def _wrong_axis_of_two(loaded: LoadedLoss, *, task: str, num_outputs: int, device: str) -> list[LossFinding]:
    """The same for labels as two classes, where the logit of "no" is always 0: probabilities of no two add up to 1."""
    rng = torch.Generator().manual_seed(6)
    target = synthetic_targets(task, num_outputs, batch=7, size=SIDE_PX, rng=rng)
    output = torch.randn(target.shape, generator=rng)
    for step in attempt(loaded, output.to(device), target.to(device), task=task).trace.steps:
        if step.name == "cross_entropy" or not _is_over_classes(step):
            continue
        probs = step.result.exp() if LOG_PROBS in step.result_tags else step.result
        sums = [probs.sum(axis) for axis, length in enumerate(probs.shape) if length == 2]
        if not any(torch.allclose(s, torch.ones_like(s), rtol=1e-3, atol=1e-4) for s in sums):
            return [_runs_elsewhere(loaded, step)]
    return []


def _activations(loaded: LoadedLoss, trace: Trace, *, task: str) -> list[LossFinding]:
    """Softmax or sigmoid applied twice, missing before nll_loss, or of the wrong kind for labels."""
    code, found = loaded.code, []
    logits_wanted = {"cross_entropy": "softmax", "binary_cross_entropy_with_logits": "sigmoid"}
    for step in trace.steps:
        first = step.tags[0] if step.tags else frozenset()
        if step.name in logits_wanted and PROBS in first:
            what = f"{step.name} applies {logits_wanted[step.name]} itself, and it is given probabilities"
            remedy = "Give it the raw output."
            found.append(code.finding("error", "twice", what, remedy, step.line))
        elif (step.name in ACTIVATIONS | LOG_ACTIVATIONS or step.is_softmax_by_hand) and PROBS in first:
            name = "a softmax by hand" if step.is_softmax_by_hand else step.name
            what = f"{name} of what are probabilities already"
            found.append(code.finding("error", "twice", what, "Apply softmax or sigmoid once.", step.line))
        elif step.name == "nll_loss" and LOG_PROBS not in first:
            what = "nll_loss is given something else than log-probabilities, so it can fall without end"
            remedy = "Give it output.log_softmax(1), or use cross_entropy with the raw output."
            found.append(code.finding("error", "nll", what, remedy, step.line))
    softmax = trace.first(lambda s: s.name in OVER_CLASSES or s.is_softmax_by_hand)
    if softmax and target_kind(task) is TargetKind.LABELS and not loaded.module.adaptation.makes_two_classes:
        name = "a softmax by hand" if softmax.is_softmax_by_hand else softmax.name
        what = f"{name} makes labels compete, but an image may have several"
        remedy = (
            "Use output.sigmoid() or binary_cross_entropy_with_logits, or have the code given each label as two "
            "classes ('The code is given', loss.inputs)."
        )
        found.append(code.finding("error", "softmax_of_labels", what, remedy, softmax.line))
    return list({(f.kind, f.line): f for f in found}.values())


def _another(target: Tensor, task: str, num_outputs: int) -> Tensor:
    """A target that disagrees with ``target``."""
    if target_kind(task) is TargetKind.NUMBERS:
        return 1.5 * target.flip(0)
    if target_kind(task) is TargetKind.LABELS:
        return 1 - target
    return (target.roll(1, 0) + 1) % num_outputs  # other classes, and other images that share one


def _raw_output(loaded: LoadedLoss, trace: Trace, *, task: str, num_outputs: int, device: str) -> list[LossFinding]:
    """A loss that makes no probabilities and never settles as right outputs grow from 20 to 200."""
    if target_kind(task) is TargetKind.NUMBERS or trace.has_activation:
        return []
    rng = torch.Generator().manual_seed(4)
    target = synthetic_targets(task, num_outputs, batch=max(6, 2 * num_outputs), size=SIDE_PX, rng=rng)
    outputs = (sure_output(target, task=task, num_outputs=num_outputs, scale=scale) for scale in (20.0, 200.0))
    sure, surer = (_value(loaded, output, target, task, device) for output in outputs)
    if sure is None or surer is None or abs(surer - sure) <= 1e-3 * (1 + abs(sure)):
        return []
    step = trace.first(lambda s: s.name in ARITHMETIC and any(OUTPUT in tags for tags in s.tags)) or trace.first(
        lambda s: any(OUTPUT in tags for tags in s.tags)
    )
    activation = "output.sigmoid()" if target_kind(task) is TargetKind.LABELS else "output.softmax(1)"
    what = "output is used as if it were probabilities, but it is raw: any number, below 0 and above 1 too"
    remedy = f"Begin with probs = {activation}, unless raw outputs are meant."
    return [loaded.code.finding("warning", "raw_output", what, remedy, step.line if step else None)]


def _class_numbers(loaded: LoadedLoss, trace: Trace, *, num_outputs: int) -> list[LossFinding]:
    """Arithmetic between class numbers and something with a gradient."""
    classes = 2 if loaded.module.adaptation.makes_two_classes else num_outputs

    def mixes(step: Step) -> bool:
        numbers = [i for i, tags in enumerate(step.tags) if CLASSES in tags]
        others = [i for i, t in enumerate(step.inputs) if i not in numbers and t.requires_grad and t.ndim > 0]
        if step.name not in ARITHMETIC or not numbers or not others:
            return False
        is_binary = classes == 2 and all(step.shapes[i] == step.shapes[numbers[0]] for i in others)
        return not is_binary  # 0 and 1 against the probability of class 1 is meant

    step = trace.first(mixes)
    if step is None:
        return []
    numbers = "0, 1" if classes == 2 else f"0, 1, ... {classes - 1}"
    what = f"class numbers ({numbers}) are used as amounts in {step.name}"
    remedy = "Make the target one-hot first: torch.nn.functional.one_hot(target, output.shape[1]).movedim(-1, 1)."
    return [loaded.code.finding("error", "class_numbers", what, remedy, step.line)]


def _broadcasts(loaded: LoadedLoss, trace: Trace) -> list[LossFinding]:
    """``(B, 1)`` against ``(B,)``: every output with every target."""

    def spreads(step: Step) -> bool:
        shapes = [s for s in step.shapes if len(s) > 0]
        if step.name not in ARITHMETIC or len(shapes) < 2 or step.name in ("matmul", "einsum", "dot"):
            return False
        result = torch.broadcast_shapes(*shapes)
        return all(result != shape for shape in shapes) and CLASSES not in frozenset().union(*step.tags)

    step = trace.first(spreads)
    if step is None:
        return []
    shapes = " and ".join(str(s) for s in step.shapes if len(s) > 0)
    what = f"{step.name} of shapes {shapes} pairs every value with every other"
    remedy = "Give both the same shape first: neither squeeze() nor unsqueeze() one alone."
    return [loaded.code.finding("warning", "broadcast", what, remedy, step.line)]


def _speed_and_device(loaded: LoadedLoss, trace: Trace, *, device: str) -> list[LossFinding]:
    code, found = loaded.code, []
    waiting = trace.first(lambda s: s.name in WAITING)
    if waiting:
        what = f"{waiting.name.strip('_')} makes the processor wait for the GPU at every step"
        found.append(code.finding("note", "waits", what, "Keep values as tensors.", waiting.line))

    def is_on_cpu(step: Step) -> bool:
        result = step.result
        return step.name in CREATORS and not step.has_device and isinstance(result, Tensor) and result.ndim > 0

    created = trace.first(is_on_cpu)
    if created and device == "cpu":
        what = f"torch.{created.name} makes a tensor on the processor; on a GPU the next line would fail"
        remedy = "Add device=output.device."
        found.append(code.finding("warning", "cpu_tensor", what, remedy, created.line))
    plain = [n for n, v in vars(loaded.module.loss).items() if isinstance(v, Tensor)] if loaded.style == "class" else []
    if plain:
        what = f"self.{plain[0]} is a plain tensor, which stays on the processor when the loss moves to a GPU"
        remedy = f"Write self.register_buffer({plain[0]!r}, ...) in __init__."
        found.append(code.finding("warning", "plain_tensor", what, remedy, _line_of_attribute(loaded, plain[0])))
    return found


def _line_of_attribute(loaded: LoadedLoss, name: str) -> int | None:
    lines = loaded.code.text.splitlines()
    return next((i for i, text in enumerate(lines, 1) if f"self.{name}" in text.split("=")[0]), None)
