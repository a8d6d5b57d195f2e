"""``torch.export``: the network as a program that torch runs without this package and without torchvision's code."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.export import Dim

from fine_tuner.base.errors import RunError
from fine_tuner.export.networks.comparison import Comparison, compare
from fine_tuner.export.networks.network import Exportable, RunNetwork

LARGEST_BATCH = 4096


def write_torch_program(network: RunNetwork, path: Path) -> Comparison:
    """Write a ``.pt2`` file with a batch of any size up to LARGEST_BATCH, then check what was written.

    Raises:
        RunError: If torch cannot trace the network, or it answers otherwise once written.
    """
    torch.export.save(program_of(network), path, extra_files=network.facts())
    loaded = torch.export.load(path).module()
    with torch.inference_mode():
        return compare(network, lambda batch: loaded(torch.from_numpy(batch)).numpy(), path)


def program_of(network: Exportable) -> torch.export.ExportedProgram:
    """The network as a program.

    Raises:
        RunError: If torch cannot trace it.
    """
    batch = Dim("batch", min=1, max=LARGEST_BATCH)
    try:
        return torch.export.export(network.module, (network.example(),), dynamic_shapes=({0: batch},))
    except (RuntimeError, ValueError, TypeError) as error:  # torch's own errors of tracing are among them
        words = str(error).splitlines()[0]
        raise RunError(f"torch cannot export {network.built.name} ({words}). Use the format onnx.") from None
