"""OpenVINO, ExecuTorch and Core ML: each needs its own package, which is imported when its format is asked for."""

from __future__ import annotations

import io
import json
import sys
import warnings
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import torch

from fine_tuner.base.errors import RunError
from fine_tuner.export.networks.comparison import Comparison, compare
from fine_tuner.export.networks.network import Exportable, RunNetwork
from fine_tuner.export.networks.onnx_file import onnx_bytes

ABOUT = "about.json"
"""Beside a file that has no room for names and preprocessing."""


def write_openvino(network: RunNetwork, path: Path) -> Comparison:
    """A folder with ``model.xml``, ``model.bin`` and ``about.json``; a batch of any size, float32.

    Raises:
        RunError: If the network cannot be written so, or answers otherwise once written.
        ImportError: If openvino is not installed.
    """
    import openvino

    _start(network, path)
    try:
        model = openvino.convert_model(io.BytesIO(onnx_bytes(network)))
    except RuntimeError as error:
        raise _refused(network, "OpenVINO", error) from None
    openvino.save_model(model, path / "model.xml", compress_to_fp16=False)
    compiled = openvino.Core().compile_model(
        str(path / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}  # else bf16 where the processor has it
    )  # fmt: skip
    return compare(network, lambda batch: compiled(np.ascontiguousarray(batch))[0], path)


def write_executorch(network: RunNetwork, path: Path) -> Comparison:
    """A folder with ``model.pte``, for XNNPACK, and ``about.json``; one picture at a time.

    Raises:
        RunError: If the network cannot be written so, or answers otherwise once written.
        ImportError: If executorch is not installed.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    _start(network, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a library that is ahead of, or behind, this torch
        try:
            lowered = to_edge_transform_and_lower(_program_of_one(network), partitioner=[XnnpackPartitioner()])
            content = lowered.to_executorch().buffer
        except (RuntimeError, NotImplementedError) as error:
            raise _refused(network, "ExecuTorch", error) from None
    (path / "model.pte").write_bytes(content)
    method = Runtime.get().load_program(path / "model.pte").load_method("forward")
    return compare(
        network, lambda batch: method.execute([torch.from_numpy(batch)])[0].numpy(), path, takes_batches=False
    )


def write_coreml(network: RunNetwork, path: Path) -> None:
    """An ``.mlpackage`` for macOS 12 and iOS 15; names and preprocessing as metadata. It runs there only: not checked.

    Raises:
        RunError: If the network cannot be written so.
        ImportError: If coremltools is not installed.
    """
    import coremltools

    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):  # its bars, and that this torch is newer than it
        warnings.simplefilter("ignore")
        try:
            model = coremltools.convert(_program_of_one(network).run_decompositions({}))
        except (RuntimeError, NotImplementedError, ValueError) as error:
            raise _refused(network, "Core ML", error) from None
        model.user_defined_metadata.update(network.facts())
        model.short_description = f"{network.built.name}, fine-tuned for {network.built.task}"
        written = path.with_suffix(".mlpackage")  # it takes no other ending
        model.save(str(written))
        written.rename(path)
    sys.stderr.write("Not checked: Core ML runs on macOS and iOS only.\n")


def _start(network: Exportable, path: Path) -> None:
    path.mkdir()
    (path / ABOUT).write_text(json.dumps(network.facts(), indent=2) + "\n", encoding="utf-8")


def _program_of_one(network: Exportable) -> torch.export.ExportedProgram:
    try:
        return torch.export.export(network.module, (network.example(1),))
    except (RuntimeError, ValueError, TypeError) as error:
        raise _refused(network, "a program of torch", error) from None


def _refused(network: Exportable, runtime: str, error: Exception) -> RunError:
    words = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return RunError(f"{network.built.name} cannot be written for {runtime} ({words}). Use the format onnx.")
