"""Reading a file of weights, of ours or anyone's, without running code from it."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fine_tuner.base.errors import WeightsError

METADATA_KEY = "fine_tuner"
_NESTED = ("state_dict", "model", "model_state_dict", "model_state", "net", "network")
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
# Names in files that torchvision renames when it loads them. Source: torchvision/models/densenet.py
# (_load_state_dict) and vision_transformer.py (MLPBlock._load_from_state_dict).
_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:weight|bias|running_mean|running_var))$")
_VIT = re.compile(r"^(.*\.mlp)\.linear_([12])\.(weight|bias)$")


@dataclass(kw_only=True, slots=True)
class State:
    """Weights as read.

    Attributes:
        tensors: By name in the network; on the CPU.
        versions: Module versions that torch stores with a state dict, or None if the file has none.
        saved: What ``save_model`` of this project wrote with them, else None.
    """

    tensors: dict[str, Tensor]
    versions: Mapping[str, Any] | None = None
    saved: dict[str, Any] | None = None


def read_state(path: Path) -> State:
    """The weights in a safetensors file, or in one of ``torch.save`` (loaded with ``weights_only=True``).

    Understands a state dict nested under ``state_dict``, ``model`` and the like, and names prefixed by ``module.``
    (several devices) or ``_orig_mod.`` (compiled).

    Raises:
        WeightsError: If the file cannot be read, or holds something else.
    """
    if is_safetensors(path):
        return _read_safetensors(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than weights ({_first_line(error)}), and loading it could run code. "
            "Where it was made, save it again with torch.save(model.state_dict(), path) and give that file."
        ) from None
    except (OSError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise WeightsError(
            f"{path} cannot be read as weights ({_first_line(error)}). It may be damaged or only partly copied: "
            "copy or download it again, or give another file."
        ) from None
    tensors, versions = _unwrap(content)
    if not tensors:
        raise WeightsError(
            f"{path} holds no weights by name ({_contents(content)}). Give a file written by "
            "torch.save(model.state_dict(), path), or safetensors."
        )
    return _renamed(tensors, versions)


def is_safetensors(path: Path) -> bool:
    """Whether a file begins like safetensors: the length of a JSON header, then the header."""
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{"


def read_saved(path: Path) -> dict[str, Any] | None:
    """What ``save_model`` wrote beside the weights; None for a file of others.

    Raises:
        WeightsError: If the file is damaged.
    """
    if not is_safetensors(path):
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return _saved(file.metadata())
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from None


def _read_safetensors(path: Path) -> State:
    try:
        with safe_open(path, framework="pt") as file:
            saved = _saved(file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from None
    state = _renamed(*_stripped(tensors, None))
    state.saved = saved
    return state


def _damaged(path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"{path} cannot be read as safetensors ({_first_line(error)}). It may be damaged or only partly copied: copy "
        "it again, or give another file."
    )


def _saved(metadata: Mapping[str, str] | None) -> dict[str, Any] | None:
    text = (metadata or {}).get(METADATA_KEY)
    return None if text is None else json.loads(text)


def _unwrap(content: Any) -> tuple[dict[str, Tensor], Mapping[str, Any] | None]:
    """The innermost state dict and its versions; what is not a tensor is left out."""
    while isinstance(content, Mapping):
        inner = next((content[k] for k in _NESTED if isinstance(content.get(k), Mapping)), None)
        if inner is None:
            tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
            return _stripped(tensors, getattr(content, "_metadata", None))
        content = inner
    return {}, None


def _stripped(
    tensors: dict[str, Tensor], versions: Mapping[str, Any] | None
) -> tuple[dict[str, Tensor], Mapping[str, Any] | None]:
    """Without the prefixes that wrappers put before every name."""
    while prefix := next((p for p in _PREFIXES if tensors and all(k.startswith(p) for k in tensors)), None):
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items()}
        versions = versions and {k.removeprefix(prefix): v for k, v in versions.items()}
    return tensors, versions


def _renamed(tensors: dict[str, Tensor], versions: Mapping[str, Any] | None) -> State:
    def name(old: str) -> str:
        new = _DENSENET.sub(r"\1\2", old)
        return _VIT.sub(lambda m: f"{m[1]}.{3 * (int(m[2]) - 1)}.{m[3]}", new)

    return State(tensors={name(k): v for k, v in tensors.items()}, versions=versions)


def _contents(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"its entries are {', '.join(map(str, list(content)[:5])) or 'none'}"
    return f"it holds a {type(content).__name__}"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")[:200] if str(error).strip() else type(error).__name__
