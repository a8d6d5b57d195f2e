"""Several processes train and measure as one does on the same global batch: only the order of sums differs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fine_tuner.distributed.ranks import Ranks

from .cases import CASES, MEASURED, measure, train
from .conftest import in_processes

pytestmark = pytest.mark.ddp


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def several(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return in_processes(request.param, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = {name: train(case, Ranks()) for name, case in CASES.items()}
    torch.set_num_threads(threads)
    return found


@pytest.mark.parametrize("name", CASES)
def test_weights_losses_and_norms_are_those_of_one_process(several: list[Any], alone: Any, name: str) -> None:
    for trainings, *_ in several:
        ours, its = trainings[name], alone[name]
        assert ours["images"] == its["images"] == 58
        for what in ("weights", "losses", "norms"):
            torch.testing.assert_close(ours[what], its[what], rtol=1e-5, atol=1e-6)
        for our_metrics, its_metrics in zip(ours["metrics"], its["metrics"], strict=True):
            assert our_metrics == pytest.approx(its_metrics, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_all_ranks_end_with_the_same_weights_bit_for_bit(several: list[Any], name: str) -> None:
    (first, *_), *others = several
    assert others
    for trainings, *_ in others:
        torch.testing.assert_close(trainings[name], first[name], rtol=0, atol=0)


@pytest.mark.parametrize(("kind", "count"), MEASURED)
def test_metrics_are_those_of_one_process_to_the_last_digit(several: list[Any], kind: str, count: int) -> None:
    its = measure(kind, count, Ranks())
    its_loss = its.pop("loss")
    for _, measured, _ in several:
        ours = dict(measured[kind, count])
        assert ours.pop("loss") == pytest.approx(its_loss, rel=1e-6)  # of means in float32, over other batches
        assert ours == its


def test_ranks_agree(several: list[Any]) -> None:
    size = len(several)
    for rank, (*_, said) in enumerate(several):
        assert said == {
            "sum": [size, sum(range(size))],
            "max": [size - 1],
            "gathered": [n for r in range(size) for n in range(r + 1)],
            "shared": {"rank": 0},
            "agreed": (True, False),
            "most": size - 1,
            "together": rank,
            "failed": "no room on the last rank",
            "gradient": [(size - 1) / 2] * 2,
            "equal": [0.0, 0.0, 0.0],
        }
