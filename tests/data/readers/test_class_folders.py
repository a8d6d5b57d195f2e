"""Class folders in every arrangement, and every wrong one with the message the user sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from fine_tuner.base.errors import DataError
from fine_tuner.data.options import ReadOptions
from fine_tuner.data.readers.recognise import glance_at
from fine_tuner.data.records import DataSplits

Make = Callable[..., Path]
Read = Callable[..., DataSplits]


def test_flat_folders_are_split_class_by_class(class_folders: Make, read: Read) -> None:
    data = read(class_folders({"bees": 8, "ants": 40}))
    assert (data.task, data.classes, data.num_outputs) == ("classification", ("ants", "bees"), 2)
    assert data.class_counts("train") == (30, 6)
    assert data.class_counts("val") == (10, 2)
    assert data.kind == "class folders, 2 classes (ants, bees)"
    assert not {r.image for r in data.splits["train"]} & {r.image for r in data.splits["val"]}
    assert all(r.image.parent.name == data.classes[r.target] for records in data.splits.values() for r in records)


def test_split_folders_are_taken_as_they_are(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 3, "b": 2}, below="train")
    class_folders({"a": 1, "b": 2}, below="Validation", root=root)
    class_folders({"a": 2, "b": 1}, below="test", root=root)
    data = read(root)
    assert {split: data.class_counts(split) for split in data.splits} == {
        "train": (3, 2),
        "val": (1, 2),
        "test": (2, 1),
    }
    assert data.kind == "class folders in train, Validation, test, 2 classes (a, b)"


def test_without_val_folder_part_of_train_is_kept_for_validation(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 8, "b": 8}, below="train")
    class_folders({"a": 2, "b": 2}, below="test", root=root)
    assert {s: len(r) for s, r in read(root).splits.items()} == {"train": 12, "val": 4, "test": 4}


def test_lone_folder_around_the_classes_is_looked_into(class_folders: Make, read: Read) -> None:
    class_folders({"a": 4, "b": 4}, below="download/pictures")
    root = class_folders({})
    (root / "__MACOSX").mkdir()
    assert read(root).classes == ("a", "b")


def test_same_seed_same_split_and_another_seed_another(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 20, "b": 20})
    first, again, other = read(root), read(root), read(root, seed=1)
    assert first.splits == again.splits
    assert first.splits["val"] != other.splits["val"]


def test_split_does_not_depend_on_where_the_folder_lies(class_folders: Make, read: Read, tmp_path: Path) -> None:
    one, two = (class_folders({"a": 20, "b": 20}, root=tmp_path / name) for name in ("one", "two/deeper"))
    names = [[r.image.name for r in read(root).splits["val"]] for root in (one, two)]
    assert names[0] == names[1]


def test_adding_an_image_leaves_the_others_where_they_were(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 20, "b": 20})
    before = {r.image for r in read(root).splits["val"]}
    class_folders({"a": 21, "b": 20}, root=root)
    assert len(before ^ {r.image for r in read(root).splits["val"]}) <= 2


def test_hidden_system_and_stray_things_are_ignored_and_counted(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 4, "b": 4})
    class_folders({".ipynb_checkpoints": 2, "__MACOSX": 2, ".git": 1}, root=root)
    class_folders({".ipynb_checkpoints": 2}, below="a", root=root)
    (root / "a" / "._a000.png").write_bytes(b"resource fork")
    (root / "Thumbs.db").write_bytes(b"")
    (root / "readme.txt").write_text("hello")
    (root / "a" / "notes.txt").write_text("hello")
    (root / "loose.png").write_bytes((root / "a" / "a000.png").read_bytes())
    data = read(root)
    assert sum(map(len, data.splits.values())) == 8
    assert [n.text for n in data.notices] == [
        "4 hidden or system folders ignored.",
        "2 files that are not images ignored (2 .txt).",
        "1 image outside of any class folder ignored.",
    ]


def test_same_images_as_torchvisions_image_folder_and_gif(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 4, "b": 4})
    for suffix in (".gif", ".jpg", ".webp", ".PNG", ".svg"):
        (root / "a" / f"x{suffix}").write_bytes((root / "a" / "a000.png").read_bytes())
    ours = {r.image for records in read(root).splits.values() for r in records}
    assert ours == {Path(path) for path, _ in ImageFolder(root).samples} | {root / "a" / "x.gif"}


def test_folders_below_a_class_belong_to_it_and_links_are_followed_once(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 4, "b": 4, "a/deeper/still": 3})
    (root / "a" / "loop").symlink_to(root / "a", target_is_directory=True)
    assert Counter(r.target for records in read(root).splits.values() for r in records) == {0: 7, 1: 4}


# ------------------------------------------------------------------ wrong
def test_no_such_folder_names_the_nearest(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 2, "b": 2})
    with pytest.raises(DataError, match=r"there is no folder .*/picturs\. Did you mean .*/pictures\? Correct the path"):
        read(root.parent / "picturs")
    with pytest.raises(DataError, match=r"Its nearest folder that exists is .*/pictures\. Correct"):
        read(root / "xyzzy" / "deeper")


def test_empty_path_says_what_to_give(read: Read) -> None:
    with pytest.raises(DataError, match=r"data\.path is empty\. Give the folder"):
        read("  ")


def test_file_instead_of_folder(class_folders: Make, read: Read) -> None:
    with pytest.raises(DataError, match=r"a000\.png is a file, not a folder"):
        read(class_folders({"a": 1}) / "a" / "a000.png")


def test_folder_of_images_without_classes(class_folders: Make, read: Read) -> None:
    with pytest.raises(DataError, match=r"Nothing was recognised in \S+: it holds 3 images\. Give a folder that"):
        read(class_folders({"a": 3}) / "a")


def test_empty_folder(tmp_path: Path, read: Read) -> None:
    with pytest.raises(DataError, match=r"Nothing was recognised in \S+: it is empty\. Give a folder that"):
        read(tmp_path)
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(DataError, match=r"it holds 1 file, none of them a picture \(\.mp4\)\."):
        read(tmp_path)


def test_folders_without_any_image(tmp_path: Path, read: Read) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=r"Nothing was recognised .*it holds 2 folders \(a, b\) and no image\."):
        read(tmp_path)


def test_one_class_only(class_folders: Make, read: Read) -> None:
    with pytest.raises(DataError, match=r"has one class only \('a'\); a classifier needs two or more"):
        read(class_folders({"a": 3}))


def test_empty_class_folder_is_left_out_and_said(class_folders: Make, read: Read) -> None:
    data = read(class_folders({"a": 3, "b": 3, "c": 0}))
    assert data.classes == ("a", "b")
    assert any("'c'" in n.text and n.level == "warning" for n in data.notices)


@pytest.mark.parametrize("split", ["val", "test"])
def test_class_that_a_split_lacks_is_absent_from_its_means_only(class_folders: Make, read: Read, split: str) -> None:
    root = class_folders({"a": 3, "b": 3, "c": 3}, below="train")
    class_folders({"a": 3, "b": 0, "c": 2}, below=split, root=root)
    data = read(root)
    assert data.classes == ("a", "b", "c")
    assert data.class_counts(split) == (3, 0, 2)
    assert any("absent from val" in n.text for n in data.notices) == (split == "val")


def test_class_that_only_val_has_is_named_and_left_out_by_choice(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 3, "b": 3}, below="train")
    class_folders({"a": 2, "b": 2, "c": 4}, below="val", root=root)
    with pytest.raises(DataError, match=r"(?s)^4 things .*is of class 'c', which train does not have.*on_missing=skip"):
        read(root)
    data = read(root, on_missing="skip")
    assert (data.classes, data.class_counts("val")) == (("a", "b"), (2, 2))


def test_classes_are_in_the_order_in_which_a_person_counts(class_folders: Make, read: Read) -> None:
    assert read(class_folders({str(i): 2 for i in (10, 1, 2, 11, 20)})).classes == ("1", "2", "10", "11", "20")


def test_folders_below_class_folders_are_said_and_can_be_the_classes(class_folders: Make, read: Read) -> None:
    root = class_folders({f"{outer}/{inner}": 8 for outer in ("colour", "grey") for inner in ("rust", "scab", "sound")})
    as_now = read(root)
    assert as_now.classes == ("colour", "grey")
    (said,) = [n for n in as_now.notices if n.code == "nested_folders"]
    assert said.level == "warning"
    assert said.remedies[0].settings == {"data.class_level": "inner"}
    inner = read(root, class_level="inner")
    assert inner.classes == ("rust", "scab", "sound")
    assert sum(map(len, inner.splits.values())) == 48
    val = {(r.image.parent.name, r.image.stem[-3:]) for r in inner.splits["val"]}
    assert val.isdisjoint((r.image.parent.name, r.image.stem[-3:]) for r in inner.splits["train"])


def test_masks_beside_the_pictures_of_classes_are_left_out_and_said(class_folders: Make, read: Read) -> None:
    root = class_folders({"sick (a)": 6, "well": 6})
    for picture in list(root.rglob("*.png")):
        for ending in ("_mask", "_mask_1"):
            Image.fromarray(np.eye(16, 24, dtype=np.uint8) * 255).save(picture.with_stem(picture.stem + ending))
    data = read(root)
    assert sum(map(len, data.splits.values())) == 12
    (said,) = [n for n in data.notices if n.code == "masks_beside"]
    assert "24 files" in said.text
    assert said.remedies[0].settings == {"task": "segmentation", "data.layout": "masks"}
    masks = read(root, task="segmentation", layout="masks")
    assert sum(map(len, masks.splits.values())) == 12
    assert masks.classes == ("background", "foreground")
    assert sum(map(len, read(root, masks_beside="ignore", on_contradiction="keep").splits.values())) == 36


@pytest.mark.parametrize(
    "mask",
    [
        "{}_lesion.png",
        "{}-maske2.png",
        "ROI_{}.png",
        "mask_{}.png",
        "{}.bmp",
        "masks/{}.png",
        "Ground_Truth/{}_x_gt.bmp",
    ],
)
def test_masks_of_any_name_beside_their_pictures_are_told_by_what_they_hold(
    class_folders: Make, read: Read, mask: str
) -> None:
    root = class_folders({"sick": 6, "well": 6})
    for picture in list(root.rglob("*.png")):
        file = picture.parent / mask.format(picture.stem).replace("_x_gt", "-gt")
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(np.eye(16, 24, dtype=np.uint8) * 255).save(file)
    assert glance_at(str(root)).task == "classification"
    data = read(root)
    assert sum(map(len, data.splits.values())) == 12
    assert [n.code for n in data.notices if n.level == "warning"] == ["masks_beside"]
    assert sum(map(len, read(root, task="segmentation", layout="masks").splits.values())) == 12


def test_drawings_beside_drawings_are_no_masks(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 4, "b": 4})
    for number, drawing in enumerate(sorted(root.rglob("*.png"))):
        two_values = np.random.default_rng(number).integers(0, 2, (20, 24), dtype=np.uint8) * 255
        Image.fromarray(two_values).save(drawing)
        Image.fromarray(two_values[::-1]).save(drawing.with_stem(drawing.stem + "_turned"))
    assert sum(map(len, read(root).splits.values())) == 16


def test_classes_may_be_called_photos_or_labels(class_folders: Make, read: Read) -> None:
    root = class_folders({"photos": 4, "drawings": 4})
    assert glance_at(str(root)).words == read(root).kind == "class folders, 2 classes (drawings, photos)"
    for drawing in (root / "drawings").iterdir():
        drawing.rename(drawing.with_name(drawing.name.replace("drawings", "photos")))
    for ask in (glance_at, read):  # images and something made of them, or classes numbered alike?
        with pytest.raises(DataError, match=r"Nothing was recognised .*data\.layout=classes takes each folder"):
            ask(str(root))
    assert read(root, layout="classes").classes == ("drawings", "photos")


@pytest.mark.parametrize("split", [{}, {"below": "train"}])
def test_images_and_masks_under_any_names_are_told_by_what_they_hold(
    class_folders: Make, read: Read, split: dict[str, str]
) -> None:
    root = class_folders({"bilder": 6}, **split)
    folder = root / split.get("below", "")
    (folder / "umrisse").mkdir()
    for picture in (folder / "bilder").iterdir():
        Image.fromarray(np.eye(16, 24, dtype=np.uint8) * 255).save(folder / "umrisse" / picture.name)
    assert glance_at(str(root)).words == "images with masks in bilder/ and umrisse/"
    (said,) = [n for n in read(root, task="segmentation").notices if n.level == "warning"]
    assert said.remedies[0].settings == {"task": "classification", "data.layout": "classes"}
    assert read(root, layout="classes", on_contradiction="keep").classes == ("bilder", "umrisse")


def test_other_folders_beside_train_are_used_or_said(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 8, "b": 8}, below="train")
    class_folders({"a": 2, "b": 2}, below="dev", root=root)
    class_folders({"a": 2, "b": 2}, below="holdout", root=root)
    (root / "test").mkdir()
    (root / "train" / "a" / "a000.png").rename(root / "test" / "x.png")
    data = read(root)
    assert {split: len(rows) for split, rows in data.splits.items()} == {"train": 15, "val": 4}
    texts = " ".join(n.text for n in data.notices if n.level == "warning")
    assert "test/ holds 1 image without classes and is not used." in texts
    assert "Not used, since only train, dev, test are splits: holdout/." in texts


def test_empty_val_is_said_and_train_divided(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 8, "b": 8}, below="train")
    (root / "val" / "a").mkdir(parents=True)
    data = read(root)
    assert {split: len(rows) for split, rows in data.splits.items()} == {"train": 12, "val": 4}
    assert [n.code for n in data.notices if n.level == "warning"] == ["unused_split"]


def test_classes_that_differ_in_case_or_blanks_are_one_and_it_is_said(class_folders: Make, read: Read) -> None:
    root = class_folders({"cat": 4, "dog": 4}, below="train")
    class_folders({"Cat": 2, "dog ": 2}, below="val", root=root)
    data = read(root)
    assert data.class_counts("val") == (2, 2)
    (said,) = [n for n in data.notices if n.code == "class_names"]
    assert "'Cat' as 'cat', 'dog ' as 'dog'" in said.text


def test_numbers_are_in_their_order_in_folders_and_tables(class_folders: Make, read: Read, tmp_path: Path) -> None:
    root = class_folders({"10": 2, "-1": 2, "2": 2, "02": 2})
    rows = [f"{p.relative_to(root).as_posix()},{p.parent.name}" for p in sorted(root.rglob("*.png"))]
    (root / "t.csv").write_text("\n".join(["file,label", *rows]))
    classes = ("-1", "02", "2", "10")
    assert read(root).classes == read(root, layout="table").classes == classes


def test_what_is_chosen_is_recognised_as_it_is_read(class_folders: Make, read: Read) -> None:
    root = class_folders({"colour/rust": 4, "colour/sound": 4, "grey/rust": 4, "grey/sound": 4})
    inner = ReadOptions(class_level="inner")
    assert glance_at(str(root), options=inner).words == read(root, class_level="inner").kind
    assert glance_at(str(root)).words == read(root).kind
    with pytest.raises(DataError, match=r"data\.layout=masks serves segmentation only, not task=classification"):
        read(root, layout="masks")


def test_photographs_named_like_masks_stay_pictures(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 4, "b": 4})
    for number, photo in enumerate(sorted(root.rglob("*.png"))):
        noise = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(photo.with_stem(photo.stem + "_mask"))
    assert sum(map(len, read(root).splits.values())) == 16


def test_equal_files_of_two_classes_are_refused_left_out_or_kept(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 8, "b": 8})
    for name in ("x.png", "y.png"):
        (root / "b" / name).write_bytes((root / "a" / "a003.png").read_bytes())
    with pytest.raises(DataError, match=r"(?s)^3 equal files .*a003\.png is the same file as .*x\.png, which has"):
        read(root)
    assert sum(map(len, read(root, on_contradiction="skip").splits.values())) == 15
    assert sum(map(len, read(root, on_contradiction="keep").splits.values())) == 18


def test_names_that_look_like_recordings_are_said_and_kept_together_by_choice(tmp_path: Path, read: Read) -> None:
    for number, (cls, video) in enumerate(product(("busy", "quiet"), range(5))):
        for frame in range(4):
            (tmp_path / cls).mkdir(exist_ok=True)
            noise = np.random.default_rng(100 * number + frame).integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / cls / f"{cls}{video}-frame_{frame:02d}.png")
    (said,) = [n for n in read(tmp_path).notices if n.code == "name_groups"]
    assert said.remedies[0].settings == {"data.group_by_name": True}
    data = read(tmp_path, group_by_name=True)
    videos = {split: {r.image.stem.split("-")[0] for r in rows} for split, rows in data.splits.items()}
    assert videos["val"]
    assert videos["val"].isdisjoint(videos["train"])


def test_plain_numbers_are_no_recordings(class_folders: Make, read: Read) -> None:
    assert not [n for n in read(class_folders({"a": 12, "b": 12})).notices if n.code == "name_groups"]


def test_val_folder_without_train_folder(class_folders: Make, read: Read) -> None:
    with pytest.raises(DataError, match=r"has val but no train folder\. Add one"):
        read(class_folders({"a": 3, "b": 3}, below="val"))


def test_two_folders_for_one_split(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 3, "b": 3}, below="val")
    class_folders({"a": 3, "b": 3}, below="valid", root=root)
    with pytest.raises(DataError, match=r"both mean the val split\. Rename or move"):
        read(root)


def test_class_of_one_image_cannot_be_split(class_folders: Make, read: Read) -> None:
    with pytest.raises(
        DataError, match=r"Class 'b' has a single image.*Add images to it, leave the class out, or give"
    ):
        read(class_folders({"a": 3, "b": 1}))


def test_unreadable_images_are_named_or_left_out_by_choice(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 8, "b": 8})
    (root / "a" / "a003.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"^\S*a003\.png is not an image \(the file is empty\)"):
        read(root)
    (root / "b" / "b001.png").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"(?s)^2 images cannot be read:\n  .*a003\.png is .*\n  .*b001\.png is"):
        read(root)
    data = read(root, on_unreadable="skip")
    assert sum(map(len, data.splits.values())) == 14
    assert any("2 unreadable images left out" in str(notice) for notice in data.notices)


def test_skipping_never_empties_a_class(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 4, "b": 2})
    for image in (root / "b").iterdir():
        image.write_bytes(b"")
    with pytest.raises(DataError, match=r"usable images of one class only; none of 'b'\. \S*b000\.png is not an image"):
        read(root, on_unreadable="skip")


def test_a_class_of_unreadable_images_is_left_out_with_them_and_said(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 4, "b": 2, "c": 4})
    for image in (root / "b").iterdir():
        image.write_bytes(b"<svg/>")
    data = read(root, on_unreadable="skip")
    assert (data.classes, data.class_counts("train")) == (("a", "c"), (3, 3))
    assert data.kind == "class folders, 2 classes (a, c)"
    (said,) = [n for n in data.notices if n.code == "empty_class"]
    assert "'b' without any usable image in train" in said.text


def test_progress_ends_at_the_total(class_folders: Make, read: Read) -> None:
    seen: list[tuple[str, int, int | None]] = []
    read(class_folders({"a": 40, "b": 40}), progress=lambda *call: seen.append(call))
    assert ("Reading image headers", 80, 80) in seen
    assert seen[-1][1:] == (80, 80)


def test_real_ants_and_bees_are_recognised(real_data: Path, read: Read) -> None:
    data = read(real_data / "hymenoptera")
    assert (data.classes, data.class_counts("train"), data.class_counts("val")) == (
        ("ants", "bees"),
        (123, 121),
        (70, 83),
    )


def test_record_file_gives_the_same_data_back(class_folders: Make, read: Read, tmp_path: Path) -> None:
    data = read(class_folders({"a": 4, "b": 4}))
    data.write(tmp_path / "run" / "splits.json")
    assert DataSplits.from_file(tmp_path / "run" / "splits.json") == data
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["splits.json"]


def test_damaged_record_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "splits.json").write_text('{"schema": 1, "task": "cla')
    with pytest.raises(DataError, match=r"splits\.json is damaged \(JSONDecodeError.*Start a new run"):
        DataSplits.from_file(tmp_path / "splits.json")
