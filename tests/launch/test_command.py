"""Command lines, the environment of children, and the names of devices."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fine_tuner.launch import devices
from fine_tuner.launch.command import serve_command, shell_text, standby_command, train_arguments, train_command
from fine_tuner.launch.environment import child_environment
from fine_tuner.runs.layout import RunFolder

SECRETS = """HF_TOKEN HUGGING_FACE_HUB_TOKEN AWS_SECRET_ACCESS_KEY AWS_PROFILE OPENAI_API_KEY WANDB_API_KEY DB_PASSWORD
GITHUB_PAT my_secret"""
HARMLESS = "PATH HOME CUDA_VISIBLE_DEVICES HTTPS_PROXY OMP_NUM_THREADS TORCH_HOME LD_LIBRARY_PATH AWS_REGION"

words = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))


@given(argv=st.lists(words, min_size=1))
def test_shell_text_is_read_back_as_the_command(argv):
    assert shlex.split(shell_text(argv)) == argv


def test_a_pasted_command_reaches_the_program_as_it_was():
    argv = ["a b", "x='1'", "$HOME", "`id`", "*", "loss={name: focal, gamma: 1.5}", "ü", ""]
    text = shell_text([sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))", *argv], program=sys.executable)
    done = subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ascii(argv)


def test_a_run_is_trained_by_the_command_line_of_this_interpreter():
    run = RunFolder(Path("/runs/my run"))
    assert train_command(run) == [sys.executable, "-m", "fine_tuner", "train", "/runs/my run"]
    assert train_arguments(run) == train_command(run)[3:]
    assert shell_text(train_command(run)) == "python -m fine_tuner train '/runs/my run'"
    assert serve_command()[3:] == ["serve"]
    assert standby_command()[3:] == ["standby"]


@pytest.mark.parametrize("name", SECRETS.split())
def test_children_get_no_secrets(name):
    assert name not in child_environment({name: "x", "PATH": "/bin"})


@pytest.mark.parametrize("name", HARMLESS.split())
def test_children_get_what_they_need(name):
    assert child_environment({name: "x"}, EXTRA="y")[name] == "x"
    assert child_environment({name: "x"}, EXTRA="y")["EXTRA"] == "y"


def test_children_can_import_this_package_from_anywhere(tmp_path):
    environment = child_environment()
    code = "import fine_tuner; print(fine_tuner.__version__)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.strip()
    assert child_environment(environment)["PYTHONPATH"] == environment["PYTHONPATH"], "once is enough"


@pytest.mark.parametrize(
    ("setting", "visible", "gpus", "keys"),
    [
        ("cpu", None, 0, ("cpu",)),
        ("auto", None, 2, ("cuda-0",)),
        ("auto", "", 2, ("cpu",)),
        ("cuda", None, 2, ("cuda-0",)),
        ("cuda:1", None, 2, ("cuda-1",)),
        ("cuda:1", "3,5", 8, ("cuda-5",)),
        ("cuda:0", "GPU-8932f937-d72c", 8, ("cuda-GPU-8932f937-d72c",)),
        ("cuda:0,cuda:1", "3,5", 8, ("cuda-3", "cuda-5")),
        ("mps", None, 0, ("mps",)),
        ("", None, 0, ("cpu",)),
    ],
)
def test_devices_are_named_by_the_hardware_that_they_mean(monkeypatch, setting, visible, gpus, keys):
    monkeypatch.setattr(devices, "_gpu_count", lambda: gpus)
    monkeypatch.setattr(devices.sys, "platform", "linux")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.device_keys(setting) == keys


def test_several_devices_are_taken_together_or_not_at_all(tmp_path):
    one = devices.take(tmp_path, ["cuda-1"])
    assert devices.take(tmp_path, ["cuda-0", "cuda-1"]) is None
    assert devices.is_free(tmp_path, "cuda-0"), "let go again"
    one[0].close()
    both = devices.take(tmp_path, ["cuda-0", "cuda-1"])
    assert len(both) == 2
    assert not devices.is_free(tmp_path, "cuda-0")
    for lock in both:
        lock.close()


def test_a_run_started_by_hand_holds_its_device_unless_its_launcher_does(tmp_path, monkeypatch):
    with devices.hold(tmp_path, "cpu") as was_free:
        assert was_free
        assert not devices.is_free(tmp_path, "cpu")
        with devices.hold(tmp_path, "cpu") as was_free:
            assert not was_free
        assert not devices.is_free(tmp_path, "cpu")
    assert devices.is_free(tmp_path, "cpu")
    monkeypatch.setenv("FINE_TUNER_LAUNCH", "token")
    with devices.hold(tmp_path, "cpu") as was_free:
        assert was_free
        assert devices.is_free(tmp_path, "cpu")
