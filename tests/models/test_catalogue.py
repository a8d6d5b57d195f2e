from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torchvision.models
from torchvision.models import ResNet50_Weights

from fine_tuner.base.errors import ConfigError
from fine_tuner.models.catalogue import builder_of, cached, list_models, model_info


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of torch's, and the folder where it keeps weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(("task", "least"), [("classification", 80), ("multilabel", 80), ("segmentation", 6)])
def test_every_network_is_listed_with_numbers_that_json_can_hold(task, least):
    models = list_models(task)
    assert len(models) >= least
    json.dumps([dataclasses.asdict(m) for m in models], allow_nan=False)
    for model in models:
        assert model.parameters > 1e5
        assert model.size_mib > 1
        assert model.gflops > 0.01
        assert (model.miou if task == "segmentation" else model.top1) > 50
        assert sum(w.is_default for w in model.weights) == 1


def test_numbers_are_torchvisions_own():
    info = model_info("resnet50")
    default = next(w for w in info.weights if w.is_default)
    assert default.full_name == "ResNet50_Weights.IMAGENET1K_V2"
    assert default.top1 == ResNet50_Weights.IMAGENET1K_V2.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert info.parameters == sum(p.numel() for p in torchvision.models.resnet50().parameters())
    assert [w.name for w in info.weights] == ["IMAGENET1K_V1", "IMAGENET1K_V2"]


def test_segmentation_networks_offer_their_own_and_their_backbones_weights():
    weights = {w.name: w for w in model_info("fcn_resnet50").weights}
    assert list(weights) == ["COCO_WITH_VOC_LABELS_V1", "IMAGENET1K_V1", "IMAGENET1K_V2"]
    assert [w.backbone_only for w in weights.values()] == [False, True, True]


def test_every_release_file_names_its_hash_so_that_downloads_are_checked():
    files = [w.file_name for task in ("classification", "segmentation") for m in list_models(task) for w in m.weights]
    assert len(files) >= 120
    assert [f for f in files if not re.search(r"-[a-f0-9]{8,}\.pth$", f)] == []


def test_a_file_in_torchs_cache_is_seen(hub):
    entry = ResNet50_Weights.IMAGENET1K_V1
    assert not cached(entry)
    (hub / "resnet50-0676ba61.pth").write_bytes(b"")
    assert cached(entry)
    assert [w.is_cached for w in model_info("resnet50").weights] == [True, False]


def test_an_unknown_network_is_named_with_a_suggestion():
    with pytest.raises(ConfigError, match=r"model\.name: there is no network 'resnet19'.*Did you mean 'resnet1\d+'"):
        builder_of("resnet19", "classification")


def test_a_network_of_another_task_is_told_apart():
    with pytest.raises(ConfigError, match="'resnet18' is a classification network and the task is segmentation"):
        builder_of("resnet18", "segmentation")
