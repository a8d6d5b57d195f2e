"""TensorBoard and webhooks: told what the log has, and never the end of a run."""

from __future__ import annotations

import http.server
import json
import os
import threading
from contextlib import contextmanager

import pytest

from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import EvalMetrics, RunFinished, TrainMetrics
from fine_tuner.training.run.outside import TENSORBOARD_VARIABLE, WEBHOOK_VARIABLE, Webhook, listeners_of
from tests.ui.hand_run import HandRun


@contextmanager
def hook(status: int = 200):
    """An address, and what it was told."""
    told: list[dict] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/secret-path", told
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    made = HandRun(tmp_path, "20261123-141502-told", title="ants and bees")
    made.begin()
    made.train(32)
    made.writer.write(RunFinished(outcome="completed", step=32))
    made.die()
    return made.folder


def test_a_webhook_is_told_once_in_words_that_slack_and_discord_read(folder):
    with hook() as (address, told):
        listener = Webhook(folder, address)
        listener(TrainMetrics(step=1, epoch=1, metrics={"train/loss": 1.0}))
        listener(RunFinished(outcome="paused", step=1))
        assert told == []
        listener(RunFinished(outcome="failed", step=32, error="Memory does not suffice."))
    (one,) = told
    assert one["text"] == one["content"]
    assert one["text"].startswith("ants and bees: ")
    assert (one["run"], one["outcome"], one["step"], one["error"]) == (
        folder.id,
        "failed",
        32,
        "Memory does not suffice.",
    )


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/secret-path", "file:///etc/passwd", "nonsense"])
def test_a_webhook_that_cannot_be_told_is_a_warning_without_its_address(folder, address, capsys):
    Webhook(folder, address)(RunFinished(outcome="completed", step=32))
    said = capsys.readouterr().err
    assert said.startswith("warning: the webhook was not told")
    assert "secret-path" not in said
    with hook(status=500) as (refusing, _):
        Webhook(folder, refusing)(RunFinished(outcome="completed", step=32))
    assert "500" in capsys.readouterr().err


def test_the_address_is_taken_out_of_the_environment_before_other_code_runs(folder, monkeypatch):
    monkeypatch.setenv(WEBHOOK_VARIABLE, "https://example.org/secret-path")
    monkeypatch.setenv(TENSORBOARD_VARIABLE, "0")
    assert [type(one) for one in listeners_of(folder)] == [Webhook]
    assert WEBHOOK_VARIABLE not in os.environ
    assert listeners_of(folder) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboard's own code
def test_tensorboard_shows_the_numbers_while_they_are_made_and_those_of_a_second_attempt_in_their_place(
    folder, monkeypatch
):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv(TENSORBOARD_VARIABLE, "1")
    for first, value in ((1, 1.0), (3, 2.0)):
        (board,) = listeners_of(folder)
        for step in range(first, first + 4):
            board(TrainMetrics(step=step, epoch=1, metrics={"train/loss": value, "train/grad_norm": float("nan")}))
        board(EvalMetrics(step=step, epoch=1, split="val", metrics={"val/accuracy": 0.5}))
        board(RunFinished(outcome="completed", step=step))
    events = EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [
        (1, 1.0),
        (2, 1.0),
        *((s, 2.0) for s in range(3, 7)),
    ]
    assert "val/accuracy" in events.Tags()["scalars"]


def test_a_folder_that_cannot_be_written_is_one_warning(folder, monkeypatch, capsys):
    monkeypatch.setenv(TENSORBOARD_VARIABLE, "1")
    (folder.path / "tensorboard").write_text("in the way")
    (board,) = listeners_of(folder)
    for step in range(3):
        board(TrainMetrics(step=step, epoch=1, metrics={"train/loss": 1.0}))
    assert capsys.readouterr().err.count("nothing is written for TensorBoard") == 1
