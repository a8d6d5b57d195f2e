"""Optimizer, its groups and the rates of a script, with warm-up and every parameter of the schedule decided."""

from __future__ import annotations

import ast

from fine_tuner.base.text import one_line
from fine_tuner.config.live_changes import EPOCHS
from fine_tuner.config.sections import schedules as settings_of
from fine_tuner.config.sections.formula import SCHEDULE_NAMES, Formula
from fine_tuner.export.script.bundle import Bundle
from fine_tuner.export.script.run import Run
from fine_tuner.optim import FUSED_DEVICES, torch_arguments
from fine_tuner.schedules.curves import StandIn, WarmRestarts, own_fields

_OPTIMIZER = '''WEIGHT_DECAY = {weight_decay}
DECAY_ALL = {decay_all}  # norms and biases too


def build_optimizer(groups: list[dict[str, Any]], device: torch.device) -> torch.optim.Optimizer:
    """Over groups that each have a rate and a weight decay of their own."""
    return torch.optim.{name}(groups, {arguments})'''
_SCHEDULER = '''WARMUP_STEPS = {warmup}
BY_EPOCH = {by_epoch}  # the schedule moves once an epoch, not at every step
CYCLES_MOMENTUM = {momentum}


def build_scheduler(optimizer: StandIn, ticks: int, total_steps: int) -> Any:
    """The schedule over ``ticks`` steps (or epochs) after the warm-up, of a run of ``total_steps``."""
    {body}'''


def optimizer_part(run: Run, bundle: Bundle) -> str:
    """Constants, ``build_optimizer`` and ``build_scheduler``."""
    optim, schedule = run.settings.optim, run.settings.schedule
    arguments = ", ".join(f"{name}={value!r}" for name, value in torch_arguments(optim).items())
    if optim.name in FUSED_DEVICES:
        arguments += f", fused=device.type in {FUSED_DEVICES[optim.name]!r}"
    optimizer = _OPTIMIZER.format(
        weight_decay=optim.weight_decay, decay_all=optim.decay_norms_and_biases, name=optim.name, arguments=arguments
    )
    parts = [optimizer, bundle.take(StandIn)]
    if isinstance(schedule, settings_of.CosineAnnealingWarmRestarts):
        parts.append(bundle.take(WarmRestarts))
    scheduler = _SCHEDULER.format(
        warmup=schedule.warmup_steps,
        by_epoch=schedule.interval == "epoch",
        momentum=bool(getattr(schedule, "cycle_momentum", False)),
        body="\n    ".join(_body(run, bundle)),
    )
    return "\n\n\n".join([*parts, scheduler])


def _body(run: Run, bundle: Bundle) -> list[str]:
    schedule = run.settings.schedule
    if isinstance(schedule, settings_of.LambdaLR):
        return _formula(run, schedule, bundle)
    calls = {total: _call(run, total) for total in _lengths(run)}
    if len(set(calls.values())) == 1:
        return [f"return {next(iter(calls.values()))}"]
    *branches, (_, last) = [(f"if total_steps == {total}:", call) for total, call in calls.items()]
    lines = [line for test, call in branches for line in (test, f"    return {call}")]
    return [*lines, f"return {last}"]


def _lengths(run: Run) -> list[int]:
    """Steps of the run as it was begun, and after each change of its length."""
    epochs = [run.settings.train.epochs, *(int(c.value) for c in run.changes if c.setting == EPOCHS.path)]
    return list(dict.fromkeys(count * run.steps_per_epoch for count in epochs))


def _call(run: Run, total_steps: int) -> str:
    """The scheduler of torch for a run of this length, as an expression."""
    schedule = run.settings.schedule
    ticks = schedule.ticks(total_steps, run.steps_per_epoch)
    fitted = schedule.fitted(ticks=ticks, lr=run.settings.optim.lr)
    fields = own_fields(fitted)
    name, lrs = f"lr_scheduler.{schedule.name}", '[group["lr"] for group in optimizer.param_groups]'
    match fitted:
        case settings_of.ReduceLROnPlateau():
            fields["mode"] = run.facts["best_direction"]
        case settings_of.CosineAnnealingWarmRestarts():
            name = "WarmRestarts"
    written = {key: repr(value) for key, value in fields.items()}
    match fitted:
        case settings_of.OneCycleLR(total_steps=total, pct_start=share):
            written["max_lr"] = lrs
            if total * share == 1:  # torch divides by zero where the rise is exactly one step
                written["pct_start"] = f"math.nextafter({share!r}, 1.0)"
        case settings_of.CyclicLR():
            for bound in ("base_lr", "max_lr"):
                share = 'group["lr"] / max(g["lr"] for g in optimizer.param_groups)'
                written[bound] = f"[{written[bound]} * ({share}) for group in optimizer.param_groups]"
    return f"{name}(optimizer, {', '.join(f'{key}={value}' for key, value in written.items())})"


def _formula(run: Run, schedule: settings_of.LambdaLR, bundle: Bundle) -> list[str]:
    """The user's formula as Python, all numbers floats as it is computed here."""
    expression = Formula(schedule.formula, SCHEDULE_NAMES).as_python()
    used = {node.id for node in ast.walk(ast.parse(expression)) if isinstance(node, ast.Name)}
    of_math = used - {*SCHEDULE_NAMES, "abs", "min", "max", "round"}
    bundle.need(*(("math", name, name) for name in of_math))
    before = f"{schedule.warmup_steps} // STEPS_PER_EPOCH"
    return [
        f"# The formula as it was written: {one_line(schedule.formula.strip())}",
        "def factor(tick: int) -> float:",
        f"    passed = float((tick + {schedule.warmup_steps}) // STEPS_PER_EPOCH - {before})",
        "    values = {'step': float(tick), 'epoch': passed, 'total_steps': float(ticks)}",
        f"    return (lambda step, epoch, total_steps: {expression})(**values)",
        "",
        "return lr_scheduler.LambdaLR(optimizer, factor)",
    ]
