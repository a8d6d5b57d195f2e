"""Wrong losses and the message that each gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fine_tuner.losses.check.batch import prepare, synthetic
from fine_tuner.losses.check.check import check_loss
from tests.losses.check.wrong_losses import WRONG, Wrong

GENTLE = [w for w in WRONG if not w.is_lethal]


def test_there_are_at_least_twenty() -> None:
    assert len(WRONG) >= 50
    assert len({w.name for w in WRONG}) == len(WRONG)
    assert len({w.kind for w in WRONG}) >= 30


def assert_says(report: dict[str, Any], wrong: Wrong) -> None:
    found = [f for f in report["findings"] if f["kind"] == wrong.kind]
    told = "\n".join(f"{f['level']} {f['kind']}: {f['text']}" for f in report["findings"])
    assert len(found) == 1, told
    (finding,) = found
    assert finding["level"] == wrong.level
    assert wrong.says in finding["text"], told
    assert finding["line"] == wrong.line, told
    assert finding["source"] == (wrong.text.splitlines()[wrong.line - 1].strip()[:120] if wrong.line else "")
    assert finding["text"].startswith("my_code.py")
    assert finding["what"]
    assert finding["remedy"]
    assert report["ok"] == all(f["level"] != "error" for f in report["findings"])
    assert report["ok"] == (wrong.level != "error"), told


@pytest.mark.parametrize("wrong", GENTLE, ids=lambda w: w.name)
def test_a_wrong_loss_gets_its_message(wrong: Wrong, tmp_path: Path) -> None:
    file = tmp_path / "my_code.py"
    file.write_text(wrong.text)
    with torch.random.fork_rng(devices=[]):
        form = {"inputs": wrong.inputs, "ignored": wrong.ignored}
        assert_says(check_loss(file, wrong.entry, prepare(synthetic(wrong.task)), **form), wrong)
    assert torch.get_default_dtype() == torch.float32
