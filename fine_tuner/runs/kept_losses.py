"""The losses of the user's own that a run keeps: their code, and in which form they were given output and target.

``code/<section>.py`` is the code as it trained, ``code/<section>.json`` what was decided for it when the run began:
``entry``, ``inputs`` and ``ignored`` as settings. Whoever repeats the run (a resume, a clone, a script) takes both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fine_tuner.base.files import read_json, write_json
from fine_tuner.config.sections.second_loss import sections_of_own_code
from fine_tuner.runs.layout import RunFolder


def kept_code(run: RunFolder, section: str) -> Path:
    """Where the run's copy of the code of a loss is, or will be."""
    return run.code / f"{section}.py"


def kept_form(run: RunFolder, section: str) -> dict[str, str]:
    """What was decided for a loss, as settings of its section; empty if the run never began."""
    return read_json(run.code / f"{section}.json") or {}


def keep_form(run: RunFolder, section: str, form: Mapping[str, str]) -> None:
    """Keep what was decided for a loss; the first decision stays."""
    if not kept_form(run, section):
        write_json(run.code / f"{section}.json", dict(form))


def with_kept_losses(tree: Mapping[str, Any], run: RunFolder) -> dict[str, Any]:
    """A tree of settings with the losses that the run kept, in place of the user's files."""
    out = dict(tree)
    for section in sections_of_own_code(tree):
        if kept_code(run, section).is_file():
            file = str(kept_code(run, section).resolve())
            out[section] = {**out[section], **kept_form(run, section), "file": file}
    return out
