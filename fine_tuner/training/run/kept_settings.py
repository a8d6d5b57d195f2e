"""What a run keeps in every attempt: code and form of own losses, precision, how its frozen part runs.

The code is copied into the run's folder, run from there, and told of in the run's facts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from fine_tuner.base.files import write_atomically
from fine_tuner.config.io import parse, replace, to_tree
from fine_tuner.config.settings import Settings
from fine_tuner.losses.code import read_code
from fine_tuner.losses.custom import CustomLossModule
from fine_tuner.losses.verdicts import code_facts, custom_losses
from fine_tuner.runs.kept_losses import keep_form, kept_code, kept_form, with_kept_losses
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import RunStarted, read_events


def keep_code(settings: Settings, folder: RunFolder) -> Settings:
    """Settings whose losses of the user's own come from the run's copy, made by its first attempt.

    What trained stays with the run, whatever becomes of the user's file; a resume runs the same code.
    """
    for section, loss in custom_losses(settings).items():
        kept = kept_code(folder, section)
        if not kept.exists():
            write_atomically(kept, read_code(Path(loss.file)).text)
    return parse(with_kept_losses(to_tree(settings), folder))


def keep_forms(loss_fn: nn.Module, settings: Settings, folder: RunFolder) -> None:
    """Keep what the user's losses in ``loss_fn`` are given, so that every later attempt does the same."""
    modules = [m for m in loss_fn.modules() if isinstance(m, CustomLossModule)]  # the first loss before the second
    for section, module in zip(custom_losses(settings), modules, strict=True):
        given = module.adaptation
        keep_form(folder, section, {"entry": module.entry, "inputs": given.inputs, "ignored": given.ignored})


def with_code(facts: dict[str, Any], asked: Settings, folder: RunFolder) -> dict[str, Any]:
    """Facts of a run with file, hash and place of the user's own losses, and a line that says so.

    Args:
        facts: Of the run.
        asked: Settings as in ``config.yaml``: they name the user's files.
        folder: Of the run; holds the copies.
    """
    kept = {section: kept_code(folder, section) for section in custom_losses(asked)}
    code = code_facts(asked, kept)
    if not code:
        return facts
    for section, about in code.items():
        about["inputs"] = kept_form(folder, section)["inputs"]
    notices = [
        f"The code of {c['file']} trains with inputs={c['inputs']}; it is kept in {c['kept']}, SHA-256 {c['sha256']}."
        for c in code.values()
    ]
    return facts | {"loss_code": code, "notices": [*facts["notices"], *notices]}


def keep_features(settings: Settings, folder: RunFolder) -> Settings:
    """Settings whose frozen part runs in every epoch, if the run began before it could run once; else they stay."""
    events, _ = read_events(folder.events)
    facts = next((e.payload.facts for e in events if isinstance(e.payload, RunStarted)), None)
    return replace(settings, "train.features=off") if facts is not None and "features" not in facts else settings


def began_with(folder: RunFolder) -> int | None:
    """On how many devices the run began; None: it has not begun."""
    events, _ = read_events(folder.events)
    facts = next((e.payload.facts for e in events if isinstance(e.payload, RunStarted)), None)
    return None if facts is None else int(facts.get("began_with_devices", 1))


def keep_precision(settings: Settings, folder: RunFolder) -> Settings:
    """Settings in which ``auto`` is what it was in the last attempt, whatever was measured since; others stay."""
    wanted = settings.precision
    if "auto" not in (wanted.dtype, wanted.channels_last):
        return settings
    events, _ = read_events(folder.events)
    facts = next((e.payload.facts for e in reversed(events) if isinstance(e.payload, RunStarted)), {})
    if "is_channels_last" not in facts:
        return settings
    layout = "on" if facts["is_channels_last"] else "off"
    return replace(settings, f"precision.dtype={facts['precision']}", f"precision.channels_last={layout}")
