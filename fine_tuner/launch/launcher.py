"""The launcher of an app: starts runs as their devices become free, reaps what it started, owns no truth.

Everything it knows is in the run folders and in kernel locks, so it may die at any time: the workers go on, the queue
stands, and the next launcher, of this app or of another on the same runs folder, goes on from there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal

from fine_tuner.base.errors import ConfigError, InputError, RunError
from fine_tuner.base.files import open_plain
from fine_tuner.config.io import read_tree
from fine_tuner.config.live_changes import EPOCHS
from fine_tuner.launch import devices
from fine_tuner.launch.command import train_command
from fine_tuner.launch.extension import check_extension, check_start
from fine_tuner.launch.process import Worker, end_worker, launch, start_process, write_exit
from fine_tuner.launch.standby import Standby
from fine_tuner.runs import control, queue
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import read_last_event
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.status import look

_IDLE_SECONDS = 2.0  # how often to look whether another app that died left something in the queue


class Launcher:
    """Starts runs, one a device, the others in their order.

    Args:
        store: The runs folder.
        command: Command line of a run's worker.
        standby: A process kept ready, which saves the time of importing torch; None: every start is from nothing.
        refuse: Called with each run before it is queued, and before it starts; raises InputError if it may not train.
        on_end: Called with each run that this launcher started, once exit.json is written.
        look_seconds: How often to see whether a device has become free, while runs wait.
    """

    def __init__(
        self,
        store: RunStore,
        *,
        command: Callable[[RunFolder], Sequence[str]] = train_command,
        standby: Standby | None = None,
        refuse: Callable[[RunFolder], None] = lambda run: None,
        on_end: Callable[[RunFolder], None] = lambda run: None,
        look_seconds: float = 0.25,
    ) -> None:
        self._store = store
        self._command = command
        self._standby = standby
        self._refuse = refuse
        self._on_end = on_end
        self._look_seconds = look_seconds
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._busy: set[str] = set()  # runs from before they leave the queue until their exit.json is written

    # ------------------------------------------------------------ lifetime
    def open(self) -> list[RunFolder]:
        """Begin to serve the queue; returns the runs found at work (see ``adopt``)."""
        self._begin()
        adopted = self.adopt()
        if not adopted:
            self._prepare()
        return adopted

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._serve_queue, name="launcher", daemon=True)
                self._thread.start()

    def _prepare(self) -> None:
        """Load torch for the next run, while none trains that it would slow down."""
        if self._standby is not None and not self._closing.is_set():
            self._standby.prepare()

    def adopt(self) -> list[RunFolder]:
        """Runs that a process is at work on, whoever started it: by their locks."""
        runs = [RunFolder(self._store.root / run_id) for run_id in self._store.ids()]
        return [run for run in runs if look(run).is_alive]

    def close(self) -> None:
        """Stop serving the queue. Workers go on; those started here are not reaped any more."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        if self._standby is not None:
            self._standby.close()

    def wait(self, run: RunFolder, timeout: float = float("inf")) -> bool:
        """Wait until a run is neither in the queue nor at work, and reaped if it was started here.

        Returns:
            False if it is not so after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while run.queued.exists() or look(run).is_alive or run.id in self._busy:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    # -------------------------------------------------------------- requests
    def start(self, run: RunFolder) -> None:
        """Queue a run; it starts at once if its device is free. One with a checkpoint goes on from there.

        Raises:
            RunError: If it is at work already, may not train here, or its folder cannot be written.
        """
        vital = look(run)
        if vital.is_alive:
            raise RunError(f"The run {run.id} is at work already. Stop it first, or wait until it ends.")
        check_start(run)
        self._check(run)
        if vital.queued is None or queue.read_waiting(run) is None:
            try:
                queue.enqueue(run, devices.device_keys(_devices_setting(run)))
            except OSError as error:
                raise RunError(
                    f"The run {run.id} cannot be queued: {error.strerror} ({run.path}). "
                    "Free some space, or make its folder writable, and start it again."
                ) from None
        self._begin()
        self._wake.set()

    def _check(self, run: RunFolder) -> None:
        try:
            self._refuse(run)
        except InputError as error:
            raise RunError(f"The run {run.id} is not started: {error}") from None

    def request_stop(self, run: RunFolder) -> None:
        """Ask a run to end within a step, keeping best and last checkpoint; one that waits leaves the queue."""
        self._request(run, "stop")

    def request_pause(self, run: RunFolder) -> None:
        """Ask a run to keep its state and free its device; one that waits leaves the queue."""
        self._request(run, "pause")

    def request_save(self, run: RunFolder) -> None:
        """Ask a run to write a checkpoint after its next step."""
        self._ask(run, "checkpoint", "save")

    def request_validation(self, run: RunFolder) -> None:
        """Ask a run to validate after its next step."""
        self._ask(run, "evaluate", "validate")

    def extend(self, run: RunFolder, epochs: int) -> None:
        """Let a run have ``epochs`` epochs, its schedule fitted to them; one that has ended goes on.

        Raises:
            RunError: If so many are over already, it has nothing to go on from, or its folder cannot be written.
        """
        if queue.place_of(run) is not None:
            raise RunError(f"The run {run.id} is waiting. Cancel it, or let it begin, and extend it then.")
        is_alive = look(run).is_alive
        check_extension(run, epochs)
        if not is_alive:
            self._check(run)
        self._leave(run, "set", "extend", {EPOCHS.path: epochs})
        if not is_alive:
            self.start(run)

    def _request(self, run: RunFolder, what: Literal["stop", "pause"]) -> None:
        if not queue.cancel(run):
            self._ask(run, what, what)

    def _ask(self, run: RunFolder, what: control.Request, word: str) -> None:
        if not look(run).is_alive:
            raise RunError(f"The run {run.id} is not at work, so there is nothing to {word}.")
        self._leave(run, what, word, {})

    @staticmethod
    def _leave(run: RunFolder, what: control.Request, word: str, content: Mapping[str, Any]) -> None:
        try:
            control.request(run, what, **content)
        except OSError as error:
            raise RunError(
                f"The request to {word} cannot be left in {run.control}: {error.strerror}. "
                "Make the folder writable, or end the process."
            ) from None

    def end(self, run: RunFolder, *, stop_seconds: float = 30.0, terminate_seconds: float = 15.0) -> threading.Thread:
        """End a run in three stages, in the background: see ``end_worker``. Returns the thread that does it."""
        queue.cancel(run)
        limits = {"stop_seconds": stop_seconds, "terminate_seconds": terminate_seconds}
        thread = threading.Thread(target=end_worker, args=(run,), kwargs=limits, name=f"end {run.id}", daemon=True)
        thread.start()
        return thread

    # ----------------------------------------------------------------- queue
    def queue(self) -> list[RunFolder]:
        """Runs that wait, next first."""
        return [entry.run for entry in queue.waiting(self._store.root)]

    def cancel(self, run: RunFolder) -> bool:
        """Take a run out of the queue; False if it did not wait any more."""
        return queue.cancel(run)

    def move(self, run: RunFolder, place: int) -> None:
        """Give a waiting run another place; 0 is the next to start."""
        queue.move(run, place)
        self._wake.set()

    def _serve_queue(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            waits = True
            with suppress(OSError):  # such as a full disk: the runs keep waiting, and so do we
                waits = self._start_what_can()
            self._wake.wait(self._look_seconds if waits else _IDLE_SECONDS)

    def _start_what_can(self) -> bool:
        """Start every run whose devices are free and wanted by none before it. True if some still wait."""
        taken: set[str] = set()
        for entry in queue.waiting(self._store.root):
            if self._closing.is_set():
                return False
            if taken.isdisjoint(entry.devices):
                self._try_start(entry)
            taken.update(entry.devices)
        return bool(taken)

    def _try_start(self, entry: queue.Waiting) -> None:
        """Start a run if its devices are free; a thread of its own waits for its end."""
        run, worker = entry.run, None
        held = devices.take(self._store.root, entry.devices, run=run.id)
        if held is None:
            return
        self._busy.add(run.id)
        try:
            self._check(run)
            claim = partial(queue.claim, run)
            worker = launch(run, self._command(run), held, start=self._standby or start_process, claim=claim)
        except Exception as error:  # whatever it was, it must not end the thread that serves the queue
            self._record_no_start(run, error)
        finally:
            for lock in held:
                lock.close()
            if worker is None:
                self._busy.discard(run.id)
        if worker is not None:
            threading.Thread(target=self._reap, args=(worker,), name=f"reap {run.id}", daemon=True).start()

    @staticmethod
    def _record_no_start(run: RunFolder, error: Exception) -> None:
        queue.claim(run)
        with suppress(OSError):
            run.log.parent.mkdir(exist_ok=True)
            with open_plain(run.log, append=True) as log:
                log.write(f"The training process could not be started: {error}\n".encode())
        last = read_last_event(run.events)
        write_exit(run, 127, (last.attempt if last else 0) + 1)

    def _reap(self, worker: Worker) -> None:
        worker.reap()
        self._busy.discard(worker.run.id)
        self._wake.set()
        self._on_end(worker.run)
        if not queue.waiting(self._store.root):
            self._prepare()


def _devices_setting(run: RunFolder) -> str:
    try:
        return str(read_tree(run.config).get("devices", "auto"))
    except ConfigError:
        return "auto"  # the worker will say what is wrong with the file
