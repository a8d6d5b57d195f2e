"""The folder never holds more than its limit, and gives up what was used longest ago."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from fine_tuner.cli.main import main
from fine_tuner.data.files.decoded_folder import DecodedFolder

MIB = 2**20
PICTURE = bytes(MIB // 4)


def names(count: int, letter: str = "a") -> list[str]:
    return [f"{letter}{i:03d}" for i in range(count)]


def test_several_that_write_together_never_exceed_the_limit(tmp_path: Path) -> None:
    writers = [DecodedFolder(tmp_path, limit_mib=8) for _ in range(3)]
    kept = [w.keep(name, PICTURE) for name in names(30) for w in writers[:1]] + [
        w.keep(f"{i}{name}", PICTURE) for name in names(30, "b") for i, w in enumerate(writers)
    ]
    assert 6 * MIB <= writers[0].used_bytes() <= 8 * MIB
    assert sum(kept) * len(PICTURE) == writers[0].used_bytes()


def test_what_was_used_longest_ago_makes_room_for_another_run(tmp_path: Path) -> None:
    first = DecodedFolder(tmp_path, limit_mib=8)
    kept = [name for name in names(32) if first.keep(name, PICTURE)]
    now = time.time()
    for age, name in enumerate(reversed(kept)):
        os.utime(first.file(name), (now - 7200 - age, now - 7200 - age))
    assert DecodedFolder(tmp_path, limit_mib=8).keep("new", PICTURE)
    left = [name for name in kept if first.file(name).exists()]
    assert left == kept[-len(left) :]
    assert len(left) * len(PICTURE) <= 4 * MIB


def test_what_a_run_at_work_uses_is_not_taken_from_it(tmp_path: Path) -> None:
    first = DecodedFolder(tmp_path, limit_mib=8)
    kept = [name for name in names(40) if first.keep(name, PICTURE)]
    second = DecodedFolder(tmp_path, limit_mib=8)
    for name in names(40, "b"):
        second.keep(name, PICTURE)
    assert all(first.file(name).exists() for name in kept)


def test_deleting_leaves_nothing_and_nothing_is_there_before_the_first(tmp_path: Path) -> None:
    folder = DecodedFolder(tmp_path / "kept", limit_mib=8)
    assert folder.used_bytes() == 0
    folder.delete()
    assert folder.keep("one", PICTURE)
    assert folder.used_bytes() == len(PICTURE)
    folder.delete()
    assert folder.used_bytes() == 0


def test_the_command_tells_of_the_folder_and_deletes_it(capsys: pytest.CaptureFixture[str]) -> None:
    folder = DecodedFolder.of_cache(limit_mib=8)
    folder.delete()
    folder.keep("one", bytes(2 * MIB))
    assert main(["decoded", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(folder.path), "mib": 2.0, "deleted_mib": 0.0}
    assert main(["decoded", "--delete"]) == 0
    assert capsys.readouterr().out == f"{folder.path}: 0 MiB, 2 deleted\n"
    assert not folder.path.exists()
