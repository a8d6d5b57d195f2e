"""The check of a user's loss with the user's data, and what Train refuses because of it. No torch here.

Reports are kept in the cache folder by the hash of the file, so a check holds for the page and the command line alike.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.io import FIELDS, parse, read_tree, to_tree
from fine_tuner.config.knobs import lookup
from fine_tuner.config.sections.losses import CustomLoss
from fine_tuner.config.settings import Settings
from fine_tuner.losses.check.sandbox import run_check
from fine_tuner.losses.code import LossCodeError, read_code
from fine_tuner.losses.verdicts import (
    checks_folder,
    custom_losses,
    given_to,
    permit,
    recall,
    remember,
    why_not_run,
    why_refused,
)
from fine_tuner.runs.layout import RunFolder

PROVIDER = "fine_tuner.planning.loss_inputs:first_batch"
_NO_VERDICT = frozenset({"stopped", "setup"})  # findings of a check that never came to the user's code, or was ended


def check_code(
    file: str | Path,
    *,
    task: str,
    entry: str = "",
    given: Mapping[str, str] = MappingProxyType({}),
    settings: Settings | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> dict[str, Any]:
    """Check a user's loss in a child process and keep the report.

    Args:
        file: The user's Python file.
        task: One of the four tasks.
        entry: Name of function or class; empty takes the only one.
        given: As ``given_to``.
        settings: Data and network of the check; None makes them up.
        should_stop: Asked 20 times a second; True ends the check.
        on_stage: Told in words what runs.

    Returns:
        The report of ``run_check``. One that says nothing of the code (cancelled, no data) is not kept.
    """
    provided = {} if settings is None else {"provider": PROVIDER, "arguments": {"settings": _placed(settings)}}
    about = {"task": task, "entry": entry, "given": given}
    report = run_check(file, **about, should_stop=should_stop, on_stage=on_stage, **provided)
    if not _NO_VERDICT & {finding["kind"] for finding in report["findings"]}:
        remember(checks_folder(), report, entry=entry, given=given)
    return report


def _placed(settings: Settings) -> dict[str, Any]:
    """The tree of settings with relative paths made absolute: the check's child works in a folder of its own."""
    tree = to_tree(settings)
    for path in {"model.weights", *(f.path for f in FIELDS if f.knob.widget == "path")}:
        section, _, leaf = path.rpartition(".")
        text = lookup(tree, path)
        if isinstance(text, str) and text and Path(text).expanduser().exists():
            lookup(tree, section)[leaf] = str(Path(text).expanduser().absolute())
    return tree


def refusals(settings: Settings) -> dict[str, str]:
    """Dotted path of a setting to why Train refuses the user's code that it names; empty if nothing stands against it.

    Code that passed its check for this task may train, and any code where the user insists with ``unchecked``.
    """
    found = {}
    for section, loss in custom_losses(settings).items():
        why = why_refused(loss, task=settings.task, folder=checks_folder())
        if why is not None:
            options = [f"--{name} {shlex.quote(value)}" for name, value in given_to(loss).items()]
            command = " ".join(["check-loss", loss.file, *options])
            found[f"{section}.file"] = f"{why} On the command line: {command}, or {section}.unchecked=true."
    return found


def admit_code(settings: Settings) -> None:
    """Let the user's code in ``settings``, which a person gave, train here from now on; see ``refusals``.

    Raises:
        ConfigError: At each setting that names code that may not.
    """
    if refused := refusals(settings):
        raise ConfigError(refused)
    for loss in custom_losses(settings).values():
        if loss.unchecked:
            permit(checks_folder(), read_code(loss.file).sha256)


def refuse_code_of_run(run: RunFolder) -> None:
    """Do nothing if the code that ``run`` would train with may run: what its own settings say of it counts for nothing.

    Raises:
        ConfigError: At each setting that names code which did not pass a check here, or that cannot be read.
    """
    settings = parse(read_tree(run.config))
    refused = {}
    for section, loss in custom_losses(settings).items():
        kept = run.code / f"{section}.py"
        code = read_code(kept if kept.exists() else loss.file)
        why = why_not_run(code, loss, task=settings.task, folder=checks_folder())
        if why is not None:
            refused[f"{section}.file"] = why
    if refused:
        raise ConfigError(refused)


def last_report(loss: CustomLoss, *, task: str) -> dict[str, Any] | None:
    """The last report on the code as it is now; None if there is none."""
    try:
        code = read_code(loss.file)
    except LossCodeError:
        return None
    return recall(checks_folder(), sha256=code.sha256, task=task, entry=loss.entry, given=given_to(loss))
