"""Which code may run: reports of its check, and what a person insisted on, kept by the hash of the file.

They lie in the cache folder of whoever uses the machine, never in a folder of runs: a run that was put there by
somebody else brings code and settings along, but no permission.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.base.files import read_json, write_json
from fine_tuner.config.sections.losses import CustomLoss
from fine_tuner.config.sections.second_loss import Losses, losses_of
from fine_tuner.losses.code import LossCode, LossCodeError, read_code

ALLOW_VARIABLE = "FINE_TUNER_ALLOW_CODE"
"""Set to 1, any code may run: ``app.py --allow-code`` says so to the processes that it starts."""


def custom_losses(settings: Losses) -> Mapping[str, CustomLoss]:
    """The losses of a run that are the user's own code, by section: ``loss``, ``second_loss``."""
    return {section: loss for section, loss in losses_of(settings).items() if isinstance(loss, CustomLoss)}


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


def why_not_run(code: LossCode, loss: CustomLoss, *, task: str, folder: Path) -> str | None:
    """Why code may not run in a process that trains; None if it passed its check here, or somebody insisted here.

    Args:
        code: As it was read, and will run.
        loss: The settings that name it.
        task: One of the four tasks.
        folder: Of reports and permissions.
    """
    if os.environ.get(ALLOW_VARIABLE) == "1" or _permission(folder, code.sha256).exists():
        return None
    report = _report_on(loss, code.sha256, task, folder)
    if report is not None and report.get("ok") is True:
        return None
    return (
        f"the code in {code.path} (SHA-256 {code.sha256[:12]}) has not passed a check on this machine, and a run's "
        f"folder can't vouch for the code in it. Read it, then check it: check-loss {code.path} --task {task}"
        + (f" --entry {loss.entry}" if loss.entry else "")
        + "".join(f" --{name} {shlex.quote(value)}" for name, value in given_to(loss).items())
    )


def given_to(loss: CustomLoss) -> dict[str, str]:
    """What else than file and name a check of a loss depends on, where it is not the default: form and arguments."""
    names = ("inputs", "arguments", "ignored")
    return {name: getattr(loss, name) for name in names if getattr(loss, name) != getattr(CustomLoss(), name)}


def remember(
    folder: Path, report: dict[str, Any], *, entry: str, given: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Keep a report of ``run_check``. A later report on the same code replaces it.

    Args:
        folder: Of all reports.
        report: The report.
        entry: As it was asked for.
        given: As ``given_to``.
    """
    if "sha256" not in report:
        return
    write_json(_path(folder, report["sha256"], report["task"], entry, given), report)


def recall(
    folder: Path, *, sha256: str, task: str, entry: str, given: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any] | None:
    """The last report on this code for this task, form and arguments; None if there is none."""
    return read_json(_path(folder, sha256, task, entry, given))


def why_refused(loss: CustomLoss, *, task: str, folder: Path) -> str | None:
    """Why Train refuses a user's loss; None if it passed its check, or the user insists (``unchecked``).

    Any change of the file, even of a space, and of what it is given asks for a new check.
    """
    try:
        code = read_code(loss.file)
    except LossCodeError as error:
        return str(error)
    if loss.unchecked:
        return None
    insist = "To train all the same, set 'Train without a passed check'."
    report = _report_on(loss, code.sha256, task, folder)
    if report is None:
        return f"{code.path.name} was not checked for {task} since its last change. Press Check. {insist}"
    if report["ok"]:
        return None
    errors = [f["text"] for f in report["findings"] if f["level"] == "error"]
    return f"{code.path.name} failed its check: {errors[0]} {insist}"


def _report_on(loss: CustomLoss, sha256: str, task: str, folder: Path) -> dict[str, Any] | None:
    """The report on a loss as it is asked for; else one on ``auto`` that does not speak against this form.

    A run keeps the form and the name that ``auto`` came to, and is repeated with them.
    """
    exact = recall(folder, sha256=sha256, task=task, entry=loss.entry, given=given_to(loss))
    if exact is not None:
        return exact
    given = {name: value for name, value in given_to(loss).items() if name == "arguments"}
    for entry in (loss.entry, ""):
        report = recall(folder, sha256=sha256, task=task, entry=entry, given=given)
        if report is not None and loss.entry in ("", report["entry"]):
            forms = {f["inputs"]: f["has_meaning"] for f in report.get("inputs", {}).get("forms", ())}
            return report if forms.get(loss.inputs) is not False else None
    return None


def _path(folder: Path, sha256: str, task: str, entry: str, given: Mapping[str, str]) -> Path:
    key = "/".join([sha256, task, entry, *(f"{name}={value}" for name, value in sorted(given.items()))])
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _permission(folder: Path, sha256: str) -> Path:
    return folder / f"permitted-{sha256}.json"
