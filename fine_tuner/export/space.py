"""A Hugging Face Space: a folder to push as it is, with a Gradio demo that needs onnxruntime and not this package."""

from __future__ import annotations

import shutil
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from fine_tuner.base.files import write_atomically
from fine_tuner.config.tasks import TargetKind
from fine_tuner.export.model_card import card_text, facts_of_run
from fine_tuner.export.networks.comparison import Comparison
from fine_tuner.export.networks.network import RunNetwork
from fine_tuner.export.networks.onnx_file import write_onnx
from fine_tuner.export.networks.snippets import ask_lines
from fine_tuner.runs.layout import RunFolder

_PINNED = ("gradio", "onnxruntime", "numpy", "pillow")
_APP = '''\
"""Ask the network about a picture. Written by Fine Tuner."""

import json
from pathlib import Path

import gradio as gr
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(str(Path(__file__).with_name("model.onnx")))
about = session.get_modelmeta().custom_metadata_map
classes, how = json.loads(about["classes"]), json.loads(about["preprocessing"])
size, method = how["image_size"], Image.Resampling[how["interpolation"].upper()]


def answer(picture):
    """{docstring}"""
{ask}
{answer}

demo = gr.Interface(answer, gr.Image(type="pil", image_mode=None, label="Picture"), {output}, title={title!r})

if __name__ == "__main__":
    demo.launch()
'''
_ANSWERS: dict[TargetKind, tuple[str, str, str]] = {
    TargetKind.CLASS: (
        "Probability of each class.",
        """\
probs = np.exp(logits[0] - logits[0].max())
return dict(zip(classes, (probs / probs.sum()).tolist()))
""",
        'gr.Label(num_top_classes=5, label="Class")',
    ),
    TargetKind.LABELS: (
        "Probability of each label.",
        "return dict(zip(classes, (1 / (1 + np.exp(-logits[0]))).tolist()))\n",
        'gr.Label(label="Labels")',
    ),
    TargetKind.NUMBERS: (
        "Each number.",
        "return dict(zip(classes, logits[0].tolist()))\n",
        'gr.JSON(label="Numbers")',
    ),
    TargetKind.MASK: (
        "The picture with the part of each class.",
        """\
found = logits[0].argmax(0)
return picture, [((found == index).astype(float), name) for index, name in enumerate(classes)]
""",
        'gr.AnnotatedImage(label="Classes")',
    ),
}


def write_space(run: RunFolder, path: Path) -> Comparison:
    """Write the folder: ``app.py``, ``model.onnx``, ``model.safetensors``, ``requirements.txt`` and ``README.md``.

    Raises:
        RunError: If the run has no weights yet, or its network cannot be written as ONNX.
    """
    network, facts = RunNetwork(run), facts_of_run(run)
    path.mkdir()
    check = write_onnx(network, path / "model.onnx")
    shutil.copyfile(run.best_weights, path / "model.safetensors")
    write_atomically(path / "app.py", app_text(network, facts["title"]))
    write_atomically(path / "requirements.txt", "".join(f"{name}=={version(name)}\n" for name in _PINNED))
    front = {
        "title": facts["title"][:60], "sdk": "gradio", "sdk_version": version("gradio"), "app_file": "app.py",
        "pinned": False, "license": "other",
    }  # fmt: skip
    write_atomically(path / "README.md", front_matter(front) + card_text(facts))
    return check


def app_text(network: RunNetwork, title: str) -> str:
    """``app.py``."""
    docstring, answer, output = _ANSWERS[network.kind]
    return _APP.format(
        docstring=docstring, ask=_indented(ask_lines(network)), answer=_indented(answer), output=output, title=title
    )


def front_matter(values: dict[str, Any]) -> str:
    """What the Hub reads at the top of a README."""
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---\n\n"


def _indented(code: str) -> str:
    return textwrap.indent(code.rstrip("\n"), "    ")
