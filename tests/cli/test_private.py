"""What programs of ours write is for their user alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import os, sys
from fine_tuner.cli import main as cli
cli.parse_arguments = lambda argv: sys.exit(os.umask(0))
cli.main({argv})
"""


@pytest.mark.parametrize(
    ("argv", "given", "mask"),
    [("None", {}, 0o077), ("None", {"FINE_TUNER_UMASK": "027"}, 0o027), ("None", {"FINE_TUNER_UMASK": "x"}, 0o077),
     ("[]", {}, 0o022)],
)  # fmt: skip
def test_the_command_line_writes_for_its_user_alone_unless_told_otherwise(argv, given, mask):
    command = [sys.executable, "-c", CODE.format(argv=argv)]
    done = subprocess.run(command, env=os.environ | given, umask=0o022, check=False)
    assert done.returncode == mask
