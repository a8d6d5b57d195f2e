"""The lines of the set-up: which settings each holds, and its present value in a few words.

A setting belongs to the section with the longest matching prefix; a part of the tree that is named nowhere becomes a
section of its own, so that a new setting never gets lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fine_tuner.base.text import short_number
from fine_tuner.config.knobs import lookup
from fine_tuner.config.sections.data import SAMPLE_DATA
from fine_tuner.config.sections.losses import CUSTOM
from fine_tuner.models.source import SOURCE
from fine_tuner.ui.form import texts

Tree = Mapping[str, Any]

PREFIXES: Mapping[str, tuple[str, ...]] = {
    "data": ("data.path", "task", "data.layout", "data", "augment"),
    "model": ("model",),
    "trainable": ("model.trainable", "model.head_epochs", "optim.backbone_multiplier", "optim.stage_decay"),
    "loss": ("loss", "second_loss"),
    "optim": ("optim",),
    "schedule": ("schedule",),
    "precision": ("precision",),
    "run": ("train", "devices", "seed", "title"),
}


def section_of(path: str) -> str:
    """Id of the section that holds the setting at a dotted path."""
    return _best_match(path)[1]


def rank_of(path: str) -> int:
    """Place of the setting within its section; settings of one prefix keep the order of the tree."""
    return _best_match(path)[2]


def _best_match(path: str) -> tuple[int, str, int]:
    """(length of the prefix, section, place of the prefix in it) of the longest prefix that matches."""
    matches = [
        (len(prefix), section, rank)
        for section, prefixes in PREFIXES.items()
        for rank, prefix in enumerate(prefixes)
        if path == prefix or path.startswith(prefix + ".")
    ]
    return max(matches, default=(0, path.partition(".")[0], 0))


def title_of(section: str) -> str:
    """What the section is called on the page."""
    return texts.SECTION_TITLES.get(section, section.replace("_", " ").capitalize())


def _data(tree: Tree) -> str:
    path = str(lookup(tree, "data.path") or "")
    name = "built-in sample" if path == SAMPLE_DATA else path.removeprefix("torchvision:") if ":" in path else ""
    size = lookup(tree, "data.image_size")
    augment = lookup(tree, "augment.name")
    parts = [name or Path(path).name or "choose a folder", f"{size} px" if size else "", f"{augment} augmentation"]
    return " · ".join(p for p in parts if p)


def _model(tree: Tree) -> str:
    weights = str(lookup(tree, "model.weights"))
    words = {"default": "pretrained", "none": texts.RANDOM_WEIGHTS, SOURCE: texts.SOURCE_WEIGHTS}
    is_file = "/" in weights or "\\" in weights or "." in weights
    return f"{lookup(tree, 'model.name')} · {words.get(weights) or (Path(weights).name if is_file else weights)}"


def trainable_words(value: Any) -> str:
    """What ``model.trainable`` means: ``2`` -> ``last 2 stages``."""
    words = {"all": texts.EVERYTHING, "head": texts.HEAD_ONLY, "gradual": texts.HEAD_FIRST, 1: texts.LAST_STAGE}
    return words.get(value) or texts.LAST_STAGES.format(count=value)


def _trainable(tree: Tree) -> str:
    value, multiplier = lookup(tree, "model.trainable"), lookup(tree, "optim.backbone_multiplier")
    words = trainable_words(value)
    if value == "head" or not isinstance(multiplier, float):
        return words
    return f"{words}, {'one rate' if multiplier == 1 else f'pretrained part ×{short_number(multiplier)}'}"


def _loss(tree: Tree) -> str:
    name = str(lookup(tree, "loss.name"))
    file = lookup(tree, "loss.file")
    if name == CUSTOM:
        return f"your code · {Path(str(file)).name if file else texts.NO_CODE_YET}"
    return name.replace("_", " ")


def _optim(tree: Tree) -> str:
    rate = lookup(tree, "optim.lr")
    return f"{lookup(tree, 'optim.name')} · {texts.FOLLOWS if rate is None else f'rate {short_number(rate)}'}"


def _schedule(tree: Tree) -> str:
    warmup = lookup(tree, "schedule.warmup_steps")
    return f"{lookup(tree, 'schedule.name')}" + (f" after {warmup} steps of warm-up" if warmup else "")


def _precision(tree: Tree) -> str:
    dtype = lookup(tree, "precision.dtype")
    words = {"fp32": texts.OFF, "auto": "half where the device gains", "bf16": "half (bf16)", "fp16": "half (fp16)"}
    parts = [words.get(str(dtype), str(dtype))]
    parts += ["channels last"] if lookup(tree, "precision.channels_last") == "on" else []
    parts += ["compiled"] if lookup(tree, "precision.compile") else []
    return " · ".join(parts)


def _run(tree: Tree) -> str:
    accumulate = lookup(tree, "train.accumulate") or 1
    size, epochs = lookup(tree, "train.batch_size"), lookup(tree, "train.epochs")
    batch = texts.BATCH_FOLLOWS if size is None else f"batch {size}" + (f" × {accumulate}" if accumulate != 1 else "")
    length = texts.EPOCHS_FOLLOW if epochs is None else f"{epochs} epoch{'' if epochs == 1 else 's'}"
    both = texts.FOLLOW if size is None and epochs is None else f"{length} × {batch}"
    return f"{both} · seed {lookup(tree, 'seed')}"


_SUMMARIES: Mapping[str, Callable[[Tree], str]] = {
    "data": _data, "model": _model, "trainable": _trainable, "loss": _loss,
    "optim": _optim, "schedule": _schedule, "precision": _precision, "run": _run,
}  # fmt: skip


def summary(section: str, tree: Tree) -> str:
    """The section's present value in a few words, from a valid tree."""
    if section in _SUMMARIES:
        return _SUMMARIES[section](tree)
    node = lookup(tree, section)
    return str(node.get("name", "")) if isinstance(node, Mapping) else str(node)
