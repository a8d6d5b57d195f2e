"""What the editor of the user's own loss needs to know of the form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.argv import argv_of, stand_in_tree
from fine_tuner.config.io import parse
from fine_tuner.config.knobs import lookup
from fine_tuner.config.sections.second_loss import LOSS_SECTIONS, sections_of_own_code
from fine_tuner.ui.form.form import Reading


def code_state(reading: Reading) -> dict[str, Any] | None:
    """What the editor needs to know of the form; None where no loss is the user's own.

    Returns:
        ``task``; ``argv``, the command's arguments without the user's code, None while another field is wrong too; and
        ``parts``, one for each loss that is the user's own: its ``section``, ``file`` and ``entry`` as typed, and
        ``keep``, the overrides for what else is set there, such as a weight or arguments.
    """
    tree = reading.tree
    parts = [_part(tree, section) for section in sections_of_own_code(tree)]
    if not parts:
        return None
    return {"task": tree["task"], "argv": _argv_without_code(reading), "parts": parts}


def _part(tree: Mapping[str, Any], section: str) -> dict[str, Any]:
    about = {key: str(lookup(tree, f"{section}.{key}") or "") for key in ("file", "entry")}
    kept = ("weight", "inputs", "arguments", "ignored")
    keep = [f"{section}.{key}={tree[section][key]}" for key in kept if tree[section].get(key) not in (None, "", "auto")]
    if tree[section].get("unchecked") is True:
        keep.append(f"{section}.unchecked=true")
    return {"section": section, **about, "keep": keep}


def _argv_without_code(reading: Reading) -> list[str] | None:
    if any(key.partition("@")[0] not in {f"{s}.file" for s in LOSS_SECTIONS} for key in reading.errors):
        return None
    try:
        return argv_of(parse(stand_in_tree(reading.tree)))
    except ConfigError:
        return None
