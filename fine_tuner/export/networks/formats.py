"""Which module writes which format of a network; each is imported when it is asked for, with the packages it needs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from fine_tuner.export.networks import snippets
from fine_tuner.export.networks.comparison import Comparison
from fine_tuner.export.networks.network import RunNetwork, Where
from fine_tuner.runs.layout import RunFolder


def _no_snippet(network: RunNetwork, name: str) -> str:
    return ""


_WRITERS: dict[str, tuple[str, str, Callable[[RunNetwork, str], str]]] = {
    "onnx": ("onnx_file", "write_onnx", snippets.onnx_snippet),
    "onnx-int8": ("onnx_file", "write_int8", snippets.onnx_snippet),
    "torch-export": ("torch_program", "write_torch_program", snippets.torch_snippet),
    "openvino": ("other_runtimes", "write_openvino", snippets.openvino_snippet),
    "executorch": ("other_runtimes", "write_executorch", snippets.executorch_snippet),
    "coreml": ("other_runtimes", "write_coreml", _no_snippet),
}


def write_network(
    run: RunFolder, kind: str, path: Path, *, name: str, preprocessing: Where
) -> tuple[Comparison | None, str]:
    """Write the best network of a run.

    Returns:
        What the check found, None where there can be none; and code that uses the file called ``name``.

    Raises:
        InputError: If the run has no weights yet, or the network cannot be written so.
        ImportError: If a package is missing.
    """
    module, function, snippet = _WRITERS[kind]
    network = RunNetwork(run, preprocessing)
    write: Callable[[RunNetwork, Path], Comparison | None] = getattr(
        import_module(f"fine_tuner.export.networks.{module}"), function
    )
    return write(network, path), snippet(network, name)
