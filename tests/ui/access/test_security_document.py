"""SECURITY.md promises nothing without a test that holds it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_every_test_that_is_named_is_there():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "SECURITY.md").read_text()))
    written = {
        name for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }  # fmt: skip
    assert len(named) > 40
    assert named - written == set()


def test_every_promise_names_its_test():
    protected = (ROOT / "SECURITY.md").read_text().partition("## What is protected")[2].partition("## What is not")[0]
    promises = [part for part in re.split(r"\n(?=- |\*\*)", protected) if part.startswith("- ")]
    assert len(promises) > 20
    assert [promise for promise in promises if "`test_" not in promise] == []
