"""``fine-tuner`` and ``python -m fine_tuner``: a command, or without one the page."""

from __future__ import annotations

import sys
from collections.abc import Sequence

PAGE = "page"
_OF_COMMANDS = ("-h", "--help", "--version")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in ``argv``, or serve the page where there is none; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    asks_for_page = not words or words[0] == PAGE or (words[0].startswith("-") and words[0] not in _OF_COMMANDS)
    if asks_for_page:  # each half starts without what the other needs
        from fine_tuner.ui.command_line import main as serve_page

        return serve_page(words[1:] if words[:1] == [PAGE] else words, program=f"fine-tuner {PAGE}")
    from fine_tuner.cli.main import main as run_command

    return run_command(argv)


if __name__ == "__main__":
    sys.exit(main())
