"""The plan of a run: every derived number, the network's stages and the rate of every step, without training."""

from __future__ import annotations

import shlex
import time
from dataclasses import asdict
from typing import Any

import torch

from fine_tuner.base.machine import crowding
from fine_tuner.base.progress import no_progress
from fine_tuner.config.io import replace
from fine_tuner.config.presets import nearest_preset
from fine_tuner.config.settings import Settings
from fine_tuner.distributed.devices import accelerators, choose_devices, device_name
from fine_tuner.memory.fitting import assemble_fitting
from fine_tuner.memory.forecast import RunForecast, expected_mib, misfit_words
from fine_tuner.memory.readings import memory_used_mib
from fine_tuner.models.describe import describe_head, describe_stages
from fine_tuner.planning.measured_steps import take_batches
from fine_tuner.precision import device_support
from fine_tuner.speeds import FROM_STEPS, READING, remember
from fine_tuner.tasks.build import Assembly, Place, assemble, build_data, expected_pace, subject_of
from fine_tuner.tasks.describe import facts_of
from fine_tuner.tasks.precision_trial import try_precisions


def make_plan(settings: Settings, *, may_measure: bool = False) -> dict[str, Any]:
    """What training with ``settings`` will do; JSON-able.

    Args:
        settings: Of the run.
        may_measure: Where no speed of this network is known here, make a few steps of it, for the time.

    Raises:
        InputError: As training would, before anything is started.
    """
    data = build_data(settings, may_download=False)  # hundreds of MiB are no matter for a plan
    place = Place(world_size=len(choose_devices(settings.devices)))
    assembly, forecast = assemble_fitting(settings, data, outline=True, place=place)
    with assembly:
        wanted, settings = settings, assembly.settings
        if may_measure and not expected_pace(assembly):
            _measure(assembly)
            return make_plan(settings)  # the time decides more than itself: epochs, precision
        facts = facts_of(assembly)
        stages = describe_stages(
            assembly.built,
            lr=settings.optim.lr,
            backbone_multiplier=settings.optim.backbone_multiplier,
            stage_decay=settings.optim.stage_decay,
            trainable=settings.model.trainable,
            head_epochs=settings.model.head_epochs,
        )
        memory = _describe_memory(forecast, assembly.device)
    preset, overrides = nearest_preset(wanted)
    return {
        **facts,
        "epochs": settings.train.epochs,
        "steps_per_epoch": assembly.steps_per_epoch,
        "total_steps": assembly.total_steps,
        "stages": stages,
        "head": describe_head(assembly.built),
        "memory": memory,
        "memory_mib_estimate": memory["expected_mib"],
        "memory_limit_mib": memory["limit_mib"],
        "devices": accelerators(),
        "precision_support": device_support(assembly.device),
        "chosen": [asdict(choice) for choice in assembly.chosen],
        **_time_estimate(assembly),
        "command": shlex.join(["python", "-m", "fine_tuner", "train", preset, *overrides]),
    }


def plan_text(plan: dict[str, Any]) -> str:
    """The plan for a terminal."""
    lines = [
        f"data        {plan['data']}: {plan['train_images']} training and {plan['val_images']} validation images",
        f"network     {plan['model']}, {plan['weights']}, sees {plan['image_size']} px",
        f"trains      {plan['trainable_parameters']:,} of {plan['parameters']:,} parameters",
        f"device      {_devices_text(plan)}, {plan['precision']} ({plan['precision_reason']})",
        f"steps       {plan['epochs']} epochs of {plan['steps_per_epoch']} = {plan['total_steps']}, "
        f"{plan['global_batch_size']} images each{_parts_text(plan)}",
    ]
    lines += [f"features    {words}" for words in filter(None, [plan["features"]["words"]])]
    lines += [f"memory      {line}" for line in _memory_text(plan["memory"])]
    lines.append(f"time        {plan['seconds_words']}")
    lines.append(f"head        {plan['head']}")
    for stage in plan["stages"]:
        rate = "frozen" if stage["lr"] is None else f"rate {stage['lr']:.3g}"
        lines.append(f"  stage     {stage['name']}: {stage['parameters']:,} parameters, {rate}")
    lines += [f"chosen      {c['path']}={c['value']}, {c['reason']}" for c in plan["chosen"]]
    levels = dict.fromkeys(plan["warnings"], "warning")
    lines += [f"{levels.get(n, 'note'):<11} {n}" for n in plan["notices"] if n != plan["features"]["words"]]
    lines.append(f"command     {plan['command']}")
    return "\n".join(lines)


def _devices_text(plan: dict[str, Any]) -> str:
    return plan["device"] if plan["num_devices"] == 1 else f"{plan['num_devices']} x {plan['device']}"


