"""ONNX: one file that onnxruntime runs on servers, phones and in browsers; in float32, or rounded to int8.

Written by torch's TorchScript exporter. Its successor (``dynamo=True``) gives the same numbers for the same networks
and takes 10 to 25 times as long (shufflenet_v2_x0_5: 35 s against 2.0, swin_t: 88 against 4.1, on two busy cores).
"""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from fine_tuner.base.errors import RunError
from fine_tuner.export.networks.comparison import Answer, Comparison, compare
from fine_tuner.export.networks.network import INPUT, OUTPUT, Exportable, Pictures, RunNetwork
from fine_tuner.export.networks.plain_operators import plain_attention, plain_pools

OPSET = 17
LARGEST_BYTES = 2**31 - 2**24  # protobuf's limit of one message is 2 GiB
CALIBRATION_PICTURES = 64


def write_onnx(network: RunNetwork, path: Path) -> Comparison:
    """Write the network, then check what was written.

    Raises:
        RunError: If the network is too large, uses what ONNX has no word for, or answers otherwise once written.
    """
    path.write_bytes(onnx_bytes(network))
    return compare(network, session_of(path), path)


def onnx_bytes(network: Exportable) -> bytes:
    """The file's content, with a batch of any size and ``Exportable.facts`` as metadata.

    Raises:
        RunError: If the network is too large, or uses what ONNX has no word for.
    """
    weights = sum(p.numel() * p.element_size() for p in network.module.state_dict().values())
    if weights > LARGEST_BYTES:
        raise RunError(
            f"{network.built.name} has {weights / 2**30:.1f} GiB of weights, and one ONNX file holds 2. Use the format "
            "torch-export."
        )
    written = io.BytesIO()
    try:
        with plain_pools(network.module), plain_attention(), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            # quiet: that it will be replaced, what tracing leaves fixed (checked below), and graphs that fail
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.module, (network.example(),), written, dynamo=False, opset_version=OPSET,
                input_names=[INPUT], output_names=[OUTPUT], dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
            )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        words = str(error).splitlines()[0]
        raise RunError(
            f"{network.built.name} cannot be written as ONNX ({words}). Use the format torch-export."
        ) from None
    model = onnx.load_model_from_string(written.getvalue())
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, network.facts())
    return model.SerializeToString()


def session_of(model: Path | bytes) -> Answer:
    """The file, or its content, in onnxruntime on the processor."""
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    return lambda batch: session.run([OUTPUT], {INPUT: np.ascontiguousarray(batch)})[0]


# ---------------------------------------------------------------------- int8
class _Calibration(CalibrationDataReader):
    """Training pictures, one after the other."""

    def __init__(self, pictures: Pictures) -> None:
        self._left: Iterator[Any] = iter(pictures.inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next picture; None at the end."""
        picture = next(self._left, None)
        return None if picture is None else {INPUT: picture.numpy()}


def write_int8(network: RunNetwork, path: Path) -> Comparison:
    """Write the network with weights and activations in 8 bits; ranges are those of training pictures.

    Raises:
        RunError: As ``write_onnx``.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".int8-") as place:
        full, prepared = Path(place, "full.onnx"), Path(place, "prepared.onnx")
        full.write_bytes(onnx_bytes(network))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about choices that are ours
            quant_pre_process(str(full), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared), str(path), _Calibration(network.pictures("train", CALIBRATION_PICTURES)),
                quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            )  # fmt: skip
    model = onnx.load(str(path))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, network.facts())
    onnx.save(model, str(path))
    return compare(network, session_of(path), path, may_differ=True)
