"""What a program writes to a real terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Mapping


def seen_in_terminal(program: str, stream: str, environment: Mapping[str, str]) -> str:
    """Run Python code whose ``stream`` (``stdout`` or ``stderr``) is a terminal; it has to end well."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", program], env=environment, **{stream: theirs}) as process:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 4096):
                seen += chunk
        except OSError:  # how Linux says that the terminal has closed
            pass
        assert process.wait() == 0
    os.close(ours)
    return seen.decode()
