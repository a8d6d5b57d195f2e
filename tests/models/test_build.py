from __future__ import annotations

import pytest
import torch
import torchvision.models
from torchvision.models import ResNet18_Weights, ViT_B_32_Weights, get_weight
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from fine_tuner.base.errors import ConfigError, WeightsError
from fine_tuner.models.build import build_model, find_preprocessing, outline_model
from fine_tuner.models.catalogue import cache_file
from fine_tuner.models.describe import describe_head
from fine_tuner.models.outputs import split_outputs
from fine_tuner.models.preprocessing import Preprocessing
from fine_tuner.models.pretrained.fitting import fit_network, load_fitted
from fine_tuner.models.pretrained.state import State
from fine_tuner.models.saved import load_network, metadata_of, save_model


@pytest.fixture
def release(tmp_path, monkeypatch):
    """A function that puts a network's random state where torch keeps the file of one of its weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def put(entry, **options):
        torch.manual_seed(1)
        name = {"ResNet18_Weights": "resnet18", "ResNet50_Weights": "resnet50"}.get(type(entry).__name__)
        name = name or type(entry).__name__.removesuffix("_Weights").lower()
        network = torchvision.models.get_model(name, weights=None, **options)
        path = cache_file(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), path)
        return network

    return put


def build(name, weights="default", *, task="classification", num_outputs=2, **options):
    return build_model(name, task=task, num_outputs=num_outputs, weights=weights, **options)


def same_but(ours, theirs, new):
    theirs = theirs.state_dict()
    for name, tensor in ours.state_dict().items():
        if name not in new:
            assert torch.equal(tensor, theirs[name]), name


def test_release_weights_fill_everything_but_the_new_head(release):
    network = release(ResNet18_Weights.DEFAULT)
    built = build("resnet18")
    assert built.weights == "ResNet18_Weights.IMAGENET1K_V1"
    assert built.new == {"fc.weight", "fc.bias"}
    same_but(built.model, network, built.new)
    assert built.weights_report.mismatched == (("fc.weight", (1000, 512), (2, 512)), ("fc.bias", (1000,), (2,)))
    assert describe_head(built).startswith(
        "Replaced the output layer fc (512 to 2 instead of 1000): 1,026 of 11,177,538"
    )


def test_the_new_head_is_drawn_as_torch_draws_a_layer_and_nothing_else_is_drawn(release):
    release(ResNet18_Weights.DEFAULT)
    torch.manual_seed(5)
    built = build("resnet18")
    torch.manual_seed(5)
    layer = torch.nn.Linear(512, 2)
    assert torch.equal(built.model.fc.weight, layer.weight)
    assert torch.equal(built.model.fc.bias, layer.bias)


def test_random_weights_are_torchvisions_own():
    torch.manual_seed(5)
    built = build("squeezenet1_1", "none")
    torch.manual_seed(5)
    network = torchvision.models.squeezenet1_1(num_classes=2)
    same_but(built.model, network, ())
    assert built.new == {n for n, _ in network.named_parameters()}
    assert describe_head(built).startswith("Every layer starts from random numbers, with the output layer classifier.1")


def test_release_weights_with_as_many_classes_are_given_a_new_head_and_a_files_head_is_kept(release, tmp_path):
    network = release(ResNet18_Weights.DEFAULT)
    assert build("resnet18", num_outputs=1000).new == {"fc.weight", "fc.bias"}
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    kept = build("resnet18", str(tmp_path / "mine.pth"), num_outputs=1000)
    assert kept.new == frozenset()
    same_but(kept.model, network, ())
    assert describe_head(kept) == "The weights fit as they are, with the output layer fc (512 to 1000)."


def test_weights_of_a_smaller_network_with_the_same_shapes_are_refused(tmp_path):
    """Every tensor of resnet18 is in resnet34 with the same shape; only what is left over tells them apart."""
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "other.pth")
    with pytest.raises(
        WeightsError, match=r"other\.pth does not fit the network: layer1\.2\.conv1\.weight: in the weigh"
    ):
        build("resnet18", str(tmp_path / "other.pth"))


def test_weights_that_do_not_fit_are_told_shape_by_shape(tmp_path):
    state = torchvision.models.resnet18().state_dict()
    state["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    del state["layer1.0.bn1.bias"]
    torch.save(state, tmp_path / "grey.pth")
    with pytest.raises(
        WeightsError,
        match=r"conv1\.weight: 64x1x7x7 in the weights, 64x3x7x7 in the network; layer1\.0\.bn1\.bias: not in the weig"
        r"hts\. 118 tensors match\. Give weights of the same network",
    ):
        build("resnet18", str(tmp_path / "grey.pth"))


def test_counters_that_old_files_lack_are_no_error_and_half_precision_is_widened(tmp_path):
    state = torchvision.models.mobilenet_v3_small().half().state_dict()
    torch.save({n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}, tmp_path / "old.pth")
    built = build("mobilenet_v3_small", str(tmp_path / "old.pth"))
    assert {p.dtype for p in built.model.parameters()} == {torch.float32}
    assert torch.equal(built.model.features[0][0].weight, state["features.0.0.weight"].float())


def test_an_earlier_run_brings_its_preprocessing_and_its_head(tmp_path):
    first = build("mobilenet_v3_small", "none", num_outputs=3, image_size=96)
    path = tmp_path / "checkpoints" / "best" / "model.safetensors"
    save_model(first.model, path, metadata=metadata_of(first, classes=["a", "b", "c"]))
    second = build("mobilenet_v3_small", str(tmp_path), num_outputs=3)
    assert second.preprocessing.image_size == 96
    assert second.new == frozenset()
    same_but(second.model, first.model, ())
    third = build("mobilenet_v3_small", str(tmp_path), num_outputs=5)
    assert third.new == {"classifier.3.weight", "classifier.3.bias"}
    with pytest.raises(WeightsError, match=r"holds weights of mobilenet_v3_small, and the network is resnet18"):
        build("resnet18", str(path))


def test_mnasnet_is_loaded_from_a_file_without_module_versions(tmp_path):
    first = build("mnasnet0_5", "none")
    save_model(first.model, tmp_path / "a.safetensors", metadata=metadata_of(first))
    same_but(build("mnasnet0_5", str(tmp_path / "a.safetensors")).model, first.model, ())


def test_a_backbones_weights_fill_it_and_the_rest_is_new(release, tmp_path):
    network = release(get_weight("MobileNet_V3_Large_Weights.IMAGENET1K_V1"))
    built = build("lraspp_mobilenet_v3_large", "backbone", task="segmentation")
    assert built.new == {n for n, _ in built.model.named_parameters() if not n.startswith("backbone.")}
    assert set(built.stages[-1].parameter_names) == built.new
    assert torch.equal(built.model.backbone["3"].block[0][0].weight, network.features[3].block[0][0].weight)
    assert built.preprocessing == Preprocessing(image_size=224, resize_size=224)
    assert "and the layers before it that the weights do not have" in describe_head(built)
    path = tmp_path / "model.safetensors"
    save_model(built.model, path, metadata=metadata_of(built))
    assert load_network(path)[0].stages == built.stages


def test_a_classifiers_file_is_taken_as_the_backbone_of_a_segmentation_network(tmp_path):
    network = torchvision.models.mobilenet_v3_large()
    torch.save(network.state_dict(), tmp_path / "classifier.pth")
    built = build("lraspp_mobilenet_v3_large", str(tmp_path / "classifier.pth"), task="segmentation")
    assert torch.equal(built.model.backbone["0"][0].weight, network.features[0][0].weight)
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth does not fit the network: backbone\.0\.0\.weight: not in"):
        build("lraspp_mobilenet_v3_large", str(tmp_path / "other.pth"), task="segmentation")


def test_a_position_embedding_is_interpolated_to_another_image_size():
    sizes = {"patch_size": 32, "num_layers": 1, "num_heads": 1, "hidden_dim": 8, "mlp_dim": 8, "num_classes": 2}
    large, small = (VisionTransformer(image_size=size, **sizes) for size in (224, 96))
    torch.nn.init.normal_(large.encoder.pos_embedding)
    state = State(tensors=large.state_dict())
    fitted = fit_network(small, state, head=["heads.head.weight"], keep_head=True, source="a file")
    load_fitted(small, fitted, state)
    expected = interpolate_embeddings(96, 32, large.state_dict())["encoder.pos_embedding"]
    assert expected.shape == (1, 1 + 3 * 3, 8)
    assert torch.equal(small.encoder.pos_embedding, expected)
    assert fitted.notices == ("The position embedding was interpolated from 7x7 to 3x3 patches (96 px).",)


@pytest.mark.slow
def test_a_vision_transformer_of_torchvision_takes_another_image_size(release):
    network = release(ViT_B_32_Weights.IMAGENET1K_V1)
    built = build("vit_b_32", image_size=96)
    expected = interpolate_embeddings(96, 32, network.state_dict())["encoder.pos_embedding"]
    assert torch.equal(built.model.encoder.pos_embedding, expected)
    assert built.notices == ("The position embedding was interpolated from 7x7 to 3x3 patches (96 px).",)
    assert built.model.eval()(torch.rand(1, 3, 96, 96)).shape == (1, 2)
    assert built.preprocessing.image_size == 96


def test_release_weights_that_hold_features_only_leave_the_rest_new():
    built = outline_model("vgg16", task="classification", num_outputs=2, weights="IMAGENET1K_FEATURES", image_size=32)
    assert built.preprocessing.std == (1 / 255, 1 / 255, 1 / 255)


@pytest.mark.slow
def test_layers_without_numbers_in_release_weights_are_initialised(release):
    entry = get_weight("VGG16_Weights.IMAGENET1K_FEATURES")
    network = release(entry)
    state = network.state_dict()
    torch.save(
        {n: t.fill_(torch.nan) if n.startswith("classifier") else t for n, t in state.items()}, cache_file(entry)
    )
    built = build("vgg16", "IMAGENET1K_FEATURES")
    assert built.new == {n for n in state if n.startswith("classifier")}
    assert all(torch.isfinite(p).all() for p in built.model.parameters())
    assert set(built.stages[-1].parameter_names) == built.new


def test_weights_in_googlenet_expect_other_values_and_so_bring_the_layer_that_makes_them(tmp_path):
    torch.save(torchvision.models.googlenet(init_weights=False).state_dict(), tmp_path / "g.pth")
    assert build("googlenet", str(tmp_path / "g.pth")).model.transform_input
    first = build("googlenet", "none")
    assert not first.model.transform_input
    save_model(first.model, tmp_path / "ours.safetensors", metadata=metadata_of(first))
    assert not build("googlenet", str(tmp_path / "ours.safetensors")).model.transform_input


def test_inception_trains_with_its_auxiliary_head_at_299_px_and_without_below():
    whole = outline_model("inception_v3", task="classification", num_outputs=2, weights="none")
    assert whole.preprocessing.image_size == 299
    assert whole.head == ("AuxLogits.fc", "fc")
    small = outline_model("inception_v3", task="classification", num_outputs=2, weights="none", image_size=128)
    assert small.head == ("fc",)
    assert small.notices == (
        "inception_v3's auxiliary head needs images of at least 299 px; at 128 px it is left out.",
    )


def test_a_file_with_an_auxiliary_head_fits_a_network_built_without_and_the_other_way(tmp_path):
    state = torchvision.models.googlenet(init_weights=False).state_dict()
    torch.save({n: t for n, t in state.items() if not n.startswith("aux")}, tmp_path / "without.pth")
    built = build("googlenet", str(tmp_path / "without.pth"))
    assert built.new == {n for n, _ in built.model.named_parameters() if n.startswith("aux")} | {"fc.weight", "fc.bias"}
    assert len(split_outputs(built.model.train()(torch.rand(2, 3, 32, 32)))[1]) == 2


@pytest.mark.parametrize(
    ("name", "image_size", "advice"),
    [
        ("maxvit_t", 250, "Use 224 or 446"),
        ("vit_b_16", 100, "Use 96 or 112"),
        ("alexnet", 32, "Use 63"),
        ("inception_v3", 64, "Use 75"),
    ],
)
def test_an_image_size_that_the_network_cannot_take_is_told_with_the_nearest_that_it_can(name, image_size, advice):
    with pytest.raises(
        ConfigError, match=rf"data\.image_size: {name} cannot take images of {image_size} px\. {advice}, or leave it"
    ):
        outline_model(name, task="classification", num_outputs=2, weights="none", image_size=image_size)


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_outputs_of_squeezenet_can_be_negative(task, tmp_path):
    built = build("squeezenet1_1", "none", task=task)
    assert not any(isinstance(m, torch.nn.ReLU) for m in built.model.classifier)
    assert built.notices == ("The ReLU after classifier.1 was taken away, so that outputs can be negative.",)


def test_preprocessing_follows_the_weights():
    def of(name, weights, task="classification", image_size=None):
        return find_preprocessing(name, task=task, weights=weights, image_size=image_size)

    assert of("resnet50", "IMAGENET1K_V1") == Preprocessing(image_size=224, resize_size=256)
    assert of("resnet50", "IMAGENET1K_V2") == Preprocessing(image_size=224, resize_size=232)
    assert of("resnet50", "IMAGENET1K_V2", image_size=112) == Preprocessing(image_size=112, resize_size=116)
    assert of("vit_b_16", "IMAGENET1K_SWAG_E2E_V1").interpolation == "bicubic"
    assert of("vit_b_16", "IMAGENET1K_SWAG_E2E_V1").image_size == 384
    assert of("inception_v3", "none").image_size == 299
    assert of("fcn_resnet50", "default", "segmentation") == Preprocessing(image_size=520, resize_size=520)
    assert of("fcn_resnet50", "backbone", "segmentation", 96) == Preprocessing(image_size=96, resize_size=96)


def test_an_outline_says_what_will_be_downloaded_and_needs_no_data(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    built = outline_model("resnet18", task="classification", num_outputs=2)
    assert built.notices == (
        "The weights ResNet18_Weights.IMAGENET1K_V1 (45 MiB) are not on this machine and will be downloaded first. "
        "Without a connection set model.weights to a file, or to none.",
    )
    assert all(p.is_meta for p in built.model.parameters())
    assert built.new == {"fc.weight", "fc.bias"}
