"""Settings as the arguments of a command line, and back: what the page asks of other processes.

What the app asks of the assistant runs none of the user's own code: ``without_code`` leaves it out.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.io import apply_overrides, overrides_between, parse, to_tree
from fine_tuner.config.presets import list_presets, load_preset, nearest_preset
from fine_tuner.config.sections.second_loss import sections_of_own_code
from fine_tuner.config.settings import Settings
from fine_tuner.config.tasks import default_loss


def argv_of(settings: Settings, start: str | None = None) -> list[str]:
    """``[preset, section.key=value, ...]``: what follows ``train`` or ``plan`` on the command line.

    Args:
        settings: What is to be written.
        start: The preset to start from; None, or one that is not known: the nearest.
    """
    if start in list_presets():
        return [start, *overrides_between(load_preset(start), settings)]
    preset, overrides = nearest_preset(settings)
    return [preset, *overrides]


def command_of(argv: Sequence[str]) -> str:
    """The command line that starts the run of ``argv``, as ``argv_of`` writes it."""
    return shlex.join(["python", "-m", "fine_tuner", "train", *argv])


def settings_of_argv(argv: Sequence[str]) -> Settings:
    """Settings from ``[preset, section.key=value, ...]``; inverse of ``argv_of``.

    Raises:
        ConfigError: If there is no such preset, or an override is wrong.
    """
    if not argv:
        raise ConfigError({"preset": "no preset is named. Give one first, such as 'sample'."})
    return parse(apply_overrides(to_tree(load_preset(argv[0])), argv[1:]))


_OF_CHECK = ("data.", "seed=", "train.batch_size=")  # what a check of the data depends on, besides path and task


def check_argv(settings: Settings) -> list[str]:
    """The command that checks the data of ``settings``: ``[check-data, PATH, --task, TASK, key=value, ...]``."""
    changed = overrides_between(Settings(), settings)
    chosen = [item for item in changed if item.startswith(_OF_CHECK) and not item.startswith("data.path=")]
    return ["check-data", settings.data.path, "--task", settings.task, *chosen]


def without_code(settings: Settings) -> Settings:
    """``settings`` with the task's own loss in place of the user's code; plans and pictures are the same for both."""
    return parse(stand_in_tree(to_tree(settings)))


def stand_in_tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of ``without_code``."""
    stand_ins = {"loss": default_loss(str(tree["task"])), "second_loss": "none"}
    return dict(tree) | {section: {"name": stand_ins[section]} for section in sections_of_own_code(tree)}
