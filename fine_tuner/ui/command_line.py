"""The words that start the page: ``fine-tuner`` without a command, ``fine-tuner page`` and ``python app.py``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fine_tuner.base.files import keep_private


def parse_arguments(argv: Sequence[str] | None = None, *, program: str | None = None) -> argparse.Namespace:
    """The page's options; ``program`` is what the help calls the command (None: the script that was started)."""
    parser = argparse.ArgumentParser(prog=program, description="Fine-tune pretrained torchvision models on a page.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; other than loopback needs a login")
    parser.add_argument("--port", type=int, help="default 7860, or the next free one")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs, default ./runs")
    parser.add_argument(
        "--data-root", type=Path, action="append", default=[], metavar="DIR",
        help="folder below which data may be chosen; may be given several times (default: here, and your home folder "
        "while the page is reachable from this machine only)",
    )  # fmt: skip
    parser.add_argument("--share", action="store_true", help="also public links through Gradio's tunnel, with a login")
    parser.add_argument(
        "--root-path", default="", metavar="PATH",
        help="where a reverse proxy shows the app: /tuner, or https://example.org/tuner; asks for a login",
    )  # fmt: skip
    parser.add_argument(
        "--link-hours",
        type=float,
        default=168,
        metavar="HOURS",
        help="how long new links are valid (default 168: a week)",
    )
    parser.add_argument("--new-links", action="store_true", help="new links; those of the last time end")
    parser.add_argument("--allow-code", action="store_true", help="custom losses although others can reach the page")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, *, program: str | None = None) -> int:
    """Serve until interrupted; the exit code."""
    arguments = parse_arguments(argv, program=program)
    from fine_tuner.ui.server import Options, serve

    keep_private()
    return serve(Options(**vars(arguments)))
