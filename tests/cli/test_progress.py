"""Progress of the commands: lines for people, events for programs."""

from __future__ import annotations

import json
import os
import re

import pytest

from fine_tuner.cli.progress import progress_lines
from tests.cli.terminal import seen_in_terminal


def test_events_are_strict_json_lines_and_what_belongs_to_the_work_stands_beside(capsys):
    tell = progress_lines(is_json=True)
    tell("Decoding images", 255.6, 1000.0)
    tell("sweep", 3, 100, point=[1e-3, None])
    tell("Reading", 7)
    printed = capsys.readouterr()
    assert [json.loads(line) for line in printed.err.splitlines()] == [
        {"progress": "Decoding images", "done": 256, "total": 1000},
        {"progress": "sweep", "done": 3, "total": 100, "point": [1e-3, None]},
        {"progress": "Reading", "done": 7, "total": None},
    ]
    assert printed.out == ""
    with pytest.raises(ValueError, match="JSON"):
        tell("sweep", 4, 100, point=[1e-3, float("nan")])


def test_people_read_words_and_numbers_and_no_more_often_than_asked(capsys):
    progress_lines(is_json=False)("bf16", 3, 32, point=[1, 2])
    progress_lines(is_json=False, pause_seconds=60.0)("never", 1, 2)
    assert capsys.readouterr().err == "bf16 3/32\n"


def test_a_terminal_gets_a_bar_with_the_time_left_that_is_gone_at_the_end(capfd):
    program = (
        "import time; from fine_tuner.cli.progress import progress_lines; tell = progress_lines(is_json=False)\n"
        "for step in range(1, 11): tell('Decoding [images]', step, 10); time.sleep(0.06)"
    )
    text = seen_in_terminal(program, "stderr", os.environ | {"TERM": "xterm"})
    assert "Decoding [images]" in text
    assert "left" in text
    assert re.search(r"[1-9]/10", text)
    assert text.rstrip("\r").endswith("\x1b[2K"), "the line is wiped"
