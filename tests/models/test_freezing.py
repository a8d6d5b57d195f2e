from __future__ import annotations

import pytest
import torch
from torch import nn

from fine_tuner.base.errors import ConfigError
from fine_tuner.models.build import build_model
from fine_tuner.models.describe import describe_stages
from fine_tuner.models.freezing import Freezing, parameter_groups, stage_rates, trainable_parameters


@pytest.fixture(scope="module")
def pristine():
    torch.manual_seed(0)
    return build_model("mobilenet_v3_small", task="classification", num_outputs=2, weights="none", image_size=32)


@pytest.fixture
def built(pristine):
    pristine.model.requires_grad_(True).train()
    return pristine


def trained(built):
    return {n for n, p in built.model.named_parameters() if p.requires_grad}


def names(stages):
    return {n for s in stages for n in s.parameter_names}


@pytest.mark.parametrize(("trainable", "count"), [("head", 1), (1, 1), (3, 3), ("all", None), (7, None)])
def test_the_last_stages_train(built, trainable, count):
    assert len(built.stages) == 7
    Freezing(built, trainable)
    expected = names(built.stages[-count:] if count else built.stages)
    assert trained(built) == expected
    assert trainable_parameters(built, trainable) == sum(
        p.numel() for n, p in built.model.named_parameters() if n in expected
    )


@pytest.mark.parametrize("trainable", [0, 8, "most"])
def test_a_number_of_stages_that_the_network_does_not_have_is_named(built, trainable):
    with pytest.raises(ConfigError, match=rf"model\.trainable: {trainable!r} does not fit.*a number from 1 to 7"):
        Freezing(built, trainable)


def test_gradual_thaws_everything_after_its_epochs(built):
    freezing = Freezing(built, "gradual", head_epochs=2)
    assert trained(built) == names(built.stages[-1:])
    assert not freezing.set_epoch(1)
    assert trained(built) == names(built.stages[-1:])
    assert freezing.set_epoch(2)
    assert trained(built) == names(built.stages)
    freezing.set_train_mode()
    assert all(m.training for m in built.model.modules())
    assert freezing.set_epoch(0)  # a resumed run may go back
    assert trained(built) == names(built.stages[-1:])


def step(built, freezing, images):
    freezing.set_train_mode()
    built.model(images).sum().backward()
    built.model.zero_grad()


def statistics(built):
    return {n: b.clone() for n, b in built.model.named_buffers()}


def changed(before, after):
    return {n for n in before if not torch.equal(before[n], after[n])}


def test_a_frozen_batch_norm_keeps_its_statistics_whatever_evaluation_did_to_modes(built):
    freezing, images = Freezing(built, "head"), torch.rand(4, 3, 32, 32)
    before = statistics(built)
    step(built, freezing, images)
    built.model.eval()
    step(built, freezing, images)
    built.model.train()  # by someone who knows nothing of freezing
    step(built, freezing, images)
    assert changed(before, statistics(built)) == set()


def test_norms_of_stages_that_train_go_on_and_only_those(built):
    freezing = Freezing(built, 3)
    before = statistics(built)
    step(built, freezing, torch.rand(4, 3, 32, 32))
    trained_norms = {n.rpartition(".")[0] for n in names(built.stages[-3:])}
    assert {n.rpartition(".")[0] for n in changed(before, statistics(built))} == {
        path
        for path, module in built.model.named_modules()
        if isinstance(module, nn.BatchNorm2d) and path in trained_norms
    }


def test_dropout_before_a_head_that_trains_is_active_and_frozen_features_are_the_same_each_time(built):
    freezing = Freezing(built, "head")
    freezing.set_train_mode()
    dropout = next(m for m in built.model.classifier if isinstance(m, nn.Dropout))
    assert dropout.training
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(built.model.features(images), built.model.features(images))


def test_rates_decay_toward_the_input(built):
    rates = stage_rates(built.stages, lr=1.0, backbone_multiplier=0.1, stage_decay=0.5, trainable=4)
    stages = [s.name for s in built.stages[-4:]]
    assert list(rates) == stages
    assert list(rates.values()) == [0.1 * 0.25, 0.1 * 0.5, 0.1, 1.0]


def test_groups_hold_every_parameter_once_with_one_rate_per_name(built):
    groups = parameter_groups(built, lr=1.0, backbone_multiplier=0.1, stage_decay=0.5, weight_decay=0.3)
    members = [id(p) for g in groups for p in g["params"]]
    assert sorted(members) == sorted(id(p) for p in built.model.parameters())
    assert len(set(members)) == len(members)
    rates = stage_rates(built.stages, lr=1.0, backbone_multiplier=0.1, stage_decay=0.5)
    expected = {("head" if n == "head" else f"backbone/{n}", lr) for n, lr in rates.items()}
    assert {(g["name"], g["lr"]) for g in groups} == expected
    torch.optim.AdamW(groups)


def test_without_decay_toward_the_input_the_backbone_is_one_name(built):
    groups = parameter_groups(built, lr=1.0, backbone_multiplier=0.1, weight_decay=0.3, trainable="gradual")
    assert [(g["name"], g["lr"], g["weight_decay"]) for g in groups] == [
        ("head", 1.0, 0.3),
        ("head", 1.0, 0.0),
        ("backbone", 0.1, 0.3),
        ("backbone", 0.1, 0.0),
    ]


def test_norms_and_biases_do_not_decay_unless_asked(built):
    by_id = {id(p): n for n, p in built.model.named_parameters()}
    kinds = {
        f"{path}.{name}": isinstance(module, nn.Conv2d | nn.Linear) and name == "weight"
        for path, module in built.model.named_modules()
        for name, _ in module.named_parameters(recurse=False)
    }
    groups = parameter_groups(built, lr=1.0, weight_decay=0.3)
    assert {by_id[id(p)]: g["weight_decay"] == 0.3 for g in groups for p in g["params"]} == kinds
    groups = parameter_groups(built, lr=1.0, weight_decay=0.3, decay_norms_and_biases=True)
    assert {g["weight_decay"] for g in groups} == {0.3}


def test_an_optimizer_passes_over_what_is_not_thawed_yet(built):
    Freezing(built, "gradual")
    optimizer = torch.optim.AdamW(parameter_groups(built, lr=0.1, weight_decay=0.5, trainable="gradual"))
    before = {n: p.clone() for n, p in built.model.named_parameters()}
    built.model(torch.rand(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    after = dict(built.model.named_parameters())
    assert changed(before, after) == names(built.stages[-1:])


def test_the_page_gets_a_rate_or_none_for_each_stage(built):
    stages = describe_stages(built, lr=1.0, backbone_multiplier=0.1, trainable=2)
    assert [s["lr"] for s in stages] == [None] * 5 + [0.1, 1.0]
    assert sum(s["parameters"] for s in stages) == built.parameters
    gradual = describe_stages(built, lr=1.0, backbone_multiplier=0.1, trainable="gradual", head_epochs=3)
    assert [s["frozen_epochs"] for s in gradual] == [3] * 6 + [0]
