"""What must be settled before Gradio is imported: no telemetry, a private folder for its files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Gradio builds a table of all past events after every event; this spaces it out to never.
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",
    "GRADIO_ANALYTICS_MAX_EVENTS": "100",
}


@contextmanager
def private_environment() -> Iterator[Path]:
    """Environment of the app; yields a folder that only this user can read (0700), removed at the end."""
    os.environ |= QUIET
    folder = Path(tempfile.mkdtemp(prefix="fine-tuner-"))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
