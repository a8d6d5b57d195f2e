"""Loading processes leave signals to their parent, which may reach the whole of its group."""

from __future__ import annotations

import os
import signal
import time

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fine_tuner.base.errors import TrainingError
from fine_tuner.data.loading.loader import Loader


class Numbers(Dataset):
    """The number of a key, after a moment."""

    def __getitem__(self, key: int) -> tuple[Tensor, Tensor]:
        time.sleep(0.005)
        return torch.zeros(3, 4, 4), torch.tensor(key)


@pytest.mark.parametrize("batches_before", [0, 1])
def test_loaders_outlive_signals_to_their_group(batches_before: int) -> None:
    loader = Loader(Numbers(), [[2 * i, 2 * i + 1] for i in range(20)], num_workers=2)
    batches = iter(loader)
    seen = [next(batches) for _ in range(batches_before)]
    for worker in loader._iterator._workers:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            os.kill(worker.pid, number)
    seen += list(batches)
    assert torch.cat([targets for _, targets in seen]).tolist() == list(range(40))


def test_closing_ends_the_loading_processes() -> None:
    loader = Loader(Numbers(), [[i] for i in range(1000)], num_workers=2)
    batches = iter(loader)
    next(batches)
    workers = list(loader._iterator._workers)
    loader.close()
    assert not any(worker.is_alive() for worker in workers)


@pytest.mark.filterwarnings(  # of torch: its handler interrupts its own trial of whether files can be opened
    "ignore:.*unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGBUS], ids=["memory of the machine", "shared memory"])
def test_a_loading_process_that_the_system_kills_is_a_sentence(number: int) -> None:
    loader = Loader(Numbers(), [[i] for i in range(1000)], num_workers=2)
    batches = iter(loader)
    next(batches)
    os.kill(loader._iterator._workers[0].pid, number)
    with pytest.raises(
        TrainingError, match=r"loads images died .* ran out of memory.* Lower data.num_workers"
    ) as caught:
        list(batches)
    assert len(str(caught.value).splitlines()) == 1
    assert loader._iterator is None


@pytest.mark.parametrize("error", [ConnectionResetError(104, "Connection reset by peer"), EOFError()])
def test_a_loading_process_that_dies_while_it_hands_over_a_batch_is_the_same_sentence(error: Exception) -> None:
    class HangsUp:
        def __next__(self) -> None:
            raise error

    loader = Loader(Numbers(), [[0]], num_workers=0)
    loader._iterator = HangsUp()
    with pytest.raises(TrainingError, match=r"loads images died .* Lower data.num_workers"):
        list(loader._batches())


def test_a_death_that_is_told_while_loading_ends_takes_no_place_of_what_was_said() -> None:
    class EndsBadly:
        def __init__(self, what: str) -> None:
            self.what = what

        def __next__(self) -> None:
            raise EOFError

        def _shutdown_workers(self) -> None:
            raise RuntimeError(self.what)

    loader = Loader(Numbers(), [[0]], num_workers=0)
    loader._iterator = EndsBadly("DataLoader worker (pid 412) is killed by signal: Bus error. It is possible that")
    with pytest.raises(TrainingError, match=r"it hung up while .* Lower data.num_workers"):
        list(loader._batches())
    loader._iterator = EndsBadly("something else")
    with pytest.raises(RuntimeError, match="something else"):
        loader.close()


class WithoutRoom(Dataset):
    """As torch says it where shared memory is full."""

    def __getitem__(self, key: int) -> tuple[Tensor, Tensor]:
        raise RuntimeError("unable to open shared memory object </torch_1_2_3> in read-write mode: No space left (28)")


def test_shared_memory_that_is_full_is_a_sentence_without_a_traceback() -> None:
    with pytest.raises(TrainingError, match=r"shared memory object .* Lower data.num_workers") as caught:
        list(Loader(WithoutRoom(), [[0, 1]], num_workers=1))
    assert "Traceback" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
