"""Checkpoints are whole or absent, whatever happens to the files."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
import torch

from fine_tuner.training.recovery.checkpoint import CheckpointStore, is_whole, load_state

STATE = {"progress": {"step": 3}, "rng": {"cpu": torch.get_rng_state()}, "lr": 0.1}


def save(store: CheckpointStore, step: int, *, is_best: bool = False, content: bytes | None = None) -> Path:
    def write(path: Path) -> None:
        path.write_bytes(content or f"weights {step}".encode())

    return store.save(step, write_weights=write, state=STATE | {"step": step}, is_best=is_best)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(folder=tmp_path / "checkpoints")


def test_the_state_comes_back_without_pickled_code(store: CheckpointStore) -> None:
    folder = save(store, 3)
    assert load_state(folder)["step"] == 3
    torch.testing.assert_close(load_state(folder)["rng"]["cpu"], STATE["rng"]["cpu"])


def test_a_state_of_an_earlier_version_comes_back_under_the_present_names(store: CheckpointStore) -> None:
    position, counts = {"step": 3, "epoch": 1}, {"scale": 2.0, "skipped": 4, "in_a_row": 1}
    parts = {"portions": {"train": 4, "evaluation": None}, "patience": {"since": 1, "is_told": True}, "average": None}
    old = {"progress": position, "health": counts, "rollbacks": 2, "passed_over": [7], "left_out": [], **parts}
    folder = store.save(3, write_weights=lambda path: path.write_bytes(b"weights"), state=old, is_best=False)
    assert load_state(folder) == {
        "position": position | {"rollbacks": 2},
        "micro_batches": parts["portions"],
        "early_stopping": parts["patience"],
        "loss_scale": counts,
        "ema": None,
        "passed_over": [7],
        "left_out": [],
        "loss": {},  # it had no parameters of its own then
    }


def test_the_newest_is_found_and_the_last_two_are_kept(store: CheckpointStore) -> None:
    for step in (9, 10, 100):
        save(store, step)
    assert [p.name for p in store.steps()] == ["step-00000100", "step-00000010"]
    assert store.newest().name == "step-00000100"


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_torn_checkpoint_is_passed_over_for_the_one_before(store: CheckpointStore, name: str, damage: str) -> None:
    save(store, 1)
    torn = save(store, 2)
    data = (torn / name).read_bytes()
    if damage == "gone":
        (torn / name).unlink()
    else:
        (torn / name).write_bytes(data[: len(data) // 2] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    if name == "manifest.json" and damage == "changed":
        (torn / name).write_bytes(data.replace(b"crc32", b"crc33"))
    assert not is_whole(torn)
    assert store.newest().name == "step-00000001"


def test_the_best_outlives_the_checkpoints_it_came_from(store: CheckpointStore) -> None:
    save(store, 1, is_best=True)
    for step in (2, 3, 4):
        save(store, step)
    assert (store.folder / "best" / "model.safetensors").read_bytes() == b"weights 1"


def test_a_repeated_step_replaces_its_checkpoint(store: CheckpointStore) -> None:
    save(store, 5, content=b"old")
    folder = save(store, 5, content=b"new")
    assert (folder / "model.safetensors").read_bytes() == b"new"
    assert is_whole(folder)


@pytest.mark.parametrize("limit", [1_000, 30_000])
def test_a_state_for_which_there_is_no_room_is_an_error_of_the_file_system(store: CheckpointStore, limit: int) -> None:
    save(store, 1)
    state = {"first": torch.ones(5_000), "second": torch.ones(5_000)}
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.save(2, write_weights=lambda path: path.write_bytes(b"weights"), state=state, is_best=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [p.name for p in store.folder.iterdir()] == ["step-00000001"]


def test_a_failed_write_leaves_earlier_checkpoints_and_no_rubbish(store: CheckpointStore) -> None:
    save(store, 1)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    with pytest.raises(OSError, match="No space left"):
        store.save(2, write_weights=full, state=STATE, is_best=True)
    assert [p.name for p in store.folder.iterdir()] == ["step-00000001"]


def test_there_is_no_newest_without_a_folder(store: CheckpointStore) -> None:
    assert store.newest() is None


def test_a_new_checkpoint_outlives_torn_ones_of_later_steps(store: CheckpointStore) -> None:
    """As after a power cut: the run went back to step 3, since 8 and 9 are torn, and writes step 4."""
    for step in (8, 9):
        save(store, step)
    for torn in (8, 9):
        (store.folder / f"step-{torn:08d}" / "state.pt").write_bytes(b"")
    new = save(store, 4)
    assert store.newest() == new
    assert store.steps() == [new]
