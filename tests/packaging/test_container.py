"""The Dockerfile: clean by hadolint, and its steps as a plain shell takes them, without Docker."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "Dockerfile"
SHARED_LIBRARIES = next(path for path in sys.path if path.endswith("site-packages"))


def steps(word: str) -> list[str]:
    """What stands behind every instruction of one kind."""
    return re.findall(rf"^{word} (.+)$", DOCKERFILE.read_text(), re.MULTILINE)


def test_the_dockerfile_is_clean_by_hadolint():
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([str(hadolint), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_what_is_copied_into_the_image_is_what_the_package_is_made_of():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert all((ROOT / name).exists() for name in kept)
    assert {"fine_tuner", "assets", "setup.py", "pyproject.toml", "requirements.txt", "LICENSE", "README.md"} <= kept


@pytest.mark.slow
def test_its_steps_install_and_serve_the_page(tmp_path):
    source, work, home = tmp_path / "source", tmp_path / "work", tmp_path / "python"
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in kept:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, _made(source) / name)
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    packages = next((home / "lib").glob("python*/site-packages"))
    packages.joinpath("other.pth").write_text(SHARED_LIBRARIES + "\n")
    for old in packages.glob("setuptools*"):  # Python 3.11's, older than what builds us
        shutil.rmtree(old)
    environment = os.environ | {
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}", "TORCH_INDEX": "https://pypi.org/simple",
        "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0",  # all is there; 0 means no isolation
    }  # fmt: skip
    assert len(steps("RUN")) == 1
    for step in steps("RUN"):
        here = step.replace("/source", str(source)).replace("/work", str(work))
        subprocess.run(["/bin/sh", "-c", here], env=environment, cwd=tmp_path, check=True)
    (command,) = map(json.loads, steps("CMD"))
    with subprocess.Popen(
        [*command, "--port", "0"], cwd=work, env=environment | {"HOME": str(work)}, stdout=subprocess.PIPE, text=True,
        executable=home / "bin" / command[0],
    ) as page:  # fmt: skip
        line = page.stdout.readline()
        page.terminate()
    assert line.startswith("Fine Tuner: http://127.0.0.1:")


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder
