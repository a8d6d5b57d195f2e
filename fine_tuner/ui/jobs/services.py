"""What the page's handlers and routes work with, and what lives as long as the app: one object of each."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.config.tasks import DEFAULT_TASK
from fine_tuner.data.files.uploads import Uploads
from fine_tuner.launch.assistant import Assistant, Reply, Ticket
from fine_tuner.launch.launcher import Launcher
from fine_tuner.launch.standby import Standby
from fine_tuner.planning.loss_checks import refuse_code_of_run
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.jobs.evaluations import Evaluations
from fine_tuner.ui.jobs.kinds import Jobs
from fine_tuner.ui.jobs.networks import Networks
from fine_tuner.ui.jobs.previews import Previews
from fine_tuner.ui.jobs.questions import Ask, Questions
from fine_tuner.ui.jobs.start import RunStarter

_SERVE_FIRST_SECONDS = 0.3  # before the assistant loads torch: the page comes first
_TRIAL_SECONDS = 60.0  # for a viewer's picture, loading torch and the network included
_SETTLE_SECONDS = 2.0  # before the launcher's standby does: the first plan comes first


class Services:
    """The folder of runs, the launcher, the assistant and what is asked of it.

    Attributes:
        store: The runs on disk.
        launcher: Starts and reaps workers; they outlive the app.
        allowed: What the page permits, folders of the app's own included.
        data_roots: Folders to browse for data.
        questions: Commands asked of the assistant.
        jobs: Checks, sweeps and measurements: what takes long and can be cancelled.
        evaluations: What trained weights get right and wrong, where it was not looked at yet.
        uploads: Zips from the browser.
        rates: Planned rates, asked while fields change.
        networks: The list for the picker.
        decisions_folder: Of the tables of what was decided of images.
        losses_folder: Where the editor saves a loss that is given a name alone.
        previews: Pictures as the network will see them.
        starter: From settings to a run at work.
        actions: What the owner may do with a run, by name.
        ask_yielding: Answers command lines with what other processes leave of the machine: for viewers.
    """

    def __init__(self, *, runs: Path, allowed: Allowed, ask: Ask | None = None) -> None:
        """``ask`` answers command lines; None: processes of our own, with torch loaded."""
        self.losses_folder = runs.resolve() / "losses"
        self.decisions_folder = runs.resolve() / "decisions"
        self.data_roots = allowed.roots
        self.uploads = Uploads(cache_folder().resolve() / "uploads")
        for folder in (self.losses_folder, self.decisions_folder, self.uploads.folder):
            allowed = _with_folder(allowed, folder)
        self.allowed = allowed
        self.store = RunStore(runs)
        self.launcher = Launcher(self.store, standby=None if ask else Standby(), refuse=refuse_code_of_run)
        self._assistant = None if ask else Assistant()
        self.questions = Questions(ask or self._assistant.call)
        self._second = Assistant()  # for sweeps, which take long, and for rates, which must not wait
        make_process = partial(Asked, ask) if ask else Assistant
        self.jobs = Jobs(self.allowed, sweeper=self._second, make_process=make_process)
        self.evaluations = Evaluations(self.allowed, make_process)
        self.rates = Questions(ask or self._ask_at_once)
        self.networks = Networks(self.questions)
        self.previews = Previews(self.questions)
        self.starter = RunStarter(self.store, self.launcher, self.questions)
        self.actions = {
            "stop": self.launcher.request_stop,
            "pause": self.launcher.request_pause,
            "resume": self.launcher.start,
            "checkpoint": self.launcher.request_save,
            "evaluate": self.launcher.request_validation,
        }
        self._yielding = Assistant(timeout=_TRIAL_SECONDS, yields=True)  # started by the first viewer who tries a model
        self.ask_yielding: Ask = ask or self._yielding.call
        self._closing = threading.Event()

    def start(self) -> None:
        """Warm up in the background, so that the page is served at once."""
        threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()

    def _warm_up(self) -> None:
        if self._closing.wait(_SERVE_FIRST_SECONDS):
            return
        if self._assistant is not None:
            self._assistant.start()
        if not self._closing.wait(_SETTLE_SECONDS):
            self.launcher.open()
        if self._assistant is not None and not self._closing.wait(_SETTLE_SECONDS):
            self._second.start()
            self.networks.state(DEFAULT_TASK)
            with suppress(OSError):  # they stay until the next start
                self.uploads.sweep(is_needed=self._has_run_of)

    def _has_run_of(self, path: Path) -> bool:
        """Whether the settings of a run name ``path``."""
        configs = (self.store.get(run_id).config for run_id in self.store.ids())
        return any(str(path) in config.read_text(errors="replace") for config in configs if config.is_file())

    def _ask_at_once(self, argv: Sequence[str]) -> Reply:
        """The second assistant's answer, or the first's while a sweep keeps the second busy."""
        if self._assistant is None or not self.jobs["finder"].is_running:
            return self._second.call(argv)
        return self._assistant.call(argv)

    def close(self) -> None:
        """End the processes that serve the page only; workers go on."""
        self._closing.set()
        self.launcher.close()
        self.jobs.close()
        self.evaluations.close()
        self._yielding.close()
        if self._assistant is not None:
            self._assistant.close()
        self.previews.close()


class Asked:
    """Stands where an assistant would, for an ``ask`` that answers by itself: no process, so nothing to end."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def call(self, argv: Sequence[str], timeout: float | None = None, **_: object) -> Reply:
        """The answer."""
        return self._ask(argv)

    def cancel(self, ticket: Ticket) -> None:
        """Nothing to end."""

    def close(self) -> None:
        """Nothing to close."""


def _with_folder(allowed: Allowed, folder: Path) -> Allowed:
    """``allowed`` with a folder of the app's own among the roots, unless it lies below one of them."""
    if any(folder.is_relative_to(root) for root in allowed.roots):
        return allowed
    return replace(allowed, roots=(*allowed.roots, folder))
