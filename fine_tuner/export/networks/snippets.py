"""Code to paste: from a picture to the exported network's answer, without this package."""

from __future__ import annotations

from fine_tuner.config.tasks import TargetKind
from fine_tuner.export.networks.network import INPUT, OUTPUT, RunNetwork

_ONNX_HEAD = """\
import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession({file!r})
about = session.get_modelmeta().custom_metadata_map
classes, how = json.loads(about["classes"]), json.loads(about["preprocessing"])
"""
_TORCH_HEAD = """\
import json

import numpy as np
import torch
from PIL import Image, ImageOps

about = {{"classes": "", "preprocessing": ""}}
network = torch.export.load({file!r}, extra_files=about).module()
classes, how = json.loads(about["classes"]), json.loads(about["preprocessing"])
"""
_OPENVINO_HEAD = """\
import json
from pathlib import Path

import numpy as np
import openvino
from PIL import Image, ImageOps

folder = Path({file!r})
network = openvino.Core().compile_model(folder / "model.xml", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
about = json.loads((folder / "about.json").read_text())
classes, how = json.loads(about["classes"]), json.loads(about["preprocessing"])
"""
_EXECUTORCH_HEAD = """\
import json
from pathlib import Path

import numpy as np
import torch
from executorch.runtime import Runtime
from PIL import Image, ImageOps

folder = Path({file!r})
network = Runtime.get().load_program(folder / "model.pte").load_method("forward")
about = json.loads((folder / "about.json").read_text())
classes, how = json.loads(about["classes"]), json.loads(about["preprocessing"])
"""
_PICTURE = """\
size, method = how["image_size"], Image.Resampling[how["interpolation"].upper()]
with Image.open("picture.jpg") as picture:
"""
_DRAFT = """\
    if picture.format == "JPEG":  # large ones are decoded at a fraction of their size, as in training
        least, short = 2 * max(size, how["resize_size"]), min(picture.size)
        picture.draft(None, [-(-side * least // short) for side in picture.size])
"""
_LOAD = """\
    picture.load()
"""
_UPRIGHT = """\
picture = ImageOps.exif_transpose(picture)
if picture.mode == "F" or picture.mode.startswith("I"):  # more than 8 bits
    black, white = how.get("pixel_range") or (0, 65535)
    values = np.clip(np.asarray(picture).astype(float), black, white) - black
    picture = Image.fromarray((values * 255 / (white - black)).astype(np.uint8))
if picture.has_transparency_data:
    picture = picture.convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
picture = picture.convert("RGB")
"""
_CROP = """\
to, short = max(size, how["resize_size"]), min(picture.size)
picture = picture.resize([int(to * side / short) for side in picture.size], method)
left, top = (round((side - size) / 2) for side in picture.size)
picture = picture.crop((left, top, left + size, top + size))
"""
_STRETCH = """\
picture = picture.resize((size, size), method)
"""
_FIT = """\
small = [max(1, round(side * size / max(picture.size))) for side in picture.size]
square = Image.new("RGB", (size, size), tuple(round(255 * m) for m in how["mean"]))
square.paste(picture.resize(small, method), [-round((side - size) / 2) for side in small])
picture = square
"""
_OUTSIDE = """\
pixels = (np.asarray(picture) / 255 - how["mean"]) / how["std"]
images = pixels.transpose(2, 0, 1)[None].astype(np.float32)
"""
_INSIDE = """\
images = np.asarray(picture)[None]
"""
_ASK_ONNX = f'(logits,) = session.run(["{OUTPUT}"], {{"{INPUT}": images}})\n'
_ASK_TORCH = "logits = network(torch.from_numpy(images.copy())).detach().numpy()\n"
_ASK_OPENVINO = "logits = network(images)[0]\n"
_ASK_EXECUTORCH = "logits = network.execute([torch.from_numpy(images.copy())])[0].numpy()\n"
_ANSWERS = {
    TargetKind.CLASS: """\
probs = np.exp(logits[0] - logits[0].max())
probs /= probs.sum()
for index in probs.argsort()[::-1][:5]:
    print(f"{classes[index]}: {probs[index]:.4f}")
""",
    TargetKind.LABELS: """\
for name, prob in zip(classes, 1 / (1 + np.exp(-logits[0]))):
    print(f"{name}: {prob:.4f}")
""",
    TargetKind.NUMBERS: """\
for name, value in zip(classes, logits[0]):
    print(f"{name}: {value:.6g}")
""",
    TargetKind.MASK: """\
found = logits[0].argmax(0)  # the class of every pixel of the square
for index, name in enumerate(classes):
    print(f"{name}: {(found == index).mean():.4f}")
""",
}
_FITS = {TargetKind.CLASS: _CROP, TargetKind.MASK: _FIT}


def onnx_snippet(network: RunNetwork, file: str) -> str:
    """For onnxruntime."""
    return _ONNX_HEAD.format(file=file) + _body(network, _ASK_ONNX)


def torch_snippet(network: RunNetwork, file: str) -> str:
    """For torch without torchvision."""
    return _TORCH_HEAD.format(file=file) + _body(network, _ASK_TORCH)


def openvino_snippet(network: RunNetwork, file: str) -> str:
    """For OpenVINO."""
    return _OPENVINO_HEAD.format(file=file) + _body(network, _ASK_OPENVINO)


def executorch_snippet(network: RunNetwork, file: str) -> str:
    """For ExecuTorch's runtime in Python."""
    return _EXECUTORCH_HEAD.format(file=file) + _body(network, _ASK_EXECUTORCH)


def _body(network: RunNetwork, ask: str) -> str:
    fit = _FITS.get(network.kind, _STRETCH)
    numbers = _INSIDE if network.preprocessing == "inside" else _OUTSIDE
    return f"\n{reading_lines(network.kind)}{fit}{numbers}{ask}{_ANSWERS[network.kind]}"


def reading_lines(kind: TargetKind) -> str:
    """From the file ``picture.jpg`` to an RGB ``picture``, given ``how``; the same pixels as ``load_image`` gives."""
    return _PICTURE + ("" if kind is TargetKind.MASK else _DRAFT) + _LOAD + _UPRIGHT


def ask_lines(network: RunNetwork) -> str:
    """From a ``picture`` of Pillow to ``logits``, given ``size``, ``method``, ``how`` and a ``session``."""
    return (
        _UPRIGHT
        + _FITS.get(network.kind, _STRETCH)
        + (_INSIDE if network.preprocessing == "inside" else _OUTSIDE)
        + _ASK_ONNX
    )
