"""A run computes to its end in the precision it began with, whatever is measured meanwhile."""

from __future__ import annotations

from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import RunStarted, read_events


def keep_precision(settings: Settings, folder: RunFolder) -> Settings:
    """Settings in which ``auto`` is what it was when the run began; others are left as they are."""
    wanted = settings.precision
    if "auto" not in (wanted.dtype, wanted.channels_last):
        return settings
    events, _ = read_events(folder.events)
    facts = next((e.payload.facts for e in events if isinstance(e.payload, RunStarted)), {})
    if "is_channels_last" not in facts:
        return settings
    layout = "on" if facts["is_channels_last"] else "off"
    return replace(settings, f"precision.dtype={facts['precision']}", f"precision.channels_last={layout}")
