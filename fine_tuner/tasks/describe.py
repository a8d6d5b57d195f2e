"""What an assembled run is, in plain values: for the plan, for ``run_started`` and for the weights file."""

from __future__ import annotations

from typing import Any

from fine_tuner.distributed.devices import device_name
from fine_tuner.losses.parts import is_exact
from fine_tuner.models.freezing import trainable_parameters
from fine_tuner.schedules.rates import plan_rates
from fine_tuner.tasks.build import Assembly


def facts_of(assembly: Assembly) -> dict[str, Any]:
    """Every number derived from settings, data and machine before the first step; JSON-able."""
    settings, data, built = assembly.settings, assembly.data, assembly.built
    train, val = data.splits["train"], data.splits.get("val", ())
    return {
        "task": settings.task,
        "target": assembly.task.spec.target.value,
        "device": device_name(assembly.device),
        "device_type": assembly.device.type,
        "precision": assembly.precision.dtype,
        "is_channels_last": assembly.precision.is_channels_last,
        "precision_reason": assembly.precision_choice.reason,
        "model": settings.model.name,
        "weights": built.weights,
        "parameters": built.parameters,
        "trainable_parameters": trainable_parameters(built, settings.model.trainable),
        "image_size": built.preprocessing.image_size,
        "data": data.kind,
        "classes": list(data.output_names),
        "train_images": len(train),
        "val_images": len(val),
        "batch_size": settings.train.batch_size,
        "accumulate": settings.train.accumulate,
        "num_devices": assembly.place.world_size,
        "began_with_devices": assembly.place.devices,
        "global_batch_size": assembly.global_batch_size,
        "features": assembly.features.facts(),
        "groups": list(assembly.group_lrs),
        "schedule": planned_rates(assembly),
        "best_metric": f"val/{assembly.best.key}",
        "best_direction": "max" if assembly.best.higher_is_better else "min",
        "metrics": {f"val/{m.key}": m.facts() for m in assembly.task.metrics},
        "notices": [
            *map(str, data.notices),
            *built.notices,
            *filter(None, [assembly.features.words]),
            *loss_notices(assembly),
        ],
        "warnings": [str(notice) for notice in data.notices if notice.level == "warning"],
    }


def loss_notices(assembly: Assembly) -> list[str]:
    """What accumulating means for a loss that is not a sum of means."""
    train = assembly.settings.train
    parts = train.accumulate * assembly.place.world_size
    if parts == 1 or is_exact(assembly.loss_fn):
        return []
    return [
        f"The loss compares whole batches, or is your own: each of a step's {parts} parts has one, of "
        f"{assembly.global_batch_size // parts} images, and a step takes their mean, which is not the loss of one "
        "large batch. Cross entropy, and overlap losses per image, are the same either way."
    ]


def planned_rates(assembly: Assembly) -> dict[str, Any]:
    """The rates that will be applied, and what a chart of them marks; see ``plan_rates``."""
    settings = assembly.settings
    return plan_rates(
        settings.schedule,
        assembly.group_lrs,
        total_steps=assembly.total_steps,
        steps_per_epoch=assembly.steps_per_epoch,
        head_epochs=settings.model.head_epochs if settings.model.trainable == "gradual" else None,
    )
