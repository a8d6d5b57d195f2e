"""What a run keeps of a few validation pictures is what the network said of them, whatever the batches and ranks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fine_tuner.config.tasks import TargetKind
from fine_tuner.data.loading.batches import EvalBatches, ImageDataset
from fine_tuner.data.loading.transforms import build_transforms
from fine_tuner.data.mask_coding import IGNORE_INDEX, MaskCoding
from fine_tuner.data.records import Record
from fine_tuner.distributed.ranks import Ranks
from fine_tuner.runs.examples import Examples, ExampleValidation
from fine_tuner.training.run.example_pictures import POINTS, SHOWN, SIDE_PX, ExamplePictures, small, spread

FIRST = ExampleValidation(step=5, epoch=1)
COUNT = 41


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pictures of one grey each, 4 for picture 1, 8 for picture 2, ...; masks whose left half is class 1."""
    root = tmp_path_factory.mktemp("pictures")
    mask = np.zeros((32, 32), np.uint8)
    mask[:, :16] = 1
    Image.fromarray(mask).save(root / "mask.png")
    for number in range(COUNT):
        Image.new("RGB", (32, 32), (4 * number,) * 3).save(root / f"{number:02d}.png")
    return root


def dataset(files, task: str, targets) -> ImageDataset:
    transform = build_transforms(
        augment="none", train=False, task=task, image_size=32, resize_size=32, mean=(0.5,) * 3, std=(0.5,) * 3
    )
    records = [Record(image=files / f"{i:02d}.png", target=target) for i, target in enumerate(targets)]
    coding = MaskCoding((0, 1)) if task == "segmentation" else None
    return ImageDataset(records, transform, task, mask_coding=coding)


def keep(
    folder, data: ImageDataset, names, logits: Tensor, targets: Tensor, *, batch=8, ranks=None, rank=0, world_size=1
):
    """Say ``logits`` of all images of a rank, batch by batch."""
    batches = EvalBatches(data, batch_size=batch, num_workers=0, rank=rank, world_size=world_size)
    pictures = ExamplePictures(Examples(folder), batches, names, ranks or Ranks())
    for own in torch.tensor(batches.indices).split(batch):
        pictures.add(logits[own], targets[own])
    return pictures


def said(folder) -> dict:
    return json.loads(Examples(folder).said(FIRST).read_text())


