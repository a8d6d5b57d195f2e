"""The plan of a run: every derived number, the network's stages and the rate of every step, without training."""

from __future__ import annotations

import shlex
from typing import Any

from fine_tuner.config.presets import nearest_preset
from fine_tuner.config.settings import Settings
from fine_tuner.models.freezing import stage_rates
from fine_tuner.tasks.build import Assembly, assemble, build_data
from fine_tuner.tasks.describe import facts_of
from fine_tuner.training.forecast import check_fits, expected_mib, forecast_of
from fine_tuner.training.memory import memory_limit_mib


def make_plan(settings: Settings) -> dict[str, Any]:
    """What training with ``settings`` will do; JSON-able.

    Raises:
        InputError: As training would, before anything is started.
    """
    data = build_data(settings)
    with assemble(settings, data) as assembly:
        facts = facts_of(assembly)
        stages = _stages(assembly)
        forecast = forecast_of(assembly)
        check_fits(assembly, forecast)
    preset, overrides = nearest_preset(settings)
    return {
        **facts,
        "epochs": settings.train.epochs,
        "steps_per_epoch": assembly.steps_per_epoch,
        "total_steps": assembly.total_steps,
        "stages": stages,
        "memory": forecast.to_json(),
        "memory_mib_estimate": round(expected_mib(forecast, assembly.device)),
        "memory_limit_mib": round(memory_limit_mib(assembly.device)),
        "command": shlex.join(["python", "-m", "fine_tuner", "train", preset, *overrides]),
    }


def _stages(assembly: Assembly) -> list[dict[str, Any]]:
    """The network from input to head: name, parameters, and peak rate or None where frozen throughout."""
    optim, built = assembly.settings.optim, assembly.built
    sizes = {name: p.numel() for name, p in built.model.named_parameters()}
    rates = stage_rates(
        built.stages,
        lr=optim.lr,
        backbone_multiplier=optim.backbone_multiplier,
        stage_decay=optim.stage_decay,
        trainable=assembly.settings.model.trainable,
    )
    return [
        {"name": s.name, "parameters": sum(sizes[n] for n in s.parameter_names), "lr": rates.get(s.name)}
        for s in built.stages
    ]


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
    lines.append(f"memory      about {plan['memory_mib_estimate']} of {plan['memory_limit_mib']} MiB")
    for stage in plan["stages"]:
        rate = "frozen" if stage["lr"] is None else f"rate {stage['lr']:.3g}"
        lines.append(f"  stage     {stage['name']}: {stage['parameters']:,} parameters, {rate}")
    lines += [f"note        {notice}" for notice in plan["notices"]]
    lines.append(f"command     {plan['command']}")
    return "\n".join(lines)
