"""Defaults that fit the data: each rule, and that what is set by the user is never touched."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fine_tuner.config.io import apply_overrides, dump_yaml, overrides_between, parse, replace, to_tree
from fine_tuner.config.presets import load_preset
from fine_tuner.config.settings import Settings
from fine_tuner.config.tasks import TargetKind
from fine_tuner.tasks import defaults
from fine_tuner.tasks.build import assemble, build_data
from fine_tuner.tasks.defaults import Circumstances
from fine_tuner.tasks.fill_in import fill_in

MEMBRANES = Circumstances(
    num_images=24, kind=TargetKind.MASK, picture_px=512, is_pretrained=True, has_gpu=False, optimizer="AdamW"
)
ANTS = Circumstances(
    num_images=244, kind=TargetKind.CLASS, picture_px=375, is_pretrained=True, has_gpu=False, optimizer="AdamW"
)


def test_few_pictures_get_a_batch_that_makes_six_steps_and_says_so():
    chosen = defaults.choose_batch_size(MEMBRANES)
    assert (chosen.value, chosen.reason) == (4, "so that an epoch has 6 steps")


@given(st.integers(1, 10**7), st.sampled_from(list(TargetKind)))
def test_a_batch_is_a_power_of_two_between_two_and_the_most(images, kind):
    about = dataclasses.replace(ANTS, num_images=images, kind=kind)
    size = defaults.choose_batch_size(about).value
    most = defaults.MOST_IMAGES[kind is TargetKind.MASK]
    assert 2 <= size <= most
    assert math.log2(size).is_integer()
    assert size == 2 or images / size >= defaults.LEAST_STEPS
    assert size == most or images / (2 * size) < defaults.LEAST_STEPS


def test_masks_are_seen_at_the_size_of_the_pictures_but_for_what_a_cpu_can_bear():
    assert defaults.choose_image_size(MEMBRANES).value == 256
    assert "4 times as fast" in defaults.choose_image_size(MEMBRANES).reason
    assert defaults.choose_image_size(dataclasses.replace(MEMBRANES, has_gpu=True)).value == 512
    assert defaults.choose_image_size(dataclasses.replace(MEMBRANES, picture_px=70)).value == 96


def test_pretrained_weights_see_pictures_as_they_were_trained():
    assert defaults.choose_image_size(ANTS) is None


@given(st.integers(1, 10**6), st.booleans())
def test_epochs_make_the_steps_that_a_network_needs_within_bounds(steps_per_epoch, is_pretrained):
    about = dataclasses.replace(ANTS, is_pretrained=is_pretrained)
    epochs = defaults.choose_epochs(about, steps_per_epoch).value
    least, most = defaults.EPOCHS[is_pretrained]
    assert least <= epochs <= most
    if least < epochs < most:
        assert epochs * steps_per_epoch >= defaults.STEPS[is_pretrained] > (epochs - 1) * steps_per_epoch


def test_epochs_keep_to_the_time_that_there_is_once_a_pace_is_known():
    short = dataclasses.replace(ANTS, minutes=1.0, images_per_second=24.4)
    chosen = defaults.choose_epochs(short, 8)
    assert chosen.value == 6  # 60 s x 24.4 images/s = 6 x 244 images
    assert chosen.reason == "what goes into 1 minute at 24.4 images/s"
    assert defaults.choose_epochs(dataclasses.replace(short, images_per_second=None), 8).value == 15


def test_a_rate_grows_with_the_root_of_the_images_of_a_step():
    assert defaults.choose_rate(ANTS, 32).value == defaults.RATES[True]
    assert defaults.choose_rate(ANTS, 8).value == defaults.RATES[True] / 2
    assert defaults.choose_rate(dataclasses.replace(ANTS, optimizer="SGD"), 32).value == 10 * defaults.RATES[True]


def test_from_random_weights_all_layers_learn_alike():
    assert defaults.choose_multiplier(ANTS).value == 0.1
    assert defaults.choose_multiplier(dataclasses.replace(ANTS, is_pretrained=False)).value == 1.0


def test_what_is_empty_is_filled_in_and_what_is_set_stays():
    empty = replace(load_preset("default"), "data.path=builtin:sample", "model.weights=none", "data.image_size=32")
    data = build_data(empty)
    filled, chosen = fill_in(empty, data, torch.device("cpu"))
    paths = {"train.batch_size", "train.epochs", "optim.lr", "optim.backbone_multiplier"}
    assert {choice.path for choice in chosen} == paths
    assert all(choice.reason for choice in chosen)
    assert set(overrides_between(empty, filled)) == {f"{c.path}={c.value}" for c in chosen}
    assert fill_in(filled, data, torch.device("cpu")) == (filled, ())
    assert fill_in(Settings(), data, torch.device("cpu"))[0].train == Settings().train


def test_a_run_s_record_has_no_gaps():
    empty = replace(
        load_preset("default"), "data.path=builtin:sample", "model.weights=none", "data.image_size=32",
        "model.name=shufflenet_v2_x0_5", "devices=cpu", "data.num_workers=0",
    )  # fmt: skip
    with assemble(empty, build_data(empty), outline=True) as assembly:
        assert "null" not in [line.split()[-1] for line in dump_yaml(assembly.settings).splitlines() if "lr:" in line]
        assert assembly.settings.train.batch_size == assembly.train_batches.batch_size


@pytest.mark.parametrize("path", ["train.batch_size", "train.epochs", "optim.lr", "optim.backbone_multiplier"])
def test_an_empty_setting_survives_form_command_and_file(path):
    settings = replace(Settings(), f"{path}=null")
    assert parse(apply_overrides(to_tree(Settings()), overrides_between(Settings(), settings))) == settings
