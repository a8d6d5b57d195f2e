"""The runs folder: making, finding, listing and removing runs. Several apps and terminals may share one."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import ConfigError, RunError
from fine_tuner.base.files import change_json, read_json, sync_folder, write_atomically, write_json
from fine_tuner.base.registry import suggest
from fine_tuner.config.io import dump_yaml, parse, read_tree, to_tree
from fine_tuner.config.settings import Settings
from fine_tuner.runs.identity import data_name, make_id, make_info
from fine_tuner.runs.layout import RunFolder, newer_version
from fine_tuner.runs.log import cache
from fine_tuner.runs.view.opening import Opening
from fine_tuner.runs.view.run_view import RunView
from fine_tuner.runs.view.status import LIVE, look
from fine_tuner.runs.view.summary import (
    RunSummary,
    fingerprint,
    load_summary,
    save_summary,
    summarise,
    summarise_newer,
    summarise_unread,
)

_VIEWS = 16  # folds kept in memory; one of a million steps takes 140 MB
_VIEW_POINTS = 40_000_000  # points of all of them together
_LONG_LOG_BYTES = 8 << 20  # that no cache covers: an eighth of a second
_LOOKED_BACK = 50  # runs, for one of the same data
_TRASH = ".trash"
_FIRST_FILES = tuple(str(path) for run in [RunFolder(Path())] for path in (run.info, run.config, run.events))


class RunStore:
    """All runs below one folder. Safe to use from several threads, and beside other stores of the same folder."""

    def __init__(self, root: Path | str) -> None:
        """The folder is made when the first run is."""
        self.root = Path(root).expanduser().absolute()
        self._lock = threading.Lock()
        self._views: OrderedDict[str, RunView] = OrderedDict()
        self._openings: dict[str, Opening] = {}
        self._reader: threading.Thread | None = None
        self._lines: dict[str, tuple[list[list[int]], RunSummary]] = {}

    # --------------------------------------------------------------- making
    def create(self, settings: Settings, *, argv: Sequence[str], parent: str | None = None) -> RunFolder:
        """Make the folder of a new run, with run.json and config.yaml; it appears whole or not at all.

        Args:
            settings: Every setting, resolved.
            argv: Command line that describes the run, for the record.
            parent: Id of the run it was cloned from.

        Raises:
            RunError: If the runs folder cannot be written.
        """
        unfinished = self.root / f".new-{os.getpid()}-{secrets.token_hex(6)}"
        try:
            unfinished.mkdir(parents=True)
            for name in ("control", "logs"):
                (unfinished / name).mkdir()
            write_atomically(unfinished / "config.yaml", dump_yaml(settings))
            before = self._settings_before(settings, parent)
            while True:
                run_id = make_id(settings)
                write_json(unfinished / "run.json", make_info(run_id, settings, argv, parent, before))
                try:
                    unfinished.rename(self.root / run_id)  # fails if it is there: a run folder is never empty
                except OSError:
                    if not (self.root / run_id).exists():
                        raise
                    continue
                break
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise RunError(
                f"The run cannot be made in {self.root}: {error.strerror or error}. "
                "Free some space or give another folder with --runs."
            ) from None
        sync_folder(self.root)
        return RunFolder(self.root / run_id)

    def _settings_before(self, settings: Settings, parent: str | None) -> Mapping[str, Any] | None:
        """Settings of the run that a new one follows: the one it was made from, or the newest of the same data."""
        mine = (data_name(settings.data.path), settings.task)
        for run_id in [parent] if parent else self.ids()[:_LOOKED_BACK]:
            run = RunFolder(self.root / run_id)
            info = read_json(run.info) or {}
            if parent or (info.get("data"), info.get("task")) == mine:
                with suppress(ConfigError):
                    return to_tree(parse(read_tree(run.config)))  # with what it did not know yet
        return None

    # -------------------------------------------------------------- finding
    def ids(self) -> list[str]:
        """Ids of all runs, newest first.

        Raises:
            RunError: If the runs folder is there and cannot be read.
        """
        try:
            with os.scandir(self.root) as entries:
                names = [e.name for e in entries if _is_name(e.name) and e.is_dir() and _holds_run(e.path)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunError(
                f"The runs folder {self.root} cannot be read: {error.strerror}. Give another with --runs."
            ) from None
        return sorted(names, reverse=True)

    def get(self, id_or_path: str | Path) -> RunFolder:
        """The folder of a run.

        Args:
            id_or_path: A text is an id, never a path, so that it may come from a page; a ``Path`` is a run folder
                anywhere.

        Raises:
            RunError: If there is no such run, with the id that was probably meant.
        """
        if isinstance(id_or_path, Path):
            run = RunFolder(id_or_path.expanduser().absolute())
            if _holds_run(run.path):
                return _readable(run)
            raise RunError(f"{id_or_path} is no run folder: it holds no run.json. Give a run's id or its folder.")
        if not _is_name(id_or_path):
            raise RunError(f"{id_or_path!r} is not a run's id: ids hold no path. See the list of runs.")
        run = RunFolder(self.root / id_or_path)
        if not _holds_run(run.path):
            raise RunError(f"There is no run {id_or_path!r} in {self.root}.{self._hint(id_or_path)}")
        return _readable(run)

    def _hint(self, text: str) -> str:
        ids = self.ids()
        if not ids:
            return " The folder holds no runs; give another with --runs."
        parts = [run_id for run_id in ids if text in run_id]
        return f" Did you mean {parts[0]!r}?" if parts else suggest(text, ids) or f" The newest is {ids[0]!r}."

    def find(self, text: str) -> RunFolder:
        """As ``get``, for text that a person typed at a terminal: an id, or the path of a run folder.

        Raises:
            RunError: As ``get``.
        """
        looks_like_path = os.sep in text or text.startswith((".", "~"))
        if not looks_like_path and _holds_run(self.root / text):
            return self.get(text)
        folder = Path(text).expanduser()
        return self.get(folder if looks_like_path or _holds_run(folder) else text)

    # -------------------------------------------------------------- viewing
    def view(self, run_id: str) -> RunView:
        """The up-to-date view of a run; the same object as long as it is in use, so that it only reads on.

        Raises:
            RunError: If there is no such run.
        """
        view = self._wait_for(run_id, None)
        assert isinstance(view, RunView)
        return view

    def view_of(self, run: RunFolder) -> RunView:
        """The view of a run that may lie elsewhere; only those of this store are kept.

        Raises:
            RunError: If there is no such run.
        """
        return self.view(run.id) if run.path.parent == self.root else RunView(run)

    def view_soon(self, run_id: str, patience_seconds: float = 0.3) -> RunView | float:
        """As ``view``; but if it takes longer, how much of the log has been read, 0 to 1. Ask again then.

        Raises:
            RunError: If there is no such run.
        """
        return self._wait_for(run_id, patience_seconds)

    def _wait_for(self, run_id: str, seconds: float | None) -> RunView | float:
        run = self.get(run_id)
        with self._lock:
            view = self._views.get(run_id)
            opening = None
            if view is not None:
                self._views.move_to_end(run_id)
            else:
                opening = self._openings.get(run_id)
                if opening is None or opening.is_over:
                    opening = self._openings[run_id] = Opening(run, self._take)
        if view is not None:
            view.refresh()
            return view
        assert opening is not None
        return opening.wait(seconds) or opening.fraction

    def _take(self, view: RunView) -> None:
        """Keep the view of a run that was opened."""
        with self._lock:
            self._views[view.id] = view
            self._views.move_to_end(view.id)
            self._openings.pop(view.id, None)
            self._shrink()

    def _shrink(self) -> None:
        sizes = {run_id: sum(map(len, view.series.values())) for run_id, view in self._views.items()}
        while len(self._views) > 1 and (len(self._views) > _VIEWS or sum(sizes.values()) > _VIEW_POINTS):
            oldest, _ = self._views.popitem(last=False)
            del sizes[oldest]

    def list(self, patience_seconds: float = float("inf")) -> list[RunSummary]:
        """All runs, newest first; folders that are broken are listed with what is wrong, never an error.

        Args:
            patience_seconds: For reading logs that no cache covers. Runs beyond come with what their last event says,
                and are read in the background: the next list has them.
        """
        deadline, lines, unread = time.monotonic() + patience_seconds, [], []
        for run_id in self.ids():
            line = self._known(run_id)
            if line is None and time.monotonic() > deadline:
                unread.append(run_id)
                line = self._line_of_unread(run_id)
            lines.append(line or self.summary(run_id))
        self._read_soon(unread)
        return [line for line in lines if line is not None]

    def _known(self, run_id: str) -> RunSummary | None:
        """The line of a run that has ended, if it was made before."""
        run = RunFolder(self.root / run_id)
        marks = fingerprint(run)
        known = self._lines.get(run_id)
        if known and known[0] == marks:
            return known[1] if known[1].status not in LIVE else None
        line = load_summary(run, marks)
        if line is not None:
            self._lines[run_id] = (marks, line)
        return line

    def _line_of_unread(self, run_id: str) -> RunSummary | None:
        try:
            return summarise_unread(RunFolder(self.root / run_id), 0)
        except OSError:
            return None  # broken: ``summary`` says how

    def _read_soon(self, run_ids: Sequence[str]) -> None:
        """Make the lines of runs in a thread of its own, one thread at a time."""
        with self._lock:
            if not run_ids or (self._reader is not None and self._reader.is_alive()):
                return
            self._reader = threading.Thread(target=self._read_all, args=(run_ids,), name="summaries", daemon=True)
            self._reader.start()

    def _read_all(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            self.summary(run_id)

    def summary(self, run_id: str) -> RunSummary | None:
        """The line of one run in the list; None if it has gone meanwhile."""
        run = RunFolder(self.root / run_id)
        marks = fingerprint(run)
        known = self._lines.get(run_id)
        if known and known[0] == marks and known[1].status not in LIVE:
            return known[1]
        line = load_summary(run, marks) or summarise_newer(run)
        if line is None:
            try:
                if run.events.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                view = self._views.get(run_id) or self._view_or_progress(run)
                if isinstance(view, float):
                    return summarise_unread(run, view)
                view.refresh()
                line = summarise(view)
            except FileNotFoundError:
                return None
            except OSError as error:
                line = RunSummary(id=run_id, title=run_id, status="lost", problem=f"cannot be read: {error.strerror}")
            else:
                if view.status in LIVE:
                    line = summarise(self.view(run_id))  # it will be asked for again: keep it
                else:
                    save_summary(run, line, marks)
        self._lines[run_id] = (marks, line)
        return line

    def _view_or_progress(self, run: RunFolder) -> RunView | float:
        """A view that is not kept, since a list needs it once; of a long log one that is read in the background."""
        if cache.unread_bytes(run) <= _LONG_LOG_BYTES:
            return RunView(run)
        return self.view_soon(run.id, patience_seconds=0.0)

    # ------------------------------------------------------------- changing
    def annotate(
        self, run_id: str, *, title: str | None = None, tags: Iterable[str] | None = None, note: str | None = None
    ) -> None:
        """Give a run another title, tags, or a note; None leaves as it is.

        Raises:
            RunError: If there is no such run.
            OSError: If its folder cannot be written.
        """
        run = self.get(run_id)
        changed: dict[str, Any] = {}
        if title is not None:
            changed["title"] = title.strip()[:120]
        if tags is not None:
            changed["tags"] = sorted({tag.strip() for tag in tags if tag.strip()})
        if note is not None:
            changed["note"] = note.strip()[:4000]
        change_json(run.notes, lambda notes: notes | changed)

    def delete(self, run_id: str) -> None:
        """Move a run to the trash; ``restore`` takes it back.

        Raises:
            RunError: If there is no such run, or a process is at work on it.
        """
        run = self.get(run_id)
        vital = look(run)
        if vital.is_alive or vital.queued is not None:
            raise RunError(f"The run {run_id} is at work or queued. Stop it first, then delete it.")
        (self.root / _TRASH).mkdir(exist_ok=True)
        run.path.rename(self.root / _TRASH / run_id)
        with self._lock:
            self._views.pop(run_id, None)
            self._lines.pop(run_id, None)

    def restore(self, run_id: str) -> RunFolder:
        """Undo ``delete``.

        Raises:
            RunError: If the trash holds no such run.
        """
        source, target = self.root / _TRASH / run_id, self.root / run_id
        if not run_id or "/" in run_id or not source.is_dir() or target.exists():
            raise RunError(f"There is no deleted run {run_id!r} to take back in {self.root / _TRASH}.")
        source.rename(target)
        return RunFolder(target)


def _holds_run(folder: Path | str) -> bool:
    """Whether a folder is a run's: by any of the files that every run has from its first moment."""
    return any(os.path.exists(f"{folder}/{part}") for part in _FIRST_FILES)


def _is_name(text: str) -> bool:
    """Whether a folder of this name may be a run: one that can be shown, sent and written into a link."""
    return text.isprintable() and not text.startswith(".") and text != "" and not any(c in text for c in "/\\")


def _readable(run: RunFolder) -> RunFolder:
    """``run``, if this version can read it.

    Raises:
        RunError: If a newer one made it.
    """
    if newer := newer_version(read_json(run.info) or {}):
        raise RunError(f"The run {run.id} was {newer}")
    return run
