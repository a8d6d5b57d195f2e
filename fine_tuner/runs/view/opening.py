"""A run being opened: its log is read in a thread, and whoever asks meanwhile hears how much of it has been."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.view.run_view import RunView


class Opening:
    """One reading of a run's log, for everybody who wants the run.

    Attributes:
        fraction: 0 to 1 of the log that has been read.
    """

    def __init__(self, run: RunFolder, on_done: Callable[[RunView], None]) -> None:
        """Begins at once; ``on_done`` is called with the view before those who wait for it go on."""
        self.fraction = 0.0
        self._run = run
        self._on_done = on_done
        self._error: OSError | None = None
        self._view: RunView | None = None
        self._thread = threading.Thread(target=self._read, name=f"open {run.id}", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            self._view = RunView(self._run, on_read=self._note)
        except OSError as error:
            self._error = error
        else:
            self._on_done(self._view)

    def _note(self, fraction: float) -> None:
        self.fraction = fraction

    @property
    def is_over(self) -> bool:
        """Whether the log has been read, or cannot be."""
        return not self._thread.is_alive()

    def wait(self, seconds: float | None = None) -> RunView | None:
        """The view; None if it takes longer than ``seconds``.

        Raises:
            OSError: If the folder cannot be read.
        """
        self._thread.join(seconds)
        if self._error is not None:
            raise self._error
        return self._view
