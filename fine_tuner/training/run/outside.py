"""Who else hears of a run, where its owner wants it: TensorBoard while it trains, a webhook when it ends.

Both are asked for by variables of the environment: they belong to a person and a machine, not to a run's settings.
What goes wrong with them is said once and never ends a run.
"""

from __future__ import annotations

import json
import math
import os
import sys
import urllib.request
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import EvalMetrics, Payload, RunFinished, TrainMetrics
from fine_tuner.runs.view.run_view import RunView

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

TENSORBOARD_VARIABLE = "FINE_TUNER_TENSORBOARD"
"""1: every run also writes ``tensorboard/`` in its folder, so that ``tensorboard --logdir runs`` shows all of them."""
WEBHOOK_VARIABLE = "FINE_TUNER_WEBHOOK"
"""An address that is told when a run has ended or failed; Slack's and Discord's understand it."""
_TOLD = ("completed", "stopped", "failed")
_TIMEOUT_SECONDS = 10.0

Listener = Callable[[Payload], None]


def listeners_of(folder: RunFolder) -> list[Listener]:
    """Those that the environment asks for; the webhook's address is taken out of it, so that no loss can read it."""
    out: list[Listener] = []
    if os.environ.get(TENSORBOARD_VARIABLE, "") not in ("", "0"):
        out.append(LiveTensorBoard(folder))
    if address := os.environ.pop(WEBHOOK_VARIABLE, ""):
        out.append(Webhook(folder, address))
    return out


class LiveTensorBoard:
    """Writes every number as a scalar, under our keys."""

    def __init__(self, folder: RunFolder) -> None:
        self._place = folder.path / "tensorboard"
        self._writer: SummaryWriter | None = None
        self._is_off = False

    def __call__(self, payload: Payload) -> None:
        """Take one event."""
        if self._is_off:
            return
        try:
            if isinstance(payload, TrainMetrics | EvalMetrics):
                self._write(payload.metrics, payload.step)
            elif isinstance(payload, RunFinished) and self._writer is not None:
                self._writer.close()
        except ImportError:
            self._give_up("the package is not installed. Run: pip install tensorboard")
        except OSError as error:
            self._give_up(f"{self._place} cannot be written ({error.strerror or error}).")

    def _write(self, metrics: Mapping[str, float], step: int) -> None:
        if self._writer is None:
            import tensorboard  # noqa: F401 - what torch says where it is missing names another package
            from torch.utils.tensorboard import SummaryWriter

            # steps that a resumed run makes again take the place of those of before
            self._writer = SummaryWriter(str(self._place), purge_step=step, flush_secs=10)
        for key, value in metrics.items():
            self._writer.add_scalar(key, value if math.isfinite(value) else math.nan, step)

    def _give_up(self, why: str) -> None:
        self._is_off = True
        sys.stderr.write(f"warning: nothing is written for TensorBoard: {why}\n")


class Webhook:
    """Posts one sentence as JSON: ``text`` for Slack, ``content`` for Discord, and the facts for a program."""

    def __init__(self, folder: RunFolder, address: str) -> None:
        self._folder, self._address = folder, address

    def __call__(self, payload: Payload) -> None:
        """Take one event; only the last one is told."""
        if not isinstance(payload, RunFinished) or payload.outcome not in _TOLD:
            return
        try:
            self._post(payload)
        except (OSError, ValueError) as error:  # the address may hold a secret: it is not printed
            sys.stderr.write(f"warning: the webhook was not told that the run ended: {error}\n")

    def _post(self, last: RunFinished) -> None:
        if not self._address.startswith(("https://", "http://")):
            raise ValueError(f"{WEBHOOK_VARIABLE} is no address that begins with https://")
        view = RunView(self._folder, use_cache=False)
        title = str(view.info.get("title") or self._folder.id)
        text = f"{title}: {view.sentence}"
        told = {
            "text": text, "content": text, "run": self._folder.id, "outcome": last.outcome, "step": last.step,
            "error": last.error, "best": last.summary.get("best"),
        }  # fmt: skip
        request = urllib.request.Request(
            self._address, json.dumps(told, default=str).encode(),
            {"Content-Type": "application/json", "User-Agent": "fine-tuner"},
        )  # fmt: skip
        urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS).close()
