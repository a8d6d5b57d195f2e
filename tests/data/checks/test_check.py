"""The check finds what is planted, gives an example and a remedy, and the remedy works."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fine_tuner.data.checks.check import check_data
from fine_tuner.data.checks.findings import DataFinding, Report
from fine_tuner.data.files.image_scan import look_at_image
from fine_tuner.data.files.images import load_image
from fine_tuner.data.notices import Notice

Make = Callable[..., Path]


def found(report: Report, code: str) -> DataFinding:
    findings = [f for f in report.findings if f.code == code]
    assert len(findings) == 1, f"{code} is not among {[f.code for f in report.findings]}"
    return findings[0]


def again(report: Report, finding: DataFinding, remedy: int = 0, **options: object) -> Report:
    """The check with the settings of a remedy."""
    settings = finding.remedies[remedy].settings
    task = settings.get("task", report.task)
    chosen = {path.removeprefix("data."): value for path, value in settings.items() if path.startswith("data.")}
    return check_data(report.path, task=task, **{**options, **chosen})


def set_of_masks(root: Path, count: int = 12) -> Path:
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i in range(count):
        rng = np.random.default_rng(i)
        pixels = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 32)).save(root / "images" / f"{i:02d}.png")
        Image.fromarray(np.repeat(np.uint8([[0] * 24 + [255] * 24]), 32, 0)).save(root / "masks" / f"{i:02d}.png")
    return root


def test_sound_data_has_nothing_wrong(class_folders: Make) -> None:
    report = check_data(str(class_folders({"a": 40, "b": 40})))
    assert report.findings == ()
    assert report.can_train
    assert report.splits == {"train": 64, "val": 16}
    assert report.classes == ({"name": "a", "train": 32, "val": 8}, {"name": "b", "train": 32, "val": 8})
    assert report.sizes["width"] == {"min": 24, "median": 24, "max": 24}
    assert report.formats == {"PNG RGB": 80}
    assert "nothing wrong was found" in str(report)


def test_damage_in_the_middle_is_found_only_by_decoding(class_folders: Make) -> None:
    root = class_folders({"a": 20, "b": 20})
    path = root / "a" / "a003.png"
    content = bytearray(path.read_bytes())
    middle = content.index(b"IDAT") + 20
    content[middle : middle + 200] = bytes(200)
    path.write_bytes(content)
    (root / "b" / "b001.png").write_bytes(b"")
    report = check_data(str(root))
    finding = found(report, "unreadable")
    assert (finding.level, finding.count) == ("error", 2)
    assert {Path(e.files[0]).name for e in finding.examples} == {"a003.png", "b001.png"}
    assert not report.can_train
    mended = again(report, finding)
    assert mended.can_train
    assert found(mended, "unreadable").level == "note"
    assert sum(mended.splits.values()) == 38


def test_twins_across_splits_are_found_exact_and_near(class_folders: Make, tmp_path: Path) -> None:
    root = class_folders({"a": 10, "b": 10}, below="train")
    class_folders({"c": 0}, below="train", root=root).joinpath("train", "c").rmdir()
    for name, seeds in (("a", range(100, 104)), ("b", range(110, 114))):
        for seed in seeds:
            target = root / "val" / name / f"{seed}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((24, 16), Image.Resampling.BICUBIC).save(target)
    shutil.copy(root / "train" / "a" / "a001.png", root / "val" / "a" / "copy.png")
    scaled = load_image(root / "train" / "b" / "b002.png").resize((48, 32), Image.Resampling.BICUBIC)
    scaled.point(lambda v: v * 0.9 + 10).save(root / "val" / "b" / "again.jpg", quality=60)
    report = check_data(str(root))
    finding = found(report, "duplicates_across")
    assert (finding.level, finding.count) == ("warning", 2)
    texts = " ".join(e.text for e in finding.examples)
    assert "train/a/a001.png (train) and val/a/copy.png (val): equal files" in texts
    assert "train/b/b002.png (train) and val/b/again.jpg (val): nearly the same picture" in texts
    settled = found(again(report, finding), "duplicates_across")
    assert settled.level == "note"


def test_dropping_twins_takes_them_from_train_only(class_folders: Make, read: Callable[..., object]) -> None:
    root = class_folders({"a": 10, "b": 10}, below="train")
    for name in ("a", "b"):
        (root / "val" / name).mkdir(parents=True)
        for i in range(3):
            shutil.copy(root / "train" / name / f"{name}{i:03d}.png", root / "val" / name)
    data = read(root, duplicates="drop")
    assert {s: len(r) for s, r in data.splits.items()} == {"train": 14, "val": 6}
    assert Notice("6 images of train left out that val or test holds as well.") in data.notices


def test_same_picture_with_two_labels_is_found(class_folders: Make) -> None:
    root = class_folders({"a": 12, "b": 12})
    shutil.copy(root / "a" / "a001.png", root / "b" / "copy.png")
    finding = found(check_data(str(root)), "contradiction")
    assert (finding.count, finding.level) == (2, "error")
    assert "a/a001.png" in finding.examples[0].text
    assert [dict(r.settings) for r in finding.remedies] == [
        {"data.on_contradiction": "skip"}, {"data.on_contradiction": "keep"},
    ]  # fmt: skip
    with Image.open(root / "a" / "a002.png") as image:
        image.resize((48, 32)).save(root / "b" / "larger.png")
    nearly = check_data(str(root), on_contradiction="skip")
    assert found(nearly, "duplicates_contradict").count == 1


def test_different_pictures_are_no_twins(real_data: Path) -> None:
    report = check_data(str(real_data / "hymenoptera"))
    assert report.findings == ()
    assert report.splits == {"train": 244, "val": 153}


def test_the_same_blood_cells_photographed_twice_are_found(real_data: Path) -> None:
    """BloodImage_00037 and _00038 show one field of view, one in train and one in val."""
    report = check_data(str(real_data / "bccd_count"))
    assert (report.task, report.likely_task) == ("regression", "regression")
    finding = found(report, "duplicates_across")
    assert [Path(f).stem for f in finding.examples[0].files] == ["BloodImage_00038", "BloodImage_00037"]


def test_rare_few_and_absent_classes(class_folders: Make) -> None:
    root = class_folders({"a": 60, "b": 40, "c": 4}, below="train")
    class_folders({"a": 6, "b": 4, "c": 0}, below="val", root=root)
    (root / "val" / "c").rmdir()
    assert found(check_data(str(root)), "absent_from_val").level == "warning"

    flat = check_data(str(class_folders({"a": 60, "b": 40, "c": 4}, root=root.parent / "flat")))
    imbalance = found(flat, "imbalance")
    assert "1 class has less than a tenth of the images of the largest: c (3)" in imbalance.text
    assert [dict(r.settings) for r in imbalance.remedies] == [
        {"data.sampling": "balanced"}, {"loss.class_weights": "balanced"},
    ]  # fmt: skip
    assert "fewer than 10 training images: c" in found(flat, "few_images").text


def test_turned_pictures_are_noted(class_folders: Make) -> None:
    root = class_folders({"a": 10, "b": 10})
    exif = Image.Exif()
    exif[0x0112] = 6
    load_image(root / "a" / "a001.png").save(root / "a" / "turned.jpg", exif=exif)
    finding = found(check_data(str(root)), "exif")
    assert (finding.level, finding.count) == ("note", 1)
    assert look_at_image(root / "a" / "turned.jpg")["size"] == [16, 24]


def test_last_batch_of_one_is_noted_with_a_better_size(class_folders: Make) -> None:
    root = class_folders({"a": 11, "b": 10}, below="train")
    class_folders({"a": 1, "b": 1}, below="val", root=root)
    finding = found(check_data(str(root), batch_size=5), "last_batch")
    better = finding.remedies[0].settings["train.batch_size"]
    assert better == 4 or 21 % better != 1
    assert not [f for f in check_data(str(root), batch_size=better).findings if f.code == "last_batch"]


def test_masks_alone_mismatched_unknown_and_unreadable(tmp_path: Path) -> None:
    root = set_of_masks(tmp_path / "set")
    (root / "images" / "00.png").unlink()
    (root / "masks" / "01.png").unlink()
    Image.new("L", (12, 8), 255).save(root / "masks" / "02.png")
    Image.new("L", (48, 32), 7).save(root / "masks" / "03.png")
    (root / "masks" / "04.png").write_bytes(b"")
    report = check_data(str(root), mask_values=(0, 255))
    assert report.task == "segmentation"
    for code in ("mask_alone", "image_alone", "size_mismatch", "unknown_value", "unreadable"):
        finding = found(report, code)
        assert (finding.level, finding.count) == ("error", 1)
        assert finding.examples[0].files
        settled = again(report, finding, mask_values=(0, 255))
        assert found(settled, code).level == "note"
    everything = {
        path.removeprefix("data."): value
        for finding in report.findings
        if finding.level == "error"
        for path, value in finding.remedies[0].settings.items()
    }
    assert check_data(str(root), mask_values=(0, 255), **everything).can_train


def test_soft_masks_have_a_remedy(tmp_path: Path) -> None:
    root = set_of_masks(tmp_path / "set")
    for mask in (root / "masks").iterdir():
        soft = np.repeat(np.uint8([[0] * 23 + [90, 180] + [255] * 23]), 32, 0)
        Image.fromarray(soft).save(mask)
    report = check_data(str(root))
    finding = found(report, "unusable")
    assert finding.remedies[0].settings == {"data.mask_values": [0, 255], "data.mask_unknown": "nearest"}
    assert again(report, finding).can_train


def test_missing_labels_and_numbers(tmp_path: Path, class_folders: Make) -> None:
    root = class_folders({"images": 12}, root=tmp_path / "set")
    lines = [f"images{i:03d}.png,{'' if i == 3 else 'x' if i == 4 else i},1" for i in range(12)]
    (root / "labels.csv").write_text("\n".join(["file,weight,constant", *lines, "gone.png,1,1"]))
    report = check_data(str(root), task="regression", label_columns="weight,constant")
    assert found(report, "missing_label").count == 2
    assert found(report, "missing_image").count == 1
    assert "constant is 1 in every training image" in found(report, "constant_number").text
    assert report.numbers[0]["max"] <= 11
    assert again(report, found(report, "missing_label"), label_columns="weight").can_train


def test_wrong_task_is_one_click_away(class_folders: Make) -> None:
    report = check_data(str(class_folders({"a": 12, "b": 12})), task="segmentation")
    finding = found(report, "unusable")
    assert finding.remedies[0].settings == {"task": "classification"}
    assert again(report, finding).can_train


def test_no_such_folder_is_a_finding_too(tmp_path: Path) -> None:
    report = check_data(str(tmp_path / "gone"))
    assert "there is no folder" in found(report, "unusable").text
    assert not report.can_train


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression", "segmentation"])
def test_the_sample_is_sound_for_every_task(task: str) -> None:
    assert check_data("builtin:sample", task=task).findings == ()


def test_report_is_json(class_folders: Make) -> None:
    root = class_folders({"a": 12, "b": 12})
    (root / "a" / "a001.png").write_bytes(b"")
    report = check_data(str(root))
    tree = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert tree["findings"][0]["remedies"][0]["settings"] == {"data.on_unreadable": "skip"}
    assert "to leave them out: data.on_unreadable=skip" in str(report)


def test_second_check_reads_no_picture_again(class_folders: Make) -> None:
    root = class_folders({"a": 40, "b": 40})
    first: list[str] = []
    check_data(str(root), progress=lambda what, *_: first.append(what))
    assert "Decoding images" in first
    second: list[str] = []
    check_data(str(root), progress=lambda what, *_: second.append(what))
    assert "Decoding images" not in second
    (root / "a" / "a001.png").write_bytes(b"")
    assert found(check_data(str(root)), "unreadable").count == 1


def test_check_can_be_cancelled(class_folders: Make) -> None:
    class CancelledError(Exception):
        pass

    def cancel(what: str, done: int, total: int | None) -> None:
        if what == "Decoding images":
            raise CancelledError

    with pytest.raises(CancelledError):
        check_data(str(class_folders({"a": 40, "b": 40})), progress=cancel)


def test_the_users_files_are_left_as_they_are(class_folders: Make) -> None:
    root = class_folders({"a": 12, "b": 12})
    (root / "a" / "a001.png").write_bytes(b"broken")
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in root.rglob("*") if p.is_file()}
    check_data(str(root), on_unreadable="skip", duplicates="drop")
    assert before == {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in root.rglob("*") if p.is_file()}
