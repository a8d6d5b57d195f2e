"""Every network of the registry as ONNX: the same logits for one picture and for three; EXPORTS.md says what works.

``python tests/contracts/test_every_export.py`` writes that table again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fine_tuner.base.errors import ConfigError, RunError
from fine_tuner.export.networks.network import Exportable
from fine_tuner.export.networks.onnx_file import onnx_bytes, session_of
from fine_tuner.models.build import build_model, outline_model
from fine_tuner.models.catalogue import ModelInfo, list_models
from fine_tuner.models.saved import metadata_of

TABLE = Path(__file__).resolve().parents[2] / "EXPORTS.md"
CASES = [(task, info) for task in ("classification", "segmentation") for info in list_models(task)]
LARGEST_PARAMETERS = 320_000_000  # with its file in memory twice, what a machine of 8 GB can check
QUICK = ("squeezenet1_1", "shufflenet_v2_x0_5")
_HEAD = """\
# Which networks can be exported as what

Written by `python tests/contracts/test_every_export.py`: it exports each network with random weights and three outputs,
at the least picture size that it takes, and compares the logits of one and of three pictures with PyTorch's in
onnxruntime. The difference is the largest one, as a share of the largest logit.

| network | task | px | ONNX | difference | MiB |
|---|---|--:|---|--:|--:|
"""


def smallest(task: str, info: ModelInfo) -> int:
    """A small picture that the network takes, in pixels."""
    for size in (32, 64, 112, 224):
        try:
            outline_model(info.name, task=task, num_outputs=3, weights="none", image_size=size)
        except ConfigError:
            continue
        return size
    raise AssertionError(f"{info.name} takes none of the sizes tried")


def enliven(model: nn.Module, size: int) -> None:
    """Statistics of noise for every BatchNorm: with those of a new network a deep one answers with its bias alone."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        model(torch.randn(4, 3, size, size))
    model.eval()


def exported(task: str, info: ModelInfo) -> dict[str, str]:
    """A row of the table."""
    row = {
        "network": info.name,
        "task": task,
        "px": str(smallest(task, info)),
        "ONNX": "yes",
        "difference": "",
        "MiB": "",
    }
    if info.parameters > LARGEST_PARAMETERS:
        return row | {"ONNX": "not checked: too large for the machine of the test"}
    torch.manual_seed(0)
    built = build_model(info.name, task=task, num_outputs=3, weights="none", image_size=int(row["px"]))
    with torch.no_grad():
        for layer in built.head:  # some heads begin at zero, and anything would equal that
            torch.nn.init.normal_(built.model.get_parameter(f"{layer}.weight"), std=0.05)
    enliven(built.model, int(row["px"]))
    network = Exportable(built, metadata_of(built, classes=["a", "b", "c"]))
    try:
        content = onnx_bytes(network)
    except RunError as error:
        return row | {"ONNX": f"no: {error}"}
    answer, worst = session_of(content), 0.0
    for count in (1, 3):
        batch = network.example(count)
        with torch.inference_mode():
            ours = network.module(batch).numpy()
        worst = max(worst, float(np.abs(answer(batch.numpy()) - ours).max() / np.abs(ours).max()))
    return row | {"difference": f"{worst:.0e}", "MiB": f"{len(content) / 2**20:.1f}"}


def rows_of_table() -> Iterator[dict[str, str]]:
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("|")]
    names = [cell.strip() for cell in lines[0].strip("|").split("|")]
    for line in lines[2:]:
        yield dict(zip(names, (cell.strip() for cell in line.strip("|").split("|")), strict=True))


def test_the_table_names_every_network_once():
    assert [(row["task"], row["network"]) for row in rows_of_table()] == [(task, info.name) for task, info in CASES]
    assert sum(row["ONNX"] == "yes" for row in rows_of_table()) >= 70
    assert {row["ONNX"].partition(":")[0] for row in rows_of_table()} == {"yes", "not checked"}


@pytest.mark.parametrize(
    ("task", "info"),
    [pytest.param(*case, id=case[1].name, marks=() if case[1].name in QUICK else pytest.mark.slow) for case in CASES],
)
def test_a_network_answers_as_onnx_as_the_table_says(task, info):
    told = next(row for row in rows_of_table() if (row["task"], row["network"]) == (task, info.name))
    if told["ONNX"].startswith("not checked"):
        pytest.skip("the table does not say")
    found = exported(task, info)
    assert found["ONNX"] == told["ONNX"]
    if found["difference"]:
        assert float(found["difference"]) <= 1e-3


if __name__ == "__main__":
    torch.set_num_threads(1)
    table = _HEAD
    for case in CASES:
        made = exported(*case)
        line = f"| {' | '.join(made.values())} |\n"
        sys.stderr.write(line)
        table += line
    TABLE.write_text(table)
