"""Which devices a setting means, and what is said when they are not there."""

from __future__ import annotations

import pytest
import torch

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.io import apply_overrides, parse, to_tree
from fine_tuner.config.presets import load_preset
from fine_tuner.distributed.devices import choose_device, choose_devices
from fine_tuner.tasks.build import Place, assemble, build_data

without_gpu = pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU")


def test_the_processor_has_as_many_processes_as_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_devices("cpu:3") == [torch.device("cpu")] * 3
    for name, value in {"RANK": "5", "WORLD_SIZE": "6", "LOCAL_RANK": "2"}.items():
        monkeypatch.setenv(name, value)
    assert choose_device("cpu:3") == torch.device("cpu")
    with pytest.raises(ConfigError, match="is 2 devices, and torchrun began more"):
        choose_device("cpu:2")


@without_gpu
@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("0,1", "this machine has no (GPU|CUDA device)"),
        ("cuda:0,cuda:1", "is not there: this machine has no CUDA device"),
        ("xpu", "is not there: this machine has no XPU device"),
        ("cpu:two", "is not a device. Write auto, cpu, .* for several 0,1, all or cpu:2"),
    ],
)
def test_a_device_that_is_not_there_is_said(wanted: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose_devices(wanted)


@without_gpu
def test_all_and_auto_without_a_gpu_are_the_processor() -> None:
    assert choose_devices("all") == choose_devices("auto") == [torch.device("cpu")]


def test_devices_share_a_step_that_keeps_its_images(tiny_settings: tuple[str, ...]) -> None:
    settings = parse(
        apply_overrides(to_tree(load_preset("default")), [*tiny_settings, "optim.lr=0.001", "train.scale_lr=linear"])
    )
    data = build_data(settings)
    with assemble(settings, data, outline=True, place=Place(world_size=2)) as two:
        assert (two.global_batch_size, two.train_batches.batch_size, two.steps_per_epoch) == (16, 16, 1)
        assert two.group_lrs["head"] == pytest.approx(0.002)
        assert two.settings.train.scale_lr == "none"
    with assemble(two.settings, data, outline=True, place=Place(world_size=3, began_with=2)) as three:
        assert (three.global_batch_size, three.total_steps) == (16, two.total_steps)
        assert three.group_lrs == two.group_lrs
    with pytest.raises(ConfigError, match="takes 8 images at a time, fewer than the 9 devices"):
        assemble(settings, data, outline=True, place=Place(world_size=9, began_with=1))


def test_statistics_of_all_devices_need_gpus(tiny_settings: tuple[str, ...]) -> None:
    settings = parse(apply_overrides(to_tree(load_preset("default")), [*tiny_settings, "train.sync_batchnorm=true"]))
    with pytest.raises(ConfigError, match=r"train.sync_batchnorm: Needs GPUs"):
        assemble(settings, build_data(settings), outline=True, place=Place(world_size=2))
