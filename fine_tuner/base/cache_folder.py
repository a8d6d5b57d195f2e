"""Where files that the app can make or download again are kept."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

CACHE_VARIABLE = "FINE_TUNER_CACHE"


def cache_folder() -> Path:
    """The folder named by FINE_TUNER_CACHE, else ``fine-tuner`` in the platform's own cache folder."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser().absolute()
    return user_cache_path("fine-tuner", appauthor=False)
