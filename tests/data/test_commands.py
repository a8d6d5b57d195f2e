"""``check-data`` and ``recognise`` as commands: the same settings, the same answer as on the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fine_tuner.base.errors import DataError
from fine_tuner.cli.main import main
from fine_tuner.data.checks.thumbnails import thumbnail
from fine_tuner.data.readers.recognise import glance_at

Make = Callable[..., Path]


def answer(capsys: pytest.CaptureFixture[str], *argv: object, code: int = 0) -> dict:
    assert main([*map(str, argv), "--json"]) == code
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def codes(report: dict) -> list[str]:
    return [finding["code"] for finding in report["findings"]]


def test_settings_decide_what_is_wrong(class_folders: Make, capsys: pytest.CaptureFixture[str]) -> None:
    root = class_folders({"a": 20, "b": 21})
    (root / "a" / "broken.jpg").write_bytes(b"no picture")
    report = answer(capsys, "check-data", root, "data.val_fraction=0.2", "train.batch_size=4", code=2)
    assert codes(report) == ["unreadable", "last_batch"]
    assert report["splits"]["train"] == 33
    assert not report["can_train"]
    remedy = report["findings"][0]["remedies"][0]["settings"]
    assert remedy == {"data.on_unreadable": "skip"}
    mended = answer(capsys, "check-data", root, "data.on_unreadable=skip", "train.batch_size=8")
    assert mended["can_train"]
    assert mended["findings"][0]["level"] == "note"


def test_thumbnails_are_made_anew_and_missing_where_nothing_can_be_shown(
    class_folders: Make, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = class_folders({"a": 12, "b": 12}, below="train")
    class_folders({"a": 3, "b": 3}, below="val", root=root)
    (root / "train" / "a" / "broken.png").write_bytes(b"<svg onload=alert(1)>")
    report = answer(capsys, "check-data", root, "--thumbnails", tmp_path / "small", code=2)
    by_code = {finding["code"]: finding for finding in report["findings"]}
    assert by_code["unreadable"]["examples"][0]["thumbnails"] == [None]
    twins = by_code["duplicates_across"]["examples"][0]
    assert len(twins["thumbnails"]) == 2
    for name in twins["thumbnails"]:
        with Image.open(tmp_path / "small" / name) as image:
            assert (image.format, image.mode) == ("PNG", "RGB")


def test_mask_of_class_numbers_is_shown_in_their_colours(tmp_path: Path) -> None:
    Image.fromarray(np.uint8([[0, 1], [2, 2]])).save(tmp_path / "mask.png")
    colours = np.asarray(thumbnail(tmp_path / "mask.png"))
    assert len({tuple(c) for c in colours.reshape(-1, 3).tolist()}) == 3
    assert colours.max() > 100


@pytest.mark.parametrize(
    ("tree", "task", "layout", "words"),
    [
        (("a/1.png", "b/2.png"), "classification", "classes", "class folders, 2 classes (a, b)"),
        (("images/1.png", "masks/1.png"), "segmentation", "masks", "images with masks in images/ and masks/"),
    ],
)
def test_glance_tells_task_and_layout(
    tmp_path: Path, tree: tuple[str, ...], task: str, layout: str, words: str
) -> None:
    for name in tree:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / name)
    glance = glance_at(str(tmp_path))
    assert (glance.task, glance.layout, glance.words) == (task, layout, words)


def test_glance_at_a_table_and_at_sets(tmp_path: Path) -> None:
    for i in range(4):
        Image.new("L", (8, 8)).save(tmp_path / f"{i}.png")
    (tmp_path / "labels.csv").write_text("file,weight\n" + "".join(f"{i}.png,{i * 1.5}\n" for i in range(4)))
    assert glance_at(str(tmp_path)).task == "regression"
    assert glance_at(str(tmp_path / "labels.csv")).layout == "table"
    assert glance_at("torchvision:OxfordIIITPet").tasks == ("classification", "segmentation")
    assert len(glance_at("builtin:sample").tasks) == 4
    with pytest.raises(DataError, match="torchvision:CIFAR11 is not offered"):
        glance_at("torchvision:CIFAR11")


def test_real_data_is_recognised_without_a_hint(real_data: Path) -> None:
    tasks = {"hymenoptera": "classification", "isbi_membrane": "segmentation", "bccd_count": "regression"}
    assert {name: glance_at(str(real_data / name)).task for name in tasks} == tasks


def test_sets_on_offer_are_listed_by_task(capsys: pytest.CaptureFixture[str]) -> None:
    rows = answer(capsys, "list", "datasets", "--task", "segmentation")["datasets"]
    assert {row["path"] for row in rows} == {"torchvision:OxfordIIITPet", "torchvision:VOCSegmentation"}
    assert len(answer(capsys, "list", "datasets")["datasets"]) >= 15
