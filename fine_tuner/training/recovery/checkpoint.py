"""Checkpoints: written whole or not at all, the newest usable one found again.

::

    checkpoints/
      step-00000120/   model.safetensors  state.pt  manifest.json (size and CRC-32 of both)
      best/            model.safetensors  (weights only, of the best validation)

A checkpoint's folder gets its name when all of it is on disk. One whose files do not match their manifest (a power cut,
a bad disk) is passed over for the one before it.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fine_tuner.base.files import read_json, replacing, sync_folder, write_json
from fine_tuner.runs.layout import CHECKPOINT_NAME, WEIGHTS

STATE, MANIFEST = "state.pt", "manifest.json"


@dataclass(frozen=True, kw_only=True)
class CheckpointStore:
    """Checkpoints of one run.

    Attributes:
        folder: ``checkpoints/`` of the run folder.
        keep: How many complete checkpoints are kept besides the best weights; two, so that one torn by a power cut
            still leaves one.
    """

    folder: Path
    keep: int = 2

    def save(
        self,
        step: int,
        *,
        write_weights: Callable[[Path], None],
        state: dict[str, Any],
        is_best: bool,
        is_durable: bool = True,
    ) -> Path:
        """Write a checkpoint after ``step`` steps and drop the oldest ones.

        Args:
            step: Steps done; names the folder.
            write_weights: Writes the model's weights to the path it is given.
            state: What else a resume needs; plain values and tensors only.
            is_best: Also make these weights the best.
            is_durable: It survives a power cut once this returns. Else only the death of the process, at a fraction of
                the time, and the oldest ones stay until the next that is durable.

        Returns:
            The checkpoint's folder.

        Raises:
            OSError: As the file system says; earlier checkpoints are untouched.
        """
        final = self.folder / f"step-{step:08d}"
        temporary = self.folder / f".{final.name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        self.folder.mkdir(exist_ok=True)  # not its parents: a run that was removed does not come back
        temporary.mkdir()
        try:
            write_weights(temporary / WEIGHTS)
            with replacing(temporary / STATE, is_durable=is_durable) as part:
                _write_state(state, part)
            manifest = {name: _fingerprint(temporary / name) for name in (WEIGHTS, STATE)}
            write_json(temporary / MANIFEST, manifest, is_durable=is_durable)
            self._put_in_place(temporary, final)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        if is_durable:
            sync_folder(self.folder)
        if is_best:
            self._set_best(final / WEIGHTS, is_durable=is_durable)
        if is_durable:
            self._drop_others(final)
        return final

    def _put_in_place(self, temporary: Path, final: Path) -> None:
        """Give a checkpoint its name; one of the same step is out of the way for no longer than a rename takes."""
        earlier = self.folder / f".{final.name}.earlier.tmp"
        with suppress(FileNotFoundError):
            shutil.rmtree(earlier, ignore_errors=True)
            final.replace(earlier)
        try:
            temporary.replace(final)
        except OSError:
            with suppress(OSError):
                earlier.replace(final)
            raise
        shutil.rmtree(earlier, ignore_errors=True)

    def _set_best(self, weights: Path, *, is_durable: bool) -> None:
        """Make ``weights`` the best; a hard link where the file system has them, else a copy."""
        target = self.folder / "best" / WEIGHTS
        with replacing(target, is_durable=is_durable) as temporary:
            try:
                temporary.hardlink_to(weights)
            except OSError:
                shutil.copyfile(weights, temporary)

    def _drop_others(self, newest: Path) -> None:
        """Keep the one just written and those before it. One of a later step is torn, or it would have been resumed."""
        folders = self.steps()
        at = folders.index(newest)
        for folder in (*folders[:at], *folders[at + self.keep :]):
            shutil.rmtree(folder, ignore_errors=True)
        for leftover in self.folder.glob(".step-*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)

    def steps(self) -> list[Path]:
        """Folders of all checkpoints, newest first, torn ones included."""
        if not self.folder.is_dir():
            return []
        found = [(int(m[1]), p) for p in self.folder.iterdir() if (m := CHECKPOINT_NAME.fullmatch(p.name))]
        return [path for _, path in sorted(found, reverse=True)]

    def newest(self) -> Path | None:
        """The newest checkpoint whose files are what its manifest says; None if there is none."""
        return next((folder for folder in self.steps() if is_whole(folder)), None)


def _write_state(state: dict[str, Any], path: Path) -> None:
    """Write a state piece by piece: whole in memory it would take as much again as the optimizer.

    Raises:
        OSError: As the file system says; torch wraps it while it closes what it could not write.
    """
    with path.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def is_whole(folder: Path) -> bool:
    """Whether a checkpoint's files are those that were written."""
    manifest = read_json(folder / MANIFEST)
    if manifest is None:
        return False
    with suppress(OSError):
        return all(_fingerprint(folder / name) == manifest.get(name) for name in (WEIGHTS, STATE))
    return False


# Entries of a state by their name in earlier versions, and those that the earliest did not have.
_RENAMED = {
    "progress": "position",
    "portions": "micro_batches",
    "patience": "early_stopping",
    "health": "loss_scale",
    "average": "ema",
}
_ADDED: Mapping[str, Any] = {
    "micro_batches": {"train": None, "evaluation": None},
    "early_stopping": {"since": 0, "is_told": False},
    "loss_scale": {"scale": None, "skipped": 0, "in_a_row": 0},
    "passed_over": [],
    "left_out": [],
    "ema": None,
    "loss": {},
}


def load_state(folder: Path) -> dict[str, Any]:
    """The ``state`` given to ``CheckpointStore.save``; tensors on the CPU. One of an earlier version comes renamed."""
    saved = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    state = dict(_ADDED) | {_RENAMED.get(name, name): value for name, value in saved.items()}
    if "rollbacks" in state:
        state["position"]["rollbacks"] = state.pop("rollbacks")
    return state


def _fingerprint(path: Path) -> dict[str, int]:
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            crc = zlib.crc32(chunk, crc)
    return {"bytes": path.stat().st_size, "crc32": crc}
