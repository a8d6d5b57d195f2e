from __future__ import annotations

import pytest
from torchvision.models import ResNet50_Weights, ViT_B_16_Weights
from torchvision.models.segmentation import FCN_ResNet50_Weights

from fine_tuner.base.errors import ConfigError, WeightsError
from fine_tuner.models.pretrained.choice import choose_weights


@pytest.mark.parametrize(
    ("name", "weights", "entry"),
    [
        ("resnet50", "default", ResNet50_Weights.IMAGENET1K_V2),
        ("resnet50", " imagenet1k_v1 ", ResNet50_Weights.IMAGENET1K_V1),
        ("resnet50", "resnet50_weights.IMAGENET1K_V1", ResNet50_Weights.IMAGENET1K_V1),
        ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1", ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1),
        ("fcn_resnet50", "Default", FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1),
        ("fcn_resnet50", "backbone", ResNet50_Weights.IMAGENET1K_V1),
        ("fcn_resnet50", "IMAGENET1K_V2", ResNet50_Weights.IMAGENET1K_V2),
    ],
)
def test_names_of_weights_are_found_whatever_their_case(name, weights, entry):
    choice = choose_weights(name, weights)
    assert choice.entry is entry
    assert choice.backbone_only == (name == "fcn_resnet50" and isinstance(entry, ResNet50_Weights))
    assert choice.label == str(entry).replace(":", "") or choice.label.endswith(entry.name)


def test_none_is_random():
    choice = choose_weights("resnet50", "None")
    assert choice.is_random
    assert choice.label == "none"


def test_a_file_is_taken_as_it_is_and_a_run_by_its_best_weights(tmp_path):
    best = tmp_path / "run" / "checkpoints" / "best" / "model.safetensors"
    best.parent.mkdir(parents=True)
    best.write_bytes(b"")
    assert choose_weights("resnet50", str(best)).file == best
    assert choose_weights("resnet50", str(tmp_path / "run")).file == best


def test_unknown_weights_are_named_with_what_there_is():
    with pytest.raises(
        ConfigError,
        match=r"model\.weights: resnet50 has no weights 'IMAGENET1K_V3'\. Did you mean 'IMAGENET1K_V\d'\? "
        r"Choose default, none, IMAGENET1K_V1, IMAGENET1K_V2, or the path",
    ):
        choose_weights("resnet50", "IMAGENET1K_V3")


def test_weights_of_another_network_are_unknown():
    with pytest.raises(ConfigError, match=r"resnet18 has no weights 'ResNet50_Weights\.IMAGENET1K_V1'"):
        choose_weights("resnet18", "ResNet50_Weights.IMAGENET1K_V1")


def test_a_missing_file_and_an_empty_folder_are_told(tmp_path):
    with pytest.raises(WeightsError, match=r"There is no file .*gone\.pth \(model\.weights, looked for from"):
        choose_weights("resnet50", str(tmp_path / "gone.pth"))
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors or checkpoints/best/model\.safetensors"):
        choose_weights("resnet50", str(tmp_path))
