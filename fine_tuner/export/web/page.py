"""Writes the page: one file with the network inside, or a folder where the network is too large for that.

The runtime is onnxruntime-web (MIT). A page takes it from ``runtime.js`` beside it, which ``runtime_script`` makes of
the npm package, or else from a CDN, whose answer has to have the hash that is written here.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import InputError
from fine_tuner.config.tasks import TargetKind
from fine_tuner.data.mask_coding import legend
from fine_tuner.export.networks.comparison import Comparison, compare
from fine_tuner.export.networks.network import RunNetwork
from fine_tuner.export.networks.onnx_file import onnx_bytes, session_of

RUNTIME_VERSION = "1.30.0"
_CDN = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{RUNTIME_VERSION}/dist"
RUNTIME_FILES = {
    "code": ("ort.wasm.bundle.min.mjs", "sha384-PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG"),
    "wasm": ("ort-wasm-simd-threaded.wasm", "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM"),
}
"""Name in ``dist/`` of the npm package, and its hash as a browser compares it."""
LARGEST_IN_ONE_FILE_MIB = 64


def write_page_file(network: RunNetwork, path: Path, card: Mapping[str, str]) -> Comparison:
    """One HTML file.

    Args:
        network: Takes pixels: ``preprocessing="inside"``.
        path: Of the file.
        card: What the page says of the network, as rows.

    Raises:
        InputError: If the network is too large for one file.
    """
    model = onnx_bytes(network)
    if len(model) > LARGEST_IN_ONE_FILE_MIB << 20:
        raise InputError(
            f"{network.built.name} has {len(model) / 2**20:.0f} MiB, and one HTML file is to have at most "
            f"{LARGEST_IN_ONE_FILE_MIB}. Use the format web, which is a folder."
        )
    inside = f'<script id="model" type="application/octet-stream">{_base64(model)}</script>'
    path.write_text(page_text(network, card, model=inside), encoding="utf-8")
    return compare(network, session_of(model), path)


def write_page_folder(network: RunNetwork, path: Path, card: Mapping[str, str], runtime: Path | None) -> Comparison:
    """A folder: ``index.html``, ``model.js``, and ``runtime.js`` if ``runtime`` names a folder that holds it.

    Raises:
        InputError: If ``runtime`` is no such folder.
    """
    model = onnx_bytes(network)
    path.mkdir()
    (path / "index.html").write_text(page_text(network, card, model=""), encoding="utf-8")
    (path / "model.js").write_text(f'globalThis.FINE_TUNER_MODEL = "{_base64(model)}";\n')
    if runtime is not None:
        (path / "runtime.js").write_text(runtime_script(runtime))
    return compare(network, session_of(model), path)


def page_text(network: RunNetwork, card: Mapping[str, str], *, model: str) -> str:
    """The page; ``model`` is the element that holds the network."""
    here = files(__package__)
    about: dict[str, Any] = {
        "target": network.kind.value,
        "classes": network.about["classes"],
        "preprocessing": network.about["preprocessing"],
        "runtime": {key: {"url": f"{_CDN}/{name}", "integrity": sri} for key, (name, sri) in RUNTIME_FILES.items()},
    }
    if network.kind is TargetKind.MASK:
        about["legend"] = legend(network.about["classes"])
    rows = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in card.items())
    parts = {
        "@TITLE@": html.escape(card.get("Title", network.run.id)),
        "@CARD@": f"<table>{''.join(rows)}</table>",
        "@ABOUT@": json.dumps(about).replace("<", "\\u003c"),  # a class may be called </script>
        "@SCRIPT@": (here / "page.js").read_text(encoding="utf-8"),
        "@MODEL@": model,
    }
    text = (here / "page.html").read_text(encoding="utf-8")
    return re.sub("|".join(parts), lambda found: parts[found[0]], text)  # at once: a class may be called @SCRIPT@


def runtime_script(dist: Path) -> str:
    """``runtime.js`` of the folder ``dist`` of the npm package onnxruntime-web.

    Raises:
        InputError: If its files are missing.
    """
    parts = {}
    for key, (name, _) in RUNTIME_FILES.items():
        if not (dist / name).is_file():
            raise InputError(
                f"{dist} holds no {name}. Run 'npm pack onnxruntime-web@{RUNTIME_VERSION}', unpack it, and give its "
                "folder package/dist as --runtime."
            )
        parts[key] = _base64((dist / name).read_bytes())
    return f"globalThis.FINE_TUNER_RUNTIME = {json.dumps(parts)};\n"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
