"""An app in a process of its own whose runs train without torch: app_process.py RUNS PORT OPTIONS_OF_THE_WORKER."""

import asyncio
import os
import shlex
import sys
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import uvicorn

from fine_tuner.ui.app import build_app
from fine_tuner.ui.form.folders import Allowed

WORKER = Path(__file__).resolve().parents[1] / "launch" / "fake_worker.py"


async def serve(runs: Path, port: int, options: list[str]) -> None:
    app = build_app(runs=runs, allowed=Allowed(roots=(runs,)), ask=lambda argv: None)
    app.state.services.launcher._command = lambda run: [sys.executable, str(WORKER), str(run.path), *options]
    await uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", ws="none")).serve()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), shlex.split(sys.argv[3])))
