"""``export RUN --format FORMAT``: one file or folder, made from what lies in the run's folder."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from fine_tuner.base.errors import InputError, RunError
from fine_tuner.base.files import write_atomically
from fine_tuner.base.text import one_line
from fine_tuner.config.io import dump_yaml, overrides_between, parse, read_tree, replace
from fine_tuner.config.live_changes import Change, changes_of, parse_change
from fine_tuner.config.presets import load_preset
from fine_tuner.config.settings import Settings
from fine_tuner.launch.command import shell_text
from fine_tuner.runs.kept_losses import with_kept_losses
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import best_weights
from fine_tuner.runs.view.run_view import RunView

_YAML_HEAD = """\
# The settings of the run {run_id}, for: python -m fine_tuner train {file}
"""
_YAML_CHANGES = """\
# schedule.changes holds what was changed while it trained, as STEP:SETTING=VALUE; another run makes the same changes
# after the same number of steps. Take the lines away to train without them.
"""
_YAML_CODE = """\
# {section}.file is the run's own copy of {code}, SHA-256 {sha256}.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportOptions:
    """What some formats can be told.

    Attributes:
        preprocessing: Of networks: whether the file takes normalised numbers, or pixels and normalises them itself.
        runtime: Of the page without a server: the folder of onnxruntime-web to put beside it; None: from a CDN.
    """

    preprocessing: Literal["inside", "outside"] = "outside"
    runtime: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        path: The file or folder.
        check: How it compares with the network in PyTorch, as plain values; {} for what is no network.
        lines: The same for a person.
        snippet: Code to paste that uses it; "" for what needs none.
    """

    path: Path
    check: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()
    snippet: str = ""


Make = Callable[[RunFolder, Path, str, ExportOptions], Exported | None]
"""Writes a draft of the export of a run at a path; the third is the name that it will have. None: nothing to tell."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes:
        name: Of the file, with ``{run_id}``.
        make: Writes it.
        what: In a few words.
        needs: Package that is not installed with this one, as pip knows it; "" for none.
    """

    name: str
    make: Make
    what: str
    needs: str = ""


def export_run(
    run: RunFolder,
    kind: str,
    output: Path | None = None,
    *,
    may_replace: bool = False,
    options: ExportOptions | None = None,
) -> Exported:
    """Write one export of a run, whole or not at all.

    Args:
        run: Of which at least the settings are there.
        kind: One of ``FORMATS``.
        output: File, or a folder to put it in; None: the run's ``exports/``.
        may_replace: Take the place of a file that is there; those in ``exports/`` are made anew in any case.
        options: None: as they are by default.

    Raises:
        InputError: If there is no such format, the run has not come far enough for it, the file is there already, or
            a package that writes it is not installed.
    """
    if kind not in FORMATS:
        raise InputError(f"There is no format {kind!r}. Use one of {', '.join(FORMATS)}.")
    wanted = FORMATS[kind]
    name = wanted.name.format(run_id=run.id)
    path = run.path / "exports" / name if output is None else output / name if output.is_dir() else output
    if output is not None and not may_replace and os.path.lexists(path):  # also a link that leads nowhere
        raise InputError(f"{path} is there already. Give another --output, or --force to replace it.")
    try:
        with _draft_of(path) as draft:
            told = wanted.make(run, draft, path.name, options or ExportOptions())
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}). Give another --output.") from None
    except ImportError as error:
        package = wanted.needs or error.name
        raise InputError(
            f"The format {kind} needs {package}, which is not installed here. Run: pip install {package}"
        ) from None
    return dataclasses.replace(told, path=path) if told else Exported(path=path)


@contextmanager
def _draft_of(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write a file or a folder at, which then takes the name; nothing is left if it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as place:
        draft, old = Path(place, f"new-{path.name}"), Path(place, f"old-{path.name}")
        yield draft
        if path.is_dir():  # a folder cannot be replaced in one step
            path.rename(old)
        draft.replace(path)


# ------------------------------------------------------------------ formats
def _weights(run: RunFolder, path: Path, name: str, options: ExportOptions) -> None:
    shutil.copyfile(best_weights(run), path)


def _yaml(run: RunFolder, path: Path, name: str, options: ExportOptions) -> None:
    view = RunView(run)
    settings = with_changes(_settings(run), changes_of_run(view))
    text = _YAML_HEAD.format(run_id=one_line(run.id), file=one_line(name))
    for section, code in view.started.get("loss_code", {}).items():
        text += _YAML_CODE.format(section=section, code=one_line(code["file"]), sha256=one_line(code["sha256"]))
    text += _YAML_CHANGES if settings.schedule.changes else ""
    write_atomically(path, text + dump_yaml(settings))


def _command(run: RunFolder, path: Path, name: str, options: ExportOptions) -> None:
    settings = with_changes(_settings(run), changes_of_run(RunView(run)))
    overrides = overrides_between(load_preset("default"), settings)
    words = ["python", "-m", "fine_tuner", "train", "default", *overrides]
    write_atomically(
        path, f"# The run {one_line(run.id)}, with all that was changed while it trained.\n{shell_text(words)}\n"
    )


def _script(run: RunFolder, path: Path, name: str, options: ExportOptions) -> None:
    write_atomically(path, _script_text(run, name))


def _bundle(run: RunFolder, path: Path, name: str, options: ExportOptions) -> None:
    from fine_tuner.export.bundle import write_bundle

    settings = with_changes(parse(read_tree(run.config)), changes_of_run(RunView(run)))
    write_bundle(run, path, settings=settings, script=_script_text(run, "script.py"))


def _script_text(run: RunFolder, name: str) -> str:
    from fine_tuner.data.records import DataSplits  # these bring torch, which settings and commands do without
    from fine_tuner.export.script.run import Run
    from fine_tuner.export.script.script import make_script
    from fine_tuner.models.pretrained.state import read_saved

    if not run.splits.is_file():
        raise RunError(f"The run {run.id} has not read its data yet, so no script can repeat it. Start it first.")
    view = RunView(run)
    codes = view.started.get("loss_code", {})
    settings = _settings(run)
    about = read_saved(run.best_weights) if run.best_weights.is_file() else None
    made = Run(
        id=run.id,
        settings=settings,
        data=DataSplits.from_file(run.splits),
        user_files={section: code["file"] for section, code in codes.items()},
        about=about or {},
        facts=view.started,
        changes=tuple(map(parse_change, with_changes(settings, changes_of_run(view)).schedule.changes)),
        steps_per_epoch=view.facts.steps_per_epoch,
        stopped=_stopped(view),
        caveats=[
            f"at step {mark.step} the run went back to step {mark.rewind_to}, with what it did about it; not done here."
            for mark in view.marks
            if mark.rewind_to is not None
        ],
    )
    return make_script(made, file=name)


def _network(run: RunFolder, path: Path, name: str, options: ExportOptions, *, kind: str) -> Exported:
    from fine_tuner.export.networks.formats import write_network  # brings torch, and what writes the format

    check, snippet = write_network(run, kind, path, name=name, preprocessing=options.preprocessing)
    told = {"check": check.to_json(), "lines": check.lines()} if check else {}
    return Exported(path=path, snippet=snippet, **told)


def _page(run: RunFolder, path: Path, name: str, options: ExportOptions) -> Exported:
    from fine_tuner.export.model_card import card_rows
    from fine_tuner.export.networks.network import RunNetwork
    from fine_tuner.export.web.page import write_page_file, write_page_folder

    network, card = RunNetwork(run, "inside"), card_rows(run)
    if name.endswith((".html", ".htm")):
        check = write_page_file(network, path, card)
    else:
        check = write_page_folder(network, path, card, options.runtime)
    return Exported(path=path, check=check.to_json(), lines=check.lines())


def _space(run: RunFolder, path: Path, name: str, options: ExportOptions) -> Exported:
    from fine_tuner.export.space import write_space

    check = write_space(run, path)
    return Exported(path=path, check=check.to_json(), lines=check.lines())


def _card(run: RunFolder, path: Path, name: str, options: ExportOptions) -> None:
    from fine_tuner.export.model_card import write_card

    write_card(run, path)


def _numbers(run: RunFolder, path: Path, name: str, options: ExportOptions, *, kind: str) -> None:
    view = RunView(run)
    if not view.series:
        raise RunError(f"The run {run.id} has recorded no number yet. Export it after its first step.")
    from fine_tuner.export import metrics_files

    getattr(metrics_files, f"write_{kind}")(view, path)


FORMATS: Mapping[str, Format] = {
    "safetensors": Format("{run_id}.safetensors", _weights, "the best weights, class names and preprocessing inside"),
    "yaml": Format("{run_id}.yaml", _yaml, "every setting; 'train FILE.yaml' repeats the run"),
    "command": Format("{run_id}.sh", _command, "the same as one command"),
    "script": Format("{run_id}.py", _script, "repeats the run where Fine Tuner is not installed"),
    "bundle": Format("{run_id}-bundle", _bundle, "all that decided the run, for 'verify'"),
    "onnx": Format("{run_id}.onnx", partial(_network, kind="onnx"), "the network for onnxruntime"),
    "onnx-int8": Format("{run_id}.int8.onnx", partial(_network, kind="onnx-int8"), "the same in 8 bits"),
    "torch-export": Format("{run_id}.pt2", partial(_network, kind="torch-export"), "the network for torch alone"),
    "openvino": Format("{run_id}-openvino", partial(_network, kind="openvino"), "for OpenVINO", "openvino"),
    "executorch": Format("{run_id}-executorch", partial(_network, kind="executorch"), "for phones", "executorch"),
    "coreml": Format("{run_id}.mlpackage", partial(_network, kind="coreml"), "for macOS and iOS", "coremltools"),
    "html": Format("{run_id}.html", _page, "a page with the network inside, which runs in the browser"),
    "space": Format("{run_id}-space", _space, "a Hugging Face Space with a demo, to push as it is"),
    "card": Format("{run_id}-card.md", _card, "a model card for the Hub"),
    "csv": Format("{run_id}.csv", partial(_numbers, kind="csv"), "every recorded number as a table", "pandas"),
    "parquet": Format("{run_id}.parquet", partial(_numbers, kind="parquet"), "the same with types", "pyarrow"),
    "tensorboard": Format(
        "{run_id}-tensorboard", partial(_numbers, kind="tensorboard"), "for tensorboard --logdir", "tensorboard"
    ),
    "web": Format("{run_id}-web", _page, "the same as a folder, for large networks"),
}
"""By the name that ``--format`` takes."""


def _stopped(view: RunView) -> tuple[int, bool] | None:
    """Steps after which the user ended a run, and whether those were validated; None for every other run."""
    if view.status != "stopped":
        return None
    step = view.facts.step
    validated = view.series.get("val/loss")
    return step, step > 0 and validated is not None and step in validated.step.tolist()


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
