"""The worker through memory that runs out and numbers that go bad: the log, the folder and the weights it ends with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fine_tuner.cli.main import main
from fine_tuner.runs.log.events import CheckpointSaved, EvalMetrics, Mark, Message, TrainMetrics
from fine_tuner.runs.store import RunStore

from .conftest import last_weights, payloads

NO_MEMORY = "if len(target) > 2:\n    torch.empty(2**58)"  # no processor's memory holds it, as torch says in its words


def assert_equal(a: Path, b: Path) -> None:
    torch.testing.assert_close(last_weights(a), last_weights(b), rtol=0, atol=0)


@pytest.mark.slow
def test_out_of_memory_in_training_and_evaluation_ends_as_the_accumulated_run(
    tiny_settings: tuple[str, ...], train_here: Any, own_loss: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    limited = train_here(*tiny_settings, *own_loss(NO_MEMORY))
    small = train_here(*tiny_settings, *own_loss(), "train.batch_size=2", "train.accumulate=4", runs="small")
    assert_equal(limited, small)
    ours, theirs = ([e.metrics for e in payloads(run, EvalMetrics)] for run in (limited, small))
    assert ours == theirs
    assert [e.step for e in payloads(limited, TrainMetrics)] == [1, 2, 3, 4]
    marks = [(m.step, dict(m.changes)) for m in payloads(limited, Mark)]
    assert marks == [(0, {"micro_batch": 4}), (0, {"micro_batch": 2}), (2, {"eval_batch": 2})]
    assert [m.text for m in payloads(limited, Mark)] == [m.text for m in payloads(limited, Message)]
    assert all("ran out of memory" in m.text for m in payloads(limited, Mark))
    assert main(["evaluate", str(limited), "--json"]) == 0
    best = next(e for e in payloads(limited, EvalMetrics) if e.is_best)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"] == best.metrics
    assert RunStore(limited.parent).summary(limited.name).status == "completed"


@pytest.mark.parametrize(
    ("choice", "at"), [("pass_over", 1), ("pass_over", 4), ("lower", 4), ("skip", 1)]
)  # 4: after a checkpoint
def test_a_bad_step_leads_back_and_to_a_complete_run(
    tiny_settings: tuple[str, ...], train_here: Any, own_loss: Any, choice: str, at: int
) -> None:
    once = f"if torch.is_grad_enabled() and step == {at}:\n    step += 100\n    loss = loss * math.inf"
    run = train_here(*tiny_settings, *own_loss(once), f"train.on_nonfinite={choice}", "augment.name=none")
    view = RunStore(run.parent).view(run.name)
    passed = {at} if choice == "pass_over" else set()
    assert view.status == "completed"
    assert view.series["train/loss"].step.tolist() == [s for s in (1, 2, 3, 4) if s not in passed]
    assert view.series["val/loss"].step.tolist() == [2, 4]
    (mark,) = view.marks
    assert (mark.rewind_to, mark.changes["rollbacks"]) == (2 * (at > 2), 1)
    (message,) = payloads(run, Message)
    assert f"training loss is inf at step {at} " in message.text
    about = json.loads((run / "evidence" / f"step-{at:08d}" / "about.json").read_text())
    batch = load_file(run / "evidence" / f"step-{at:08d}" / "batch.safetensors")
    assert batch["images"].shape == (8, 3, 32, 32)
    assert [Path(file).parent.name for file in about["files"]] == [("blue", "red")[t] for t in batch["targets"]]
    assert all(t.isfinite().all() for t in last_weights(run).values())


def test_a_resume_makes_a_rollback_s_change_again(
    tiny_settings: tuple[str, ...], train_here: Any, own_loss: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back at step 2, half the rate, on to step 3, stopped dead there: the second attempt knows of the halved rate."""
    once = "if torch.is_grad_enabled() and step == 4:\n    step += 100\n    loss = loss * math.inf"
    dies = "\nif torch.is_grad_enabled() and step == 106:\n    raise KeyError('gone')"
    slow = ("train.epochs=3", "schedule.name=ConstantLR", "train.on_nonfinite=lower")
    settings = (*tiny_settings, *slow)
    run = train_here(*settings, *own_loss(once + dies), code=1)
    (kept,) = (run / "code").glob("*.py")
    kept.write_text(kept.read_text().replace("step == 4", "step == -1").replace("step == 106", "step == -1"))
    monkeypatch.setenv("FINE_TUNER_ALLOW_CODE", "1")  # the changed code was checked nowhere
    train_here(resume=run)
    whole = train_here(*settings, *own_loss(once), runs="whole")
    assert_equal(run, whole)
    view = RunStore(run.parent).view(run.name)
    assert (view.status, len(view.marks)) == ("completed", 1)


def test_evaluate_gives_the_numbers_of_the_best_epoch_exactly(
    tiny_settings: tuple[str, ...], train_here: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train_here(*tiny_settings, "train.epochs=3", "train.best_metric=val/loss", "train.ema_decay=0.8")
    evaluated = payloads(run, EvalMetrics)
    best = min(evaluated, key=lambda e: e.metrics["val/loss"])
    assert [e.is_best for e in evaluated].count(True) >= 1
    capsys.readouterr()
    assert main(["evaluate", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"] == best.metrics
    assert (found["weights"]["epoch"], found["images"]) == (best.epoch, 4)
    assert main(["evaluate", str(run), "--split", "test"]) == 2
    assert "has no split 'test'; it has train, val" in capsys.readouterr().err


def test_best_by_a_metric_that_is_not_there_names_those_that_are(
    tiny_settings: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "default", *tiny_settings, "train.best_metric=f1", "--runs", str(tmp_path / "runs")]) == 2
    assert "train.best_metric: 'f1' is not measured here. Choose auto, val/accuracy, val/f1, val/loss." in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "runs").exists()


def test_early_stopping_ends_the_run_and_its_ghost_does_not(
    tiny_settings: tuple[str, ...], train_here: Any, own_loss: Any
) -> None:
    worse = "if not torch.is_grad_enabled():\n    loss = loss * 0 + 1"  # the first epoch's value stays the best
    settings = (*tiny_settings, *own_loss(worse), "train.epochs=7", "train.best_metric=val/loss")
    stopped = train_here(*settings, "train.early_stopping=2")
    view = RunStore(stopped.parent).view(stopped.name)
    assert (view.status, view.progress.epochs, view.progress.fraction) == ("completed", 3, 1.0)
    (mark,) = payloads(stopped, Mark)
    assert (mark.step, mark.label, mark.is_ghost) == (6, "early stop", False)

    whole = train_here(*settings, runs="whole")
    (ghost,) = payloads(whole, Mark)
    assert (ghost.step, ghost.is_ghost, dict(ghost.changes)) == (12, True, {})
    assert payloads(whole, TrainMetrics)[-1].step == 14


def test_so_many_checkpoints_are_kept(tiny_settings: tuple[str, ...], train_here: Any) -> None:
    run = train_here(*tiny_settings, "train.epochs=4", "train.keep_checkpoints=3")
    kept = sorted(path.name for path in (run / "checkpoints").glob("step-*"))
    assert kept == ["step-00000004", "step-00000006", "step-00000008"]
    assert [p.step for p in payloads(run, CheckpointSaved)] == [2, 2, 4, 4, 6, 6, 8, 8]  # before and after validation


def test_validate_now_keeps_better_weights_and_changes_nothing_else(
    tiny_settings: tuple[str, ...], train_here: Any, own_loss: Any
) -> None:
    asks = (
        "if torch.is_grad_enabled() and step == 1:\n    (next(RUNS.glob('runs/2*')) / 'control').mkdir(exist_ok=True)"
    )
    asks += "\n    (next(RUNS.glob('runs/2*')) / 'control' / 'evaluate').write_text('{}')"
    asked = train_here(*tiny_settings, *own_loss(asks), "augment.name=standard")
    plain = train_here(*tiny_settings, *own_loss(), "augment.name=standard", runs="plain")
    assert_equal(asked, plain)
    assert [(e.step, e.epoch) for e in payloads(asked, EvalMetrics)] == [(1, 1), (2, 1), (4, 2)]
    assert not list((asked / "control").iterdir())
