"""The plan of a run: every derived number, the network's stages and the rate of every step, without training."""

from __future__ import annotations

import shlex
from typing import Any

from fine_tuner.config.presets import nearest_preset
from fine_tuner.config.settings import Settings
from fine_tuner.memory.forecast import forecast_run
from fine_tuner.models.describe import describe_head, describe_stages
from fine_tuner.planning.memory import describe_memory, memory_text
from fine_tuner.planning.time import time_estimate
from fine_tuner.precision import device_support
from fine_tuner.tasks.build import assemble, build_data
from fine_tuner.tasks.describe import facts_of


def make_plan(settings: Settings) -> dict[str, Any]:
    """What training with ``settings`` will do; JSON-able.

    Raises:
        InputError: As training would, before anything is started.
    """
    data = build_data(settings, may_download=False)  # hundreds of MiB are no matter for a plan
    with assemble(settings, data, outline=True) as assembly:
        facts = facts_of(assembly)
        stages = describe_stages(
            assembly.built,
            lr=settings.optim.lr,
            backbone_multiplier=settings.optim.backbone_multiplier,
            stage_decay=settings.optim.stage_decay,
            trainable=settings.model.trainable,
            head_epochs=settings.model.head_epochs,
        )
        memory = describe_memory(forecast_run(assembly, is_outline=True), assembly.device)
    preset, overrides = nearest_preset(settings)
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
        "precision_support": device_support(assembly.device),
        **time_estimate(assembly),
        "command": shlex.join(["python", "-m", "fine_tuner", "train", preset, *overrides]),
    }


def plan_text(plan: dict[str, Any]) -> str:
    """The plan for a terminal."""
    lines = [
        f"data        {plan['data']}: {plan['train_images']} training and {plan['val_images']} validation images",
        f"network     {plan['model']}, {plan['weights']}, sees {plan['image_size']} px",
        f"trains      {plan['trainable_parameters']:,} of {plan['parameters']:,} parameters",
        f"device      {plan['device']}, {plan['precision']} ({plan['precision_reason']})",
        f"steps       {plan['epochs']} epochs of {plan['steps_per_epoch']} = {plan['total_steps']}, "
        f"{plan['global_batch_size']} images each",
    ]
    lines += [f"memory      {line}" for line in memory_text(plan["memory"])]
    lines.append(f"time        {plan['seconds_words']}")
    lines.append(f"head        {plan['head']}")
    for stage in plan["stages"]:
        rate = "frozen" if stage["lr"] is None else f"rate {stage['lr']:.3g}"
        lines.append(f"  stage     {stage['name']}: {stage['parameters']:,} parameters, {rate}")
    lines += [f"note        {notice}" for notice in plan["notices"]]
    lines.append(f"command     {plan['command']}")
    return "\n".join(lines)