def test_the_pictures_are_those_of_the_records_as_the_network_sees_them_spread_over_the_classes(files, tmp_path):
    targets = [i % 3 for i in range(COUNT)]
    data = dataset(files, "classification", targets)
    logits = torch.randn(COUNT, 3, generator=torch.Generator().manual_seed(0))
    keep(tmp_path, data, ["a", "b", "c"], logits, torch.tensor(targets)).keep(FIRST)
    about = Examples(tmp_path).read()
    count = SHOWN[TargetKind(about["kind"])]
    chosen = [int(one["file"][-6:-4]) for one in about["pictures"]]
    assert len(set(chosen)) == count
    assert (
        [targets[i] for i in chosen] == [one["true"] for one in about["pictures"]] == sorted(targets[i] for i in chosen)
    )
    with Image.open(Examples(tmp_path).pictures) as row:
        assert row.size == (count * SIDE_PX, SIDE_PX)
        seen = [row.getpixel((k * SIDE_PX + SIDE_PX // 2, SIDE_PX // 2))[0] for k in range(count)]
    assert seen == pytest.approx([4 * i for i in chosen], abs=3), "JPEG"
    probs = logits.softmax(1)
    for row, i in zip(said(tmp_path)["said"], chosen, strict=True):
        assert row["true"] == pytest.approx(float(probs[i, targets[i]]), rel=1e-4)
        assert [k for k, _ in row["top"]] == probs[i].argsort(descending=True).tolist()
        assert [p for _, p in row["top"]] == pytest.approx(probs[i].sort(descending=True).values.tolist(), rel=1e-4)


class Both(Ranks):
    """The first of two ranks whose other one has told what it has."""

    def __init__(self, others) -> None:
        self.others = others

    def collect(self, value):
        return [value, self.others]


class Told(Ranks):
    """The second of two ranks, which only tells."""

    rank = 1

    def collect(self, value):
        self.told = value
        return [value]


@pytest.mark.parametrize("batch", [1, 7, COUNT])
def test_batches_and_ranks_change_nothing(files, tmp_path, batch):
    targets = [(float(i), -float(i)) for i in range(COUNT)]
    data = dataset(files, "regression", targets)
    logits = torch.tensor(targets) + torch.linspace(0, 1, COUNT)[:, None]
    keep(tmp_path / "alone", data, ["x", "y"], logits, torch.tensor(targets)).keep(FIRST)

    second, ranks = Told(), {"world_size": 2, "batch": batch}
    keep(tmp_path / "two", data, ["x", "y"], logits, torch.tensor(targets), ranks=second, rank=1, **ranks).keep(FIRST)
    assert not (tmp_path / "two").exists(), "the first rank writes"
    first = Both(second.told)
    keep(tmp_path / "two", data, ["x", "y"], logits, torch.tensor(targets), ranks=first, rank=0, **ranks).keep(FIRST)
    alone, two = (sorted(folder.iterdir()) for folder in (tmp_path / "alone", tmp_path / "two"))
    assert [path.name for path in alone] == [path.name for path in two]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(alone, two, strict=True))

    about, answer = Examples(tmp_path / "two").read(), said(tmp_path / "two")
    assert about["points"] == [list(target) for target in targets], "all, below the limit"
    assert np.allclose(answer["points"], logits, rtol=1e-4)
    assert answer["said"] == [answer["points"][at] for at in about["shown"]]
    assert POINTS > COUNT


def test_masks_are_kept_small_with_the_overlap_of_all_their_pixels(files, tmp_path):
    data = dataset(files, "segmentation", [files / "mask.png"] * 3)
    target = torch.zeros(32, 32, dtype=torch.int64)
    target[:, :16] = 1
    target[0] = IGNORE_INDEX
    logits = torch.zeros(3, 2, 32, 32)
    logits[:, 1, :, :8] = 1  # half of what is class 1
    logits[0, 1, :, :16] = 1  # the first as it is
    keep(tmp_path, data, ["ground", "leaf"], logits, target.expand(3, 32, 32)).keep(FIRST)
    assert said(tmp_path)["said"] == pytest.approx([1.0, *[(8 / 16 + 16 / 24) / 2] * 2], abs=1e-4)
    with Image.open(Examples(tmp_path).said_masks(FIRST)) as row, Image.open(Examples(tmp_path).true_masks) as true:
        kept, truth = np.asarray(row), np.asarray(true)
    assert kept.shape == truth.shape == (SIDE_PX, 3 * SIDE_PX)
    assert (kept[:, :SIDE_PX] == 1).mean() == 1 / 2
    assert (kept[:, SIDE_PX : 2 * SIDE_PX] == 1).mean() == 1 / 4
    assert (truth == IGNORE_INDEX).mean() == 1 / 32


def test_labels_are_told_where_they_are_true_or_said(files, tmp_path):
    targets = [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)]
    logits = torch.tensor([[-1.0, 2.0, -3.0], [-4.0, -5.0, 3.0]])
    data = dataset(files, "multilabel", targets)
    keep(tmp_path, data, ["a", "b", "c"], logits, torch.tensor(targets)).keep(FIRST)
    pictures = {one["file"][-6:-4]: at for at, one in enumerate(Examples(tmp_path).read()["pictures"])}
    probs = logits.sigmoid().tolist()
    assert said(tmp_path)["said"][pictures["00"]] == [
        [0, pytest.approx(probs[0][0], rel=1e-4)],
        [1, pytest.approx(probs[0][1], rel=1e-4)],
    ]
    assert said(tmp_path)["said"][pictures["01"]] == [[2, pytest.approx(probs[1][2], rel=1e-4)]]


def test_a_validation_begun_anew_forgets_what_it_had(files, tmp_path):
    data = dataset(files, "classification", [0, 1])
    pictures = keep(tmp_path, data, ["a", "b"], torch.tensor([[9.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 1]))
    pictures.restart()
    pictures.add(torch.tensor([[0.0, 9.0], [0.0, 9.0]]), torch.tensor([0, 1]))
    pictures.keep(FIRST)
    assert [row["top"][0][0] for row in said(tmp_path)["said"]] == [1, 1]


@pytest.mark.parametrize(("count", "most"), [(5, 24), (24, 24), (25, 24), (1000, 24)])
def test_pictures_are_different_and_in_every_class_that_has_a_share(count, most):
    records = [Record(image=None, target=i % 4) for i in range(count)]
    chosen = spread(records, most)
    assert len(set(chosen)) == min(count, most)
    assert {records[i].target for i in chosen} == {0, 1, 2, 3}


@pytest.mark.parametrize("side", [32, 100, 128, 129, 512])
def test_a_small_mask_has_the_classes_at_the_same_places(side):
    mask = torch.arange(side).mul(4).div(side, rounding_mode="floor").expand(side, side)
    kept = small(mask)
    assert kept.shape == (SIDE_PX, SIDE_PX)
    wanted = torch.arange(SIDE_PX).mul(4).div(SIDE_PX, rounding_mode="floor").expand(SIDE_PX, SIDE_PX)
    assert (kept != wanted).float().mean() <= 4 / SIDE_PX
