"""What losses that people bring come to: the form that ``auto`` chose, and our own loss before and after 30 steps.

``python -m benchmarks.brought_losses`` prints a row for each loss, style, task and number of outputs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from fine_tuner.losses.trials.synthetic import synthetic_model
from tests.losses.brought.losses import BROUGHT
from tests.losses.brought.test_forms import brought, ours, telling_batch, write

STEPS = 30


def main() -> None:
    """Print the table."""
    print("| loss | style | task | outputs | form | ours | before | after |\n|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for one in BROUGHT:
            for style in ("function", "class"):
                file = write(Path(folder), one, style)
                for task, outputs in one.chosen:
                    print(
                        f"| {one.name} | {style} | {task} | {outputs} | {_row(file, one.twin[task], task, outputs)} |"
                    )


def _row(file: str, twin_name: str, task: str, outputs: int) -> str:
    loss_fn = brought(file, task, outputs)
    form = str(loss_fn.adaptation.inputs)
    if not twin_name:
        return f"{form} | none | |"
    twin = ours(twin_name, task, outputs)
    images, targets = telling_batch(task, outputs)
    model = synthetic_model(task, outputs)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    before = twin(model(images), targets).item()
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss_fn(model(images), targets).backward()
        optimizer.step()
    return f"{form} | {twin_name} | {before:.3f} | {twin(model(images), targets).item():.3f}"


if __name__ == "__main__":
    main()
