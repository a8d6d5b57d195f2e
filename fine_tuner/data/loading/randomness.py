"""Random numbers that depend on what is drawn for, not on when, where or after what it is drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_of(*parts: int) -> int:
    """63 bits that depend on all of ``parts`` (seed, epoch, sample index, ...)."""
    digest = hashlib.blake2b(",".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@contextmanager
def randomness_of(*parts: int) -> Iterator[None]:
    """Inside, torch's generator on the CPU is seeded by ``parts``; afterwards it is as it was before.

    ``torch.manual_seed`` would reseed CUDA too, and ``torch.random.fork_rng`` costs three times as much.
    """
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(seed_of(*parts))
    try:
        yield
    finally:
        generator.set_state(state)
