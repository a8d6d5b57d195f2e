"""Which code may run: reports of its check, and what a person insisted on, kept by the hash of the file.

They lie in the cache folder of whoever uses the machine, never in a folder of runs: a run that was put there by
somebody else brings code and settings along, but no permission.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.base.files import read_json, write_json
from fine_tuner.config.sections.losses import CustomLoss, LossBase
from fine_tuner.config.sections.second_loss import SecondLossBase, without_weight
from fine_tuner.losses.code import LossCode, LossCodeError, read_code

ALLOW_VARIABLE = "FINE_TUNER_ALLOW_CODE"
"""Set to 1, any code may run: ``app.py --allow-code`` says so to the processes that it starts."""


class Losses(Protocol):
    """The part of the settings that names losses."""

    @property
    def loss(self) -> LossBase:
        """The loss."""
        ...

    @property
    def second_loss(self) -> SecondLossBase:
        """What is added to it."""
        ...


def custom_losses(settings: Losses) -> Mapping[str, CustomLoss]:
    """The losses of a run that are the user's own code, by section: ``loss``, ``second_loss``."""
    both = {"loss": settings.loss, "second_loss": without_weight(settings.second_loss)}
    return {section: loss for section, loss in both.items() if isinstance(loss, CustomLoss)}


def code_facts(settings: Losses, kept: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """What a run says of the user's code in it: file, hash and place of the run's copy, by section.

    Args:
        settings: With the user's own paths.
        kept: The run's copies by section.
    """
    return {
        section: {
            "file": Path(loss.file).name,
            "entry": loss.entry,
            "sha256": read_code(kept[section]).sha256,
            "kept": f"code/{kept[section].name}",
        }
        for section, loss in custom_losses(settings).items()
    }


def checks_folder() -> Path:
    """Where reports and permissions are kept."""
    return cache_folder() / "loss-checks"


def permit(folder: Path, sha256: str) -> None:
    """Let code with this hash run here from now on, whatever its check says: somebody insists.

    Raises:
        OSError: If the folder cannot be written.
    """
    write_json(_permission(folder, sha256), {"sha256": sha256})


def why_not_run(code: LossCode, *, task: str, entry: str, folder: Path) -> str | None:
    """Why code may not run in a process that trains; None if it passed its check here, or somebody insisted here."""
    if os.environ.get(ALLOW_VARIABLE) == "1" or _permission(folder, code.sha256).exists():
        return None
    report = recall(folder, sha256=code.sha256, task=task, entry=entry)
    if report is not None and report.get("ok") is True:
        return None
    return (
        f"the code in {code.path} (SHA-256 {code.sha256[:12]}) has not passed a check on this machine, and a run's "
        f"folder can't vouch for the code in it. Read it, then check it: check-loss {code.path} --task {task}"
        + (f" --entry {entry}" if entry else "")
    )


def remember(folder: Path, report: dict[str, Any], *, entry: str) -> None:
    """Keep a report of ``run_check``; ``entry`` as it was asked for. A later report on the same code replaces it."""
    if "sha256" not in report:
        return
    write_json(_path(folder, report["sha256"], report["task"], entry), report)


def recall(folder: Path, *, sha256: str, task: str, entry: str) -> dict[str, Any] | None:
    """The last report on this code for this task; None if there is none."""
    return read_json(_path(folder, sha256, task, entry))


def why_refused(loss: CustomLoss, *, task: str, folder: Path) -> str | None:
    """Why Train refuses a user's loss; None if it passed its check, or the user insists (``unchecked``).

    Any change of the file, even of a space, asks for a new check.
    """
    try:
        code = read_code(loss.file)
    except LossCodeError as error:
        return str(error)
    if loss.unchecked:
        return None
    insist = "To train all the same, set 'Train without a passed check'."
    report = recall(folder, sha256=code.sha256, task=task, entry=loss.entry)
    if report is None:
        return f"{code.path.name} was not checked for {task} since its last change. Press Check. {insist}"
    if report["ok"]:
        return None
    errors = [f["text"] for f in report["findings"] if f["level"] == "error"]
    return f"{code.path.name} failed its check: {errors[0]} {insist}"


def _path(folder: Path, sha256: str, task: str, entry: str) -> Path:
    return folder / f"{hashlib.sha256(f'{sha256}/{task}/{entry}'.encode()).hexdigest()[:32]}.json"


def _permission(folder: Path, sha256: str) -> Path:
    return folder / f"permitted-{sha256}.json"