def _parts_text(plan: dict[str, Any]) -> str:
    """Of which parts the images of a step are, if of several devices."""
    if plan["num_devices"] == 1:
        return ""
    times = f", {plan['accumulate']} times" if plan["accumulate"] > 1 else ""
    return f": {plan['batch_size']} on each of {plan['num_devices']} devices{times}"


# ------------------------------------------------------------------- memory
def _describe_memory(forecast: RunForecast, device: torch.device) -> dict[str, Any]:
    """The forecast of a run beside the memory there is; JSON-able.

    Returns:
        What ``RunForecast.to_json`` has, and ``limit_mib`` (memory there is), ``used_mib`` (by all programs now),
        ``expected_mib`` (the chart's dashed line), ``words``, and ``other``: the same in the other precision.
    """
    other = forecast.other
    return forecast.to_json() | {
        "limit_mib": round(forecast.limit_mib),
        "used_mib": round(memory_used_mib(device)),
        "expected_mib": round(expected_mib(forecast, device)),
        "device": device_name(device),
        "words": _fit_words(forecast, device),
        "other": other.to_json() if other else None,
        "compared": _compared_words(forecast, other) if other else "",
    }


def _fit_words(forecast: RunForecast, device: torch.device) -> str:
    """Whether it fits, and the largest batch that does."""
    if not forecast.fits:
        return f"Does not fit. {misfit_words(forecast, device)}"
    most = forecast.largest_batch_size
    return f"Fits. At most {most:,} images at a time." if most > forecast.batch_size else "Fits."


def _compared_words(forecast: RunForecast, other: RunForecast) -> str:
    """What half precision saves, or would save, of the memory that depends on it."""
    half, full = (other, forecast) if forecast.dtype == "fp32" else (forecast, other)
    saved = full.total_mib - half.total_mib
    if abs(saved) < 0.02 * full.total_mib:
        return f"{half.dtype} and fp32 take about the same here: most of it does not depend on the precision."
    takes = f"{half.dtype} takes {_size_words(abs(saved))} {'less' if saved > 0 else 'more'} than fp32"
    if half.largest_batch_size > full.largest_batch_size:
        return f"{takes}, and fits {half.largest_batch_size:,} images at a time instead of {full.largest_batch_size:,}."
    return f"{takes}."


def _size_words(mib: float) -> str:
    """Memory in the unit that suits it.

    >>> _size_words(300.2), _size_words(4096)
    ('300 MiB', '4.0 GiB')
    """
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def _memory_text(memory: dict[str, Any]) -> list[str]:
    """The forecast for a terminal."""
    parts = {name: mib for name, mib in memory["parts"].items() if name != "total" and mib >= 0.1}
    listed = ", ".join(f"{name} {mib:,.0f}" for name, mib in parts.items())
    besides = f" and {memory['base_mib']:,.0f} besides tensors"
    return [
        f"about {memory['total_mib']:,.0f} of {memory['limit_mib']:,} MiB: {listed}{besides}",
        memory["words"],
        *([memory["compared"]] if memory["compared"] else []),
    ]


# --------------------------------------------------------------------- time
def _measure(outline: Assembly) -> None:
    """Make a few steps of a network that is an outline; their time depends on no weights, so those are random.

    The run finds what is measured here and need not try precisions itself.
    """
    settings, side = outline.settings, outline.built.preprocessing.image_size
    settings = replace(settings, "model.weights=none", f"data.image_size={side}", "data.num_workers=0")
    with assemble(settings, outline.data) as assembly:
        subject = subject_of(settings, assembly.built, assembly.device)
        try_precisions(settings, assembly.built, assembly.device, subject, on_progress=no_progress)
        if assembly.device.type == "cpu":  # where the cores that compute also read the images
            begun = time.thread_time()
            ((images, _),) = take_batches(assembly, 1)
            remember(subject, READING, seconds_per_image=(time.thread_time() - begun) / len(images))


def _time_estimate(assembly: Assembly) -> dict[str, Any]:
    """``seconds_estimate``, None if nothing like this run was seen, and ``seconds_words`` that say what it rests on.

    What was measured in the processor's own time takes longer while other programs compute (``busy``).
    """
    expected = expected_pace(assembly)
    if expected is None:
        words = "unknown: this network has not trained at this batch size and precision here yet"
        return {"seconds_estimate": None, "seconds_words": words, "busy": False}
    speed, words = expected
    factor = crowding() if assembly.device.type == "cpu" and words == FROM_STEPS else 1.0
    seconds = factor * assembly.images_in_run / speed
    busy = "; the machine is busy with other work" if factor > 1 else ""
    return {
        "seconds_estimate": round(seconds, 1),
        "seconds_words": f"about {seconds:,.0f} s, {words}{busy}",
        "busy": factor > 1,
    }
