"""The app's process has no torch, the training half no page; who imports whom is written in contracts.ini."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# As if the blocked packages were not installed; prints which of the watched ones were imported.
BLOCKED = """
import json, sys
blocked = {blocked!r}
sys.modules.update(dict.fromkeys(blocked))
sys.path.insert(0, {root!r})
{code}
print(json.dumps([name for name in {watched!r} if sys.modules.get(name) is not None]))
"""

SERVE_A_PAGE = """
from pathlib import Path
import tempfile
from fine_tuner.ui.environment import private_environment
with private_environment(), tempfile.TemporaryDirectory() as runs:
    from fine_tuner.ui.app import build_app
    from fine_tuner.ui.form.folders import Allowed
    app = build_app(runs=Path(runs), allowed=Allowed(roots=(Path(runs),)))
    assert app.routes
"""

EVERY_HELP = """
from fine_tuner.cli.main import build_parser
parser = build_parser()
(commands,) = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
assert len(commands) > 30, commands
for command in (parser, *commands.values()):
    assert command.format_help()
"""

IMPORT_EVERYTHING_BUT_THE_PAGE = """
import importlib, pkgutil
import fine_tuner
names = [module.name for module in pkgutil.walk_packages(fine_tuner.__path__, "fine_tuner.")]
names = [name for name in names if not name.startswith(("fine_tuner.ui", "fine_tuner.__main__"))]
assert len(names) > 50, names
for name in names:
    importlib.import_module(name)
"""


def run_blocked(blocked: list[str], code: str, *, watched: list[str] | None = None) -> list[str]:
    """Names of watched (or else blocked) modules that were imported; fails with the child's message if it failed."""
    program = BLOCKED.format(blocked=blocked, watched=watched or blocked, root=str(ROOT), code=code)
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert child.returncode == 0, child.stderr[-3000:]
    return json.loads(child.stdout.strip().splitlines()[-1])


def test_the_page_is_built_without_torch_and_without_importing_plotly():
    torch = ["torch", "torchvision", "torchmetrics"]
    assert run_blocked(torch, SERVE_A_PAGE, watched=["plotly", "matplotlib", "gradio"]) == ["gradio"]


def test_every_command_tells_its_options_without_torch():
    assert run_blocked(["torch", "torchvision", "torchmetrics", "gradio", "plotly"], EVERY_HELP) == []


def test_everything_but_the_page_imports_without_the_pages_packages():
    blocked = ["gradio", "plotly", "fastapi", "starlette", "uvicorn", "orjson"]
    assert run_blocked(blocked, IMPORT_EVERYTHING_BUT_THE_PAGE) == []


def test_the_blocker_blocks():
    with pytest.raises(AssertionError, match="import of torch halted"):
        run_blocked(["torch"], "import torch")


def test_imports_point_downwards():
    command = [
        str(Path(sys.executable).with_name("lint-imports")),
        "--config",
        str(ROOT / "tests/architecture/contracts.ini"),
        "--no-cache",
    ]
    lint = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert "5 kept, 0 broken" in lint.stdout, lint.stdout[-4000:] + lint.stderr[-2000:]
