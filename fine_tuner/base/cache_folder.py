"""Where files that the app can make or download again are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CACHE_VARIABLE = "FINE_TUNER_CACHE"


def cache_folder() -> Path:
    """The folder named by FINE_TUNER_CACHE, else ``fine-tuner`` in the platform's own cache folder."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser().absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "fine-tuner"
