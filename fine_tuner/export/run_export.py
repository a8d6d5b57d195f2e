"""``export RUN --format FORMAT``: one file, made from what lies in the run's folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from fine_tuner.base.errors import InputError, RunError
from fine_tuner.base.files import write_atomically
from fine_tuner.config.io import dump_yaml, overrides_between, parse, read_tree, replace
from fine_tuner.config.live_changes import Change, changes_of, parse_change
from fine_tuner.config.presets import load_preset
from fine_tuner.config.settings import Settings
from fine_tuner.launch.command import shell_text
from fine_tuner.runs.kept_losses import with_kept_losses
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.view.run_view import RunView

_YAML_HEAD = """\
# The settings of the run {run_id}, for: python -m fine_tuner train {file}
"""
_YAML_CHANGES = """\
# schedule.changes holds what was changed while it trained, as STEP:SETTING=VALUE; another run makes the same changes
# after the same number of steps. Take the lines away to train without them.
"""
_YAML_CODE = """\
# {section}.file is the run's own copy of {name}, SHA-256 {sha256}.
"""


def export_run(run: RunFolder, kind: str, output: Path | None = None, *, may_replace: bool = False) -> Path:
    """Write one export of a run.

    Args:
        run: Of which at least the settings are there.
        kind: One of ``FORMATS``.
        output: File, or a folder to put it in; None: the run's ``exports/``.
        may_replace: Take the place of a file that is there; those in ``exports/`` are made anew in any case.

    Returns:
        The file.

    Raises:
        InputError: If there is no such format, the run has not come far enough for it, or the file is there already.
    """
    if kind not in FORMATS:
        raise InputError(f"There is no format {kind!r}. Use one of {', '.join(FORMATS)}.")
    name, make = FORMATS[kind]
    name = name.format(run_id=run.id)
    path = run.path / "exports" / name if output is None else output / name if output.is_dir() else output
    if output is not None and not may_replace and path.exists():
        raise InputError(f"{path} is there already. Give another --output, or --force to replace it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        make(run, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}). Give another --output.") from None
    return path


# ------------------------------------------------------------------ formats
def _weights(run: RunFolder, path: Path) -> None:
    if not run.best_weights.is_file():
        raise RunError(f"The run {run.id} has no weights yet: they are kept after the first validation.")
    if path.resolve() != run.best_weights.resolve():
        shutil.copyfile(run.best_weights, path)


def _yaml(run: RunFolder, path: Path) -> None:
    view = RunView(run)
    settings = with_changes(_settings(run), changes_of_run(view))
    text = _YAML_HEAD.format(run_id=run.id, file=path.name)
    for section, code in view.facts.get("loss_code", {}).items():
        text += _YAML_CODE.format(section=section, name=code["file"], sha256=code["sha256"])
    text += _YAML_CHANGES if settings.schedule.changes else ""
    write_atomically(path, text + dump_yaml(settings))


def _command(run: RunFolder, path: Path) -> None:
    settings = with_changes(_settings(run), changes_of_run(RunView(run)))
    overrides = overrides_between(load_preset("default"), settings)
    words = ["python", "-m", "fine_tuner", "train", "default", *overrides]
    write_atomically(path, f"# The run {run.id}, with all that was changed while it trained.\n{shell_text(words)}\n")


def _script(run: RunFolder, path: Path) -> None:
    from fine_tuner.data.records import DataSplits  # these bring torch, which settings and commands do without
    from fine_tuner.export.script.run import Run
    from fine_tuner.export.script.script import make_script
    from fine_tuner.models.pretrained.state import read_saved

    if not run.splits.is_file():
        raise RunError(f"The run {run.id} has not read its data yet, so no script can repeat it. Start it first.")
    view = RunView(run)
    codes = view.facts.get("loss_code", {})
    settings = _settings(run)
    about = read_saved(run.best_weights) if run.best_weights.is_file() else None
    made = Run(
        id=run.id,
        settings=settings,
        data=DataSplits.from_file(run.splits),
        user_files={section: code["file"] for section, code in codes.items()},
        about=about or {},
        facts=view.facts,
        changes=tuple(map(parse_change, with_changes(settings, changes_of_run(view)).schedule.changes)),
        steps_per_epoch=view.counters.steps_per_epoch,
        caveats=[
            f"at step {mark.step} the run went back to step {mark.rewind_to}, with what it did about it; not done here."
            for mark in view.marks
            if mark.rewind_to is not None
        ],
    )
    write_atomically(path, make_script(made, file=path.name))


FORMATS: Mapping[str, tuple[str, Callable[[RunFolder, Path], None]]] = {
    "safetensors": ("{run_id}.safetensors", _weights),
    "yaml": ("{run_id}.yaml", _yaml),
    "command": ("{run_id}.sh", _command),
    "script": ("{run_id}.py", _script),
}
"""Name of the file and what writes it, by format."""


# ----------------------------------------------------------------- settings
def _settings(run: RunFolder) -> Settings:
    """The run's settings, with its own copies of the user's losses in place of the user's files."""
    return parse(with_kept_losses(read_tree(run.config), run))


def changes_of_run(view: RunView) -> tuple[Change, ...]:
    """What was changed while the run trained, in order; as its curves show it."""
    return changes_of((mark.step, mark.changes) for mark in view.marks if mark.changes)


def with_changes(settings: Settings, changes: tuple[Change, ...]) -> Settings:
    """Settings that make ``changes`` too. Those that the settings asked for are in the log already, once made."""
    if not changes:
        return settings
    planned = [text for text in settings.schedule.changes if text not in {str(change) for change in changes}]
    return replace(settings, f"schedule.changes=[{', '.join(repr(str(text)) for text in [*planned, *changes])}]")
