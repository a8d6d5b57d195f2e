"""The page's scripts as Node sees them: format, lint, types, and what needs no browser. Skipped where Node is not.

``npm ci`` brings Biome and TypeScript; the page itself needs neither.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / "node_modules" / ".bin"
TESTS = sorted(path.relative_to(ROOT).as_posix() for path in Path(__file__).parent.rglob("*.test.js"))


def node(*command: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run something of Node's in the repository; skips where Node is missing."""
    program = shutil.which(command[0])
    if shutil.which("node") is None or program is None:
        pytest.skip(
            f"{command[0]} needs Node 18 or newer (apt-get install nodejs npm): scripts of the page not checked"
        )
    return subprocess.run(
        [program, *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
    )


def checker(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run an npm package; skips where it was not installed."""
    if not (BIN / name).exists():
        pytest.skip(f"{name} is not installed (run npm ci): scripts of the page not checked")
    return node(str(BIN / name), *options)


@pytest.mark.parametrize("path", TESTS)
def test_the_claims_about_the_scripts_hold(path):
    done = node("node", "--test", "--test-reporter=tap", path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    counts = dict(re.findall(r"^# (\w+) (\d+)$", done.stdout, re.MULTILINE))
    assert int(counts["pass"]) > 0
    assert (counts["fail"], counts["skipped"], counts["todo"]) == ("0", "0", "0")


@pytest.mark.slow
def test_no_curve_of_a_million_is_without_an_axis(monkeypatch):
    monkeypatch.setenv("FINE_TUNER_RANDOM_SERIES", "1000000")
    done = node("node", "--test", "--test-reporter=tap", "tests/assets/base/ticks.test.js", seconds=900)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "every axis of any 1000000 curves" in done.stdout


def test_scripts_are_formatted_and_lint_finds_nothing():
    done = checker("biome", "check", "--error-on-warnings", "--colors=off")
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


@pytest.mark.parametrize("config", ["tsconfig.json", "tsconfig.strict.json"])
def test_types_of_the_scripts_fit(config):
    """The strict one: what all other scripts call has a type for every parameter."""
    done = checker("tsc", "--project", config)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
