"""The command line as a person uses it: real processes, real files, real signals."""

from __future__ import annotations

import json
import math
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import EvalMetrics, RunFinished, RunStarted, TrainMetrics, read_events
from fine_tuner.runs.store import RunStore
from fine_tuner.training.recovery.checkpoint import CheckpointStore, load_state

from .conftest import ROOT, command, environment, fine_tuner, run_folder

TRAIN = ("train", "default")


def payloads(run: Path, kind: type) -> list:
    return [e.payload for e in read_events(run / "events.jsonl")[0] if isinstance(e.payload, kind)]


def last_weights(run: Path) -> dict[str, torch.Tensor]:
    newest = CheckpointStore(folder=run / "checkpoints").newest()
    assert newest is not None
    return load_file(newest / "model.safetensors")


@pytest.fixture(scope="module")
def finished(tiny_settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A completed run and what its command printed."""
    done = fine_tuner(*TRAIN, *tiny_settings, "--runs", str(tmp_path_factory.mktemp("runs")), "--json")
    assert done.returncode == 0, done.stderr
    return run_folder(done.stdout), done.stdout


def test_train_prints_a_line_per_epoch_the_folder_and_the_summary(finished: tuple[Path, str]) -> None:
    run, output = finished
    lines = output.splitlines()
    assert sum(line.startswith("epoch ") for line in lines) == 2
    assert lines[-2] == f"run: {run}"
    summary = json.loads(lines[-1])
    assert (summary["status"], summary["epoch"], summary["best_key"]) == ("completed", 2, "val/accuracy")


def test_events_hold_every_step_and_validation(finished: tuple[Path, str]) -> None:
    run, _ = finished
    (started,) = payloads(run, RunStarted)
    assert (started.total_steps, started.steps_per_epoch, started.facts["train_images"]) == (4, 2, 16)
    assert [p.step for p in payloads(run, TrainMetrics)] == [1, 2, 3, 4]
    assert [p.epoch for p in payloads(run, EvalMetrics)] == [1, 2]
    assert [p.outcome for p in payloads(run, RunFinished)] == ["completed"]
    assert all(math.isfinite(p.metrics["train/loss"]) for p in payloads(run, TrainMetrics))
    assert any("memory/process_mib" in p.metrics for p in payloads(run, TrainMetrics))


def test_planned_rates_are_the_rates_applied(finished: tuple[Path, str]) -> None:
    run, _ = finished
    (started,) = payloads(run, RunStarted)
    planned = started.facts["schedule"]
    assert planned["steps"] == [1, 2, 3, 4]
    for group, rates in planned["groups"].items():
        assert rates == [p.metrics[f"train/lr/{group}"] for p in payloads(run, TrainMetrics)]
    assert set(planned["groups"]) == {"head", "backbone"}


def test_weights_carry_class_names_and_preprocessing(finished: tuple[Path, str]) -> None:
    run, _ = finished
    with safe_open(RunFolder(run).best_weights, "pt") as file:
        about = json.loads(file.metadata()["fine_tuner"])
    assert about["classes"] == ["blue", "red"]
    assert about["network"] == "shufflenet_v2_x0_5"
    assert about["preprocessing"]["image_size"] == 32


def test_predict_gives_the_probabilities_of_the_best_checkpoint(finished: tuple[Path, str], tiny_folder: Path) -> None:
    run, _ = finished
    done = fine_tuner("predict", str(run), str(tiny_folder / "red" / "3.png"), "--json")
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)["predictions"]
    assert set(answer["probabilities"]) == {"blue", "red"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_the_run_s_own_configuration_repeats_it_bit_for_bit(finished: tuple[Path, str], tmp_path: Path) -> None:
    run, _ = finished
    done = fine_tuner("train", str(run / "config.yaml"), "--runs", str(tmp_path))
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(last_weights(run_folder(done.stdout)), last_weights(run), rtol=0, atol=0)


def start_slowly(settings: tuple[str, ...], runs: Path) -> tuple[subprocess.Popen[str], Path]:
    """A run long enough to be interrupted, once it has made a few steps."""
    process = subprocess.Popen(
        command(*TRAIN, *settings, "train.epochs=400", "--runs", str(runs)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=ROOT,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = [p for p in runs.glob("2*") if len(payloads(p, EvalMetrics)) >= 2]
        if found:
            return process, found[0]
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("no step within two minutes")


def test_stop_ends_within_a_step_and_keeps_best_and_last(tiny_settings: tuple[str, ...], tmp_path: Path) -> None:
    process, run = start_slowly(tiny_settings, tmp_path)
    asked = fine_tuner("stop", str(run))
    assert asked.returncode == 0, asked.stderr
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    (finish,) = payloads(run, RunFinished)
    assert finish.outcome == "stopped"
    newest = CheckpointStore(folder=run / "checkpoints").newest()
    assert newest is not None
    assert load_state(newest)["position"]["step"] == finish.step == payloads(run, TrainMetrics)[-1].step
    assert RunFolder(run).best_weights.is_file()
    assert RunStore(tmp_path).summary(run.name).status == "stopped"


def test_ctrl_c_is_a_stop(tiny_settings: tuple[str, ...], tmp_path: Path) -> None:
    process, run = start_slowly(tiny_settings, tmp_path)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert payloads(run, RunFinished)[-1].outcome == "stopped"


def test_a_second_ctrl_c_interrupts_at_once_and_what_was_recorded_is_kept(
    tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    code = tmp_path / "slow.py"
    code.write_text("import time\n\n\ndef slow(output, target):\n    time.sleep(300)\n    return output.mean()\n")
    own = ("loss.name=custom", f"loss.file={code}", "loss.unchecked=true", "loss.inputs=as_is", "loss.ignored=given")
    process = subprocess.Popen(
        command(*TRAIN, *tiny_settings, *own, "--runs", str(tmp_path)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=ROOT,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not any(payloads(run, RunStarted) for run in tmp_path.glob("2*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    (run,) = tmp_path.glob("2*")
    time.sleep(1)  # into the first step, which takes five minutes
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert payloads(run, RunFinished)[-1].outcome == "stopped"


def test_a_killed_run_is_lost_with_its_curve_and_resumes_to_the_same_end(
    tiny_settings: tuple[str, ...], finished: tuple[Path, str], tmp_path: Path
) -> None:
    settings = (*tiny_settings, "schedule.name=ConstantLR", "augment.name=standard")
    whole = fine_tuner(*TRAIN, *settings, "train.epochs=6", "--runs", str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr

    process, run = start_slowly(settings, tmp_path / "killed")
    process.kill()
    process.communicate()
    steps = [p.step for p in payloads(run, TrainMetrics)]
    assert steps == list(range(1, len(steps) + 1))
    assert RunStore(tmp_path / "killed").summary(run.name).status == "lost"
    last_epoch = len(payloads(run, EvalMetrics))
    assert last_epoch < 6, "the machine is too slow or too fast for this test; raise both numbers of epochs"

    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("epochs: 400", "epochs: 6"))
    resumed = fine_tuner("resume", str(run))
    assert resumed.returncode == 0, resumed.stderr
    torch.testing.assert_close(last_weights(run), last_weights(run_folder(whole.stdout)), rtol=0, atol=0)
    summary = RunStore(tmp_path / "killed").summary(run.name)
    assert (summary.status, summary.step, summary.epoch) == ("completed", 12, 6)


def test_a_non_finite_loss_fails_with_a_message_and_code_1(tiny_settings: tuple[str, ...], tmp_path: Path) -> None:
    code = tmp_path / "nan.py"
    code.write_text("def nan_loss(output, target):\n    return (output.sum() - output.sum()) / 0\n")
    insist = ("loss.name=custom", f"loss.file={code}", "loss.unchecked=true")
    done = fine_tuner(*TRAIN, *tiny_settings, *insist, "--runs", str(tmp_path / "runs"))
    assert done.returncode == 1
    assert "training loss is nan at step 3" in done.stderr
    assert "number 3, the last that train.nonfinite_limit allows" in done.stderr
    assert "Traceback" not in done.stderr
    (finish,) = payloads(run_folder(done.stdout), RunFinished)
    assert finish.outcome == "failed"
    assert "not updated" in finish.error
    run = run_folder(done.stdout)
    assert sorted(p.name for p in (run / "evidence").iterdir()) == [f"step-{step:08d}" for step in (1, 2, 3)]
    about = json.loads((run / "evidence" / "step-00000001" / "about.json").read_text())
    assert len(about["files"]) == len(load_file(run / "evidence" / "step-00000001" / "batch.safetensors")["images"])
    assert all(t.isfinite().all() for t in last_weights(run).values())


@pytest.mark.slow
def test_a_full_disk_fails_with_a_message_and_keeps_what_was_recorded(
    tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    def limit() -> None:  # files may not grow past 200 kB: the first checkpoint does not fit, as on a full disk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = fine_tuner(*TRAIN, *tiny_settings, "--runs", str(tmp_path), preexec_fn=limit)
    assert done.returncode == 1
    run = run_folder(done.stdout)
    assert [p.step for p in payloads(run, TrainMetrics)] == [1, 2]
    assert payloads(run, RunFinished)[-1].outcome == "failed"
    assert not list((run / "checkpoints").glob("step-*"))


WRONG = [
    (("optim.lrr=1",), "optim.lrr: unknown setting. Did you mean 'optim.lr'?"),
    (("optim.lr=abc",), "optim.lr: 'abc' is not a number > 0, or empty."),
    (("train.batch_size=0",), "train.batch_size: 0 is not a whole number >= 1"),
    (("model.name=resnet1",), "Did you mean 'resnet18'?"),
    (("data.path=/no/such/folder",), "there is no folder /no/such/folder"),
    (("devices=tpu",), "devices: 'tpu' is not a device"),
]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [pytest.param(*wrong, marks=[pytest.mark.slow] * (at > 1)) for at, wrong in enumerate(WRONG)],
    ids=[o[0].partition("=")[0] for o, _ in WRONG],
)
def test_wrong_input_is_code_2_a_message_and_nothing_started(
    tiny_settings: tuple[str, ...], tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    done = fine_tuner(*TRAIN, *tiny_settings, *overrides, "--runs", str(tmp_path / "runs"))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_preset_that_is_not_there_is_code_2() -> None:
    done = fine_tuner("train", "sampel")
    assert (done.returncode, "Did you mean 'sample'" in done.stderr) == (2, True)


def test_the_plan_says_what_the_run_then_does(finished: tuple[Path, str], tiny_settings: tuple[str, ...]) -> None:
    run, _ = finished
    done = fine_tuner("plan", "default", *tiny_settings, "--json")
    plan = json.loads(done.stdout)
    (started,) = payloads(run, RunStarted)
    shared = set(plan) & set(started.facts)
    assert len(shared) > 15
    assert {key: plan[key] for key in shared} == {key: started.facts[key] for key in shared}
    assert (plan["total_steps"], plan["steps_per_epoch"]) == (started.total_steps, started.steps_per_epoch)
    assert sum(stage["parameters"] for stage in plan["stages"]) == plan["parameters"]


@pytest.mark.slow
def test_a_completed_run_is_extended_and_a_clone_names_its_parent(
    tiny_settings: tuple[str, ...], tmp_path: Path
) -> None:
    runs = ("--runs", str(tmp_path))
    first = run_folder(fine_tuner(*TRAIN, *tiny_settings, "train.epochs=1", *runs).stdout)
    longer = fine_tuner("extend", first.name, "2", *runs)
    assert longer.returncode == 0, longer.stderr
    assert "epoch 2/2" in longer.stdout
    assert [p.step for p in payloads(first, TrainMetrics)] == [1, 2, 3, 4]
    assert RunStore(tmp_path).summary(first.name).status == "completed"
    assert fine_tuner("extend", first.name, "2", *runs).returncode == 2, "two epochs are over already"
    clone = run_folder(fine_tuner("clone", first.name, "optim.lr=0.002", *runs).stdout)
    assert json.loads((clone / "run.json").read_text())["parent"] == first.name
