"""What is to be said of a trained network: task, data, settings, metrics with their interval, limits, licence."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from fine_tuner.base.files import write_atomically
from fine_tuner.config.io import overrides_between, parse, read_tree
from fine_tuner.config.metric_specs import metric_name, metric_of, metric_text
from fine_tuner.config.presets import load_preset
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.runs.kept_losses import with_kept_losses
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.view.run_view import RunView

# What torchvision says of its weights: https://github.com/pytorch/vision#pre-trained-model-license
WEIGHTS_LICENCE = (
    "The network and its pretrained weights are torchvision's (BSD-3-Clause). Pretrained weights may have licences of "
    "their own, derived from the data they were trained on (ImageNet: for research); torchvision asks everyone to see "
    "that their use is permitted. SWAG weights are CC-BY-NC 4.0."
)
_PIPELINES = {
    TargetKind.CLASS: "image-classification",
    TargetKind.LABELS: "image-classification",
    TargetKind.NUMBERS: "image-feature-extraction",
    TargetKind.MASK: "image-segmentation",
}
_LIMITS = {
    TargetKind.CLASS: "It knows only its classes and answers with one of them for any picture.",
    TargetKind.LABELS: "It knows only its labels, and says of each how probable it is in any picture.",
    TargetKind.NUMBERS: "It answers with a number for any picture, also for one that it can say nothing of.",
    TargetKind.MASK: "It knows only its classes and gives one of them to every pixel of any picture.",
}
_MEASURED = (
    "It was measured on pictures like those it was trained on; with other cameras, light or subjects it may be worse. "
    "Its probabilities are not calibrated."
)


def interval(share: float, count: int) -> tuple[float, float]:
    """Of a share of ``count`` pictures, 95 %.

    Source: Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953.

    >>> tuple(round(side, 3) for side in interval(0.9, 100))
    (0.826, 0.945)
    """
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return middle - reach, middle + reach


def facts_of_run(run: RunFolder) -> dict[str, Any]:
    """Title, task, metrics of the best epoch and the rest that a card is made of."""
    view = RunView(run)
    settings = parse(with_kept_losses(read_tree(run.config), run))
    return {
        "title": str(view.info.get("title") or run.id),
        "task": settings.task,
        "model": settings.model.name,
        "weights": str(view.started.get("weights") or settings.model.weights),
        "classes": list(view.started.get("classes") or ()),
        "train_images": int(view.started.get("train_images") or 0),
        "val_images": int(view.started.get("val_images") or 0),
        "image_size": view.started.get("image_size"),
        "epoch": view.best.epoch if view.best else None,
        "metrics": _metrics_of_best(view),
        "settings": overrides_between(load_preset("default"), settings),
        "sentence": view.sentence,
    }


def _metrics_of_best(view: RunView) -> dict[str, float]:
    """Every validation metric, at the epoch of the best weights."""
    if view.best is None:
        return {}
    found = {}
    for key, series in view.series.items():
        if key.startswith("val/"):
            at = [i for i, epoch in enumerate(series.epoch) if int(epoch) == view.best.epoch]
            if at and math.isfinite(float(series.value[at[-1]])):
                found[key] = float(series.value[at[-1]])
    return found


def limits(task: str) -> str:
    """What it cannot do."""
    return f"{_LIMITS[target_kind(task)]} {_MEASURED}"


def _origin(weights: str) -> str:
    return "random numbers" if weights == "none" else f"the weights {weights}"


def metric_lines(facts: dict[str, Any]) -> dict[str, str]:
    """Name to text of every metric; with its interval where each picture is right or wrong."""
    out = {}
    for key, value in facts["metrics"].items():
        text = metric_text(key, value)
        if metric_of(key).is_per_image and facts["val_images"]:
            low, high = interval(value, facts["val_images"])
            text += f" ({metric_text(key, low)} to {metric_text(key, high)}, 95 %)"
        out[metric_name(key)] = text
    return out


def card_rows(run: RunFolder) -> dict[str, str]:
    """A short card as rows."""
    facts = facts_of_run(run)
    rows = {
        "Title": facts["title"],
        "Task": facts["task"],
        "Network": f"{facts['model']}, started from {_origin(facts['weights'])}",
        "Classes": ", ".join(facts["classes"]),
        "Trained on": f"{facts['train_images']:,} images",
        "Measured on": f"{facts['val_images']:,} validation images, epoch {facts['epoch']}",
        **metric_lines(facts),
        "Limits": limits(facts["task"]),
        "Licence": WEIGHTS_LICENCE,
    }
    return {name: value for name, value in rows.items() if value}


def write_card(run: RunFolder, path: Path) -> None:
    """A model card for the Hub: ``README.md`` of a repository that holds the weights."""
    facts = facts_of_run(run)
    front = {
        "library_name": "torchvision", "pipeline_tag": _PIPELINES[target_kind(facts["task"])],
        "tags": ["fine-tuning", facts["model"]], "license": "other",
    }  # fmt: skip
    write_atomically(path, f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n{card_text(facts)}")


def card_text(facts: dict[str, Any]) -> str:
    """The card as Markdown; ``facts`` as ``facts_of_run`` gives them."""
    metrics = "\n".join(f"| {name} | {text} |" for name, text in metric_lines(facts).items())
    settings = "\n".join(facts["settings"]) or "(all as they are by default)"
    return f"""\
# {facts["title"]}

{facts["sentence"]}

## What it does

Task: {facts["task"]}. Network: {facts["model"]} of torchvision, started from {_origin(facts["weights"])}, for pictures
of {facts["image_size"]} pixels a side. Its outputs: {", ".join(facts["classes"])}.

## Data

Trained on {facts["train_images"]:,} images; measured on {facts["val_images"]:,} others, which also chose the best epoch
({facts["epoch"]}), so new pictures may do a little worse.

## How good it is

| metric | value |
|---|---|
{metrics}

Intervals count the images of the validation split alone (Wilson), not the luck of one training run.

## Limits

{limits(facts["task"])}

## Settings

Those that differ from the defaults of Fine Tuner:

```
{settings}
```

## Licence

{WEIGHTS_LICENCE}
"""
