"""Environment of the processes that run a user's code: without the secrets that the app was started with."""

from __future__ import annotations

import os
import re
import site
from collections.abc import Mapping
from pathlib import Path

_SECRET = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|SESSION_?KEY|^(AWS|AZURE|GOOGLE|GCP|GITHUB|OPENAI)_",
    re.IGNORECASE,
)
_HARMLESS = frozenset({"AWS_DEFAULT_REGION", "AWS_REGION", "TOKENIZERS_PARALLELISM"})


def is_secret(name: str) -> bool:
    """Whether a variable of this name may hold a secret.

    >>> [is_secret(n) for n in ("HF_TOKEN", "AWS_ACCESS_KEY_ID", "WANDB_API_KEY", "PATH", "CUDA_VISIBLE_DEVICES")]
    [True, True, True, False, False]
    """
    return name not in _HARMLESS and _SECRET.search(name) is not None


def child_environment(base: Mapping[str, str] | None = None, **extra: str) -> dict[str, str]:
    """Environment for a child: ``base`` (ours by default) without secrets, this package importable, and ``extra``."""
    given = os.environ if base is None else base
    kept = {name: value for name, value in given.items() if not is_secret(name)}
    package = str(Path(__file__).resolve().parents[2])
    paths = [p for p in kept.get("PYTHONPATH", "").split(os.pathsep) if p and p != package]
    if package not in site.getsitepackages():  # else it would be looked through before Python's own modules
        paths.insert(0, package)
    return kept | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"} | extra
