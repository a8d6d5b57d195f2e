"""Settings that a script does not repeat: said in its header when they differ from what it does."""

from __future__ import annotations

from fine_tuner.config.io import CHOICES, FIELDS, to_tree
from fine_tuner.config.knobs import lookup
from fine_tuner.config.settings import Settings

# What the parts of the script follow, or what has no effect on the outcome. A setting that is added later is in neither
# list and so is named in the header of a script whose run used it, until a part follows it.
_FOLLOWED = frozenset(
    (
        "task",
        "seed",
        "devices",
        "data.image_size",
        "data.sampling",
        "augment.name",
        "augment.flip",
        "augment.mix",
        "augment.mix_alpha",
        "model.name",
        "model.weights",
        "model.trainable",
        "model.head_epochs",
        "precision.dtype",
        "precision.channels_last",
        "train.epochs",
        "train.batch_size",
        "train.accumulate",
        "train.features",
        "train.views",
        "data.num_workers",
    )
)
_WITHOUT_EFFECT = frozenset(
    (
        "title",
        "train.keep_checkpoints",
        "train.checkpoint_activations",
        "train.on_nonfinite",
        "train.nonfinite_limit",
        "train.best_metric",
    )
)
_WHOLE_SECTIONS = ("loss.", "second_loss.", "optim.", "schedule.")
_IN_THE_SPLITS = ("data.",)  # decide which file is in which split, and that is written down


def not_repeated(settings: Settings) -> list[str]:
    """One sentence for each setting that decides something and that the script does not follow."""
    tree, default = to_tree(settings), to_tree(Settings())
    sentences = []
    for spec in FIELDS:
        if spec.path in _FOLLOWED | _WITHOUT_EFFECT or spec.path.startswith((*_WHOLE_SECTIONS, *_IN_THE_SPLITS)):
            continue
        parent = spec.path.rpartition(".")[0]
        if parent in CHOICES and spec.variant is not None and lookup(tree, f"{parent}.name") != spec.variant:
            continue
        value = lookup(tree, spec.path)
        if value != lookup(default, spec.path):
            sentences.append(f"the setting {spec.path}={value} is not followed here.")
    return list(dict.fromkeys(sentences))
