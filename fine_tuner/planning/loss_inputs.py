"""What a loss of the user's own is given: the first batch and the network that settings describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from fine_tuner.base.errors import DataError
from fine_tuner.config.io import parse, to_tree
from fine_tuner.config.settings import Settings
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.loading.batches import TrainBatches
from fine_tuner.data.mask_coding import IGNORE_INDEX
from fine_tuner.losses.check.batch import CheckBatch
from fine_tuner.losses.check.given import example_forms
from fine_tuner.models.build import build_model
from fine_tuner.models.freezing import Freezing
from fine_tuner.models.outputs import split_outputs
from fine_tuner.tasks.build import build_data, build_dataset
from fine_tuner.tasks.fill_in import filled_size
from fine_tuner.tasks.standardise import in_own_units

IMAGES, MASKED_IMAGES = 4, 2


def loss_inputs(settings: Settings) -> dict[str, Any]:
    """``{"task", "forms"}`` with a form as in ``example_forms``, in the order in which ``auto`` tries them.

    Raises:
        InputError: As training would.
    """
    batch = first_batch(to_tree(settings))
    with torch.no_grad():
        output = batch.model.eval()(batch.images).float()
    return {"task": settings.task, "forms": example_forms(batch, output)}


def inputs_text(result: dict[str, Any]) -> str:
    """Lines for a terminal."""
    lines = []
    for form in result["forms"]:
        lines += [f"loss.inputs={form['inputs']}: {form['name']}", f"  output {form['output']}"]
        lines.append(f"  target {form['target']}")
    return "\n".join(lines)


def first_batch(settings: Mapping[str, Any]) -> CheckBatch:
    """The data and network of a run, on the CPU; its loss is not built, since it may be the code to be checked.

    Args:
        settings: The tree of settings, with absolute paths.

    Raises:
        InputError: As training would.
    """
    chosen = parse(settings)
    data = build_data(chosen)
    chosen = filled_size(chosen, data, torch.device("cpu"))
    torch.manual_seed(chosen.seed)
    built = build_model(
        chosen.model.name,
        task=chosen.task,
        num_outputs=data.num_outputs,
        weights=chosen.model.weights,
        image_size=chosen.data.image_size,
    )
    built = in_own_units(built, data)
    Freezing(built, chosen.model.trainable, head_epochs=chosen.model.head_epochs)
    built.model.register_forward_hook(lambda module, inputs, output: split_outputs(output)[0])
    dataset = build_dataset(chosen, data, built.preprocessing, "train")
    if not len(dataset):
        raise DataError("There are no images to train on. Choose another folder in data.path.")
    count = min(MASKED_IMAGES if target_kind(chosen.task) is TargetKind.MASK else IMAGES, len(dataset))
    batches = TrainBatches(dataset, batch_size=count, seed=chosen.seed, num_workers=0)
    try:
        images, targets = next(batches.starting_at(0))
    finally:
        batches.close()
    return CheckBatch(
        model=built.model, images=images, targets=targets, task=chosen.task, num_outputs=data.num_outputs,
        ignore_index=IGNORE_INDEX,
    )  # fmt: skip
