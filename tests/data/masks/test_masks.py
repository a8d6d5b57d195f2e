"""Masks in every coding become class indices; every wrong mask is named with its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from fine_tuner.base.errors import DataError
from fine_tuner.data.checks.check import check_data
from fine_tuner.data.files.images import load_image
from fine_tuner.data.loading.batches import load_classes
from fine_tuner.data.mask_coding import IGNORE_INDEX, MaskCoding
from fine_tuner.data.notices import MendableError
from fine_tuner.data.readers.colour_tables import read_colour_table
from fine_tuner.data.readers.recognise import look_into
from fine_tuner.data.records import DataSplits, Record

Read = Callable[..., DataSplits]
WIDTH, HEIGHT = 8, 6


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """``make([mask, ...])`` writes them with as many images; a mask is an array or a picture."""

    def make(
        masks: list[object], *, images: str = "images", below: str = "masks", ending: str = ".png", name: str = "{:02d}"
    ) -> Path:
        root = tmp_path / "set"
        (root / images).mkdir(parents=True, exist_ok=True)
        (root / below).mkdir(parents=True, exist_ok=True)
        for i, mask in enumerate(masks):
            pixels = np.random.default_rng(i).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / images / f"{i:02d}.jpg")
            picture = mask if isinstance(mask, Image.Image) else Image.fromarray(np.asarray(mask, np.uint8))
            picture.save(root / below / (name.format(i) + ending))
        return root

    return make


def halves(left: int, right: int) -> np.ndarray:
    mask = np.full((HEIGHT, WIDTH), left, np.uint8)
    mask[:, WIDTH // 2 :] = right
    return mask


def coloured(left: tuple[int, ...], right: tuple[int, ...]) -> np.ndarray:
    mask = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    mask[:, : WIDTH // 2], mask[:, WIDTH // 2 :] = left, right
    return mask


def palette(mask: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.frombytes("P", (WIDTH, HEIGHT), mask.tobytes())
    image.putpalette(colours)
    return image


def classes_of(data: DataSplits, stem: str) -> list[int]:
    """Left and right class of one mask."""
    records = {r.image.stem: r for rows in data.splits.values() for r in rows}
    classes = load_classes(records[stem], (WIDTH, HEIGHT), data.mask_coding)
    return [int(classes[0, 0]), int(classes[0, -1])]


@pytest.mark.parametrize(
    ("masks", "names", "left_right"),
    [
        ([halves(0, 255)] * 4, ("background", "foreground"), [0, 1]),
        ([halves(0, 1)] * 4, ("background", "foreground"), [0, 1]),
        ([halves(0, 1), halves(2, 3)] * 2, ("class 0", "class 1", "class 2", "class 3"), [2, 3]),
        ([halves(0, 1), halves(2, 255)] * 2, ("class 0", "class 1", "class 2"), [2, IGNORE_INDEX]),
        ([halves(0, 5), halves(2, 255)] * 2, tuple(f"class {i}" for i in range(6)), [2, IGNORE_INDEX]),
        ([halves(1, 2), halves(3, 1)] * 2, ("1", "2", "3"), [2, 0]),
        ([halves(0, 128), halves(255, 0)] * 2, ("0", "128", "255"), [2, 0]),
        ([coloured((0, 0, 0), (255, 0, 0)), coloured((0, 0, 255), (0, 0, 0))] * 2,
         ("#000000", "#0000ff", "#ff0000"), [1, 0]),
        ([palette(halves(0, 1), [0, 0, 0, 9, 9, 9]), palette(halves(2, 1), [0, 0, 0, 9, 9, 9, 200, 0, 0])] * 2,
         ("class 0", "class 1", "class 2"), [2, 1]),
        ([palette(halves(0, 1), [0, 0, 0, 255, 0, 0]), palette(halves(0, 1), [0, 255, 0, 0, 0, 0])] * 2,
         ("#000000", "#00ff00", "#ff0000"), [1, 0]),
        ([Image.fromarray(halves(0, 1) > 0)] * 4, ("background", "foreground"), [0, 1]),
        ([Image.fromarray(halves(0, 7).astype(np.uint16))] * 4, tuple(f"class {i}" for i in range(8)), [0, 7]),
    ],
    ids=["0/255", "0/1", "index", "index + 255", "gap in index", "from 1", "grey", "colours", "palette",
         "palettes that disagree", "1-bit", "16-bit"],
)  # fmt: skip
def test_values_become_classes(
    folder: Callable[..., Path], read: Read, masks: list[object], names: tuple[str, ...], left_right: list[int]
) -> None:
    root = folder(masks)
    assert look_into(root).likely_task() == "segmentation"
    data = read(root, task="segmentation")
    assert data.classes == names
    assert data.num_outputs == len(names)
    assert classes_of(data, "01") == left_right
    half = WIDTH * HEIGHT // 2
    assert sum(data.class_counts("train")) <= 2 * half * len(data.splits["train"])
    assert data.class_counts("train")[left_right[0]] >= half


def test_pixels_of_each_class_are_counted(folder: Callable[..., Path], read: Read) -> None:
    data = read(folder([halves(0, 1), halves(0, 255)] * 4), task="segmentation", mask_ignore=(255,))
    names = [r.image.stem for r in data.splits["train"]]
    half = WIDTH * HEIGHT // 2
    assert data.class_counts("train") == (half * len(names), half * sum(int(n) % 2 == 0 for n in names))


@pytest.mark.parametrize("high", [255, 254, 128])
def test_one_value_here_and_another_there_is_asked(folder: Callable[..., Path], read: Read, high: int) -> None:
    root = folder([halves(0, 1), halves(0, high)] * 4)
    with pytest.raises(MendableError, match=f"Some masks hold 0 and {high} .*others 0 and 1 ") as asked:
        read(root, task="segmentation")
    same, other = (r.settings for r in asked.value.remedies)
    one = read(root, task="segmentation", **options_of(same))
    assert one.classes == ("background", "foreground")
    assert classes_of(one, "00") == classes_of(one, "01") == [0, 1]
    two = read(root, task="segmentation", **options_of(other))
    assert classes_of(two, "01") == [0, IGNORE_INDEX if high == 255 else 2]


def test_numbers_here_and_greys_there_are_asked(folder: Callable[..., Path], read: Read) -> None:
    root = folder([halves(0, 1), halves(2, 1), halves(127, 254), halves(0, 254)] * 2)
    with pytest.raises(MendableError, match=r"Some masks hold 1 and 2 besides 0, others 127 and 254"):
        read(root, task="segmentation")
    assert read(root, task="segmentation", mask_values=(0, 1, 2, 127, 254)).num_outputs == 5


def test_one_class_and_255_is_asked_and_either_may_be_the_background(folder: Callable[..., Path], read: Read) -> None:
    root = folder([halves(1, 255), halves(255, 1)] * 2)
    with pytest.raises(MendableError, match=r"hold 1 and 255 only") as raised:
        read(root, task="segmentation")
    values = [remedy.settings["data.mask_values"] for remedy in raised.value.remedies]
    assert values == [[255, 1], [1, 255]]
    assert classes_of(read(root, task="segmentation", mask_values=tuple(values[0])), "00") == [1, 0]


def test_255_beside_a_class_in_one_file_is_void_in_all(folder: Callable[..., Path], read: Read) -> None:
    data = read(folder([halves(0, 1), halves(0, 255), halves(1, 255)] * 4), task="segmentation")
    assert classes_of(data, "01") == [0, IGNORE_INDEX]
    assert any("255 is taken for" in n.text for n in data.notices)


def test_masks_of_void_only_are_named(folder: Callable[..., Path], read: Read) -> None:
    data = read(folder([halves(0, 1)] * 4 + [halves(255, 255)] * 8), task="segmentation")
    assert any(n.code == "empty_masks" and "8 masks with no pixel" in n.text for n in data.notices)


def test_numbers_of_objects_are_asked_about(folder: Callable[..., Path], read: Read) -> None:
    counted_up = [np.resize(np.arange(n + 1, dtype=np.uint8), (HEIGHT, WIDTH)) for n in (9, 12, 14, 11)]
    with pytest.raises(MendableError, match="number objects, it seems, not classes: 14 values") as asked:
        read(folder(counted_up), task="segmentation")
    data = read(folder(counted_up), task="segmentation", **options_of(asked.value.remedies[0].settings))
    assert data.num_outputs == 2


def test_palette_entries_of_one_colour_stay_apart(folder: Callable[..., Path], read: Read) -> None:
    """VOC's void is index 255, which many programs leave as black as the background."""
    colours = [0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * (3 * 253)
    masks = [palette(halves(0, 1), colours), palette(halves(2, 255), colours)] * 3
    root = folder(masks)
    (root / "labelmap.txt").write_text("# label:color_rgb\nground:0,0,0::\ncat:128,0,0::\ndog:0,128,0::\n")
    data = read(root, task="segmentation")
    assert data.classes == ("ground", "cat", "dog")
    assert classes_of(data, "01") == [2, IGNORE_INDEX]


def test_pascal_voc_is_read_with_its_lists(folder: Callable[..., Path], read: Read) -> None:
    root = folder([halves(0, 1), halves(2, 255)] * 6, images="JPEGImages", below="SegmentationClass")
    for i in range(12):
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{i:02d}.xml").write_text("<annotation/>")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("".join(f"{i:02d}\n" for i in range(7)))
    (lists / "val.txt").write_text("".join(f"{i:02d}\n" for i in range(7, 11)))
    (lists / "trainval.txt").write_text("".join(f"{i:02d}\n" for i in range(11)))
    assert look_into(root).likely_task() == "segmentation"
    data = read(root, task="segmentation")
    assert {split: len(rows) for split, rows in data.splits.items()} == {"train": 7, "val": 4}
    assert any("Not used: Annotations/ (12 .xml)" in n.text for n in data.notices)


def options_of(settings: Mapping[str, object]) -> dict[str, object]:
    """Arguments of ``read`` that are what a remedy sets."""
    values = {path.removeprefix("data."): value for path, value in settings.items()}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def test_names_of_the_classes(folder: Callable[..., Path], read: Read) -> None:
    root = folder([halves(0, 255)] * 4)
    (root / "classes.txt").write_text("membrane\ncell\n")
    assert read(root, task="segmentation").classes == ("membrane", "cell")
    assert read(root, task="segmentation", class_names="wall, room").classes == ("wall", "room")
    with pytest.raises(DataError, match=r"data\.class_names has 3 names, the masks have 2 classes \(0 and 255\)"):
        read(root, task="segmentation", class_names="a,b,c")


def test_a_rare_class_absent_from_all_masks_keeps_its_number(folder: Callable[..., Path], read: Read) -> None:
    root = folder([halves(0, 1), halves(2, 1)] * 2)
    (root / "classes.txt").write_text("sky\nroad\ncar\nbus\n")
    assert read(root, task="segmentation").classes == ("sky", "road", "car", "bus")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("class_dict.csv", "name,r,g,b\nsky,0,0,255\nroad,255,0,0\n"),
        ("label_colors.txt", "0 0 255\tsky\n255 0 0\t\troad\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nsky:0,0,255::\nroad:255,0,0::\n"),
        ("colours.txt", "sky #0000ff\nroad #FF0000\n"),
    ],
)
def test_colour_table_gives_names_and_order(folder: Callable[..., Path], read: Read, file: str, text: str) -> None:
    root = folder([coloured((255, 0, 0), (0, 0, 255))] * 4)
    (root / file).write_text(text)
    data = read(root, task="segmentation")
    assert data.classes == ("sky", "road")
    assert classes_of(data, "00") == [1, 0]
    (root / file).rename(root / "mine.txt")
    assert read(root, task="segmentation").classes == ("#0000ff", "#ff0000")
    assert read(root, task="segmentation", colour_table="mine.txt").classes == ("sky", "road")
    with pytest.raises(DataError, match=r"data\.colour_table: there is no file gone\.txt"):
        read(root, task="segmentation", colour_table="gone.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sky,0,0,255\nroad,red\n", r"line 2: 'road,red' has no colour"),
        ("a,0,0,1\nb,0,0,1\n", r"line 2: .* occurs twice"),
    ],
)
def test_bad_line_of_a_colour_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_colour_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("images", "below", "name"),
    [
        ("images", "masks", "{:02d}_mask"),
        ("imgs", "labels", "{:02d}"),
        ("JPEGImages", "SegmentationClass", "{:02d}"),
        ("images", "gt", "{:02d}_L"),
    ],
)
def test_usual_names_of_folders_and_masks(
    folder: Callable[..., Path], read: Read, images: str, below: str, name: str
) -> None:
    data = read(folder([halves(0, 1)] * 4, images=images, below=below, name=name), task="segmentation")
    assert sum(map(len, data.splits.values())) == 4


@pytest.mark.parametrize(
    "places",
    [
        {"train": ("train/images", "train/masks"), "val": ("val/images", "val/masks")},
        {"train": ("images/train", "masks/train"), "val": ("images/val", "masks/val")},
        {"train": ("train", "train_masks"), "val": ("val", "val_masks")},
    ],
    ids=["below splits", "splits below", "beside"],
)
def test_splits_in_every_arrangement(
    folder: Callable[..., Path], read: Read, places: dict[str, tuple[str, str]]
) -> None:
    for split, (images, below) in places.items():
        root = folder([halves(0, 1)] * {"train": 4, "val": 2}[split], images=images, below=below)
    assert {s: len(r) for s, r in read(root, task="segmentation").splits.items()} == {"train": 4, "val": 2}


def test_masks_named_in_a_table(folder: Callable[..., Path], read: Read) -> None:
    root = folder([halves(0, 1)] * 4, images="a", below="b", name="m{:02d}")
    (root / "list.csv").write_text("image,mask\n" + "".join(f"a/{i:02d}.jpg,b/m{i:02d}.png\n" for i in range(4)))
    assert look_into(root).likely_task() == "segmentation"
    data = read(root, task="segmentation")
    assert data.classes == ("background", "foreground")
    assert classes_of(data, "02") == [0, 1]


# ------------------------------------------------------------------ wrong
def test_orphans_are_named_or_left_out_by_choice(folder: Callable[..., Path], read: Read) -> None:
    root = folder([halves(0, 1)] * 5)
    (root / "images" / "00.jpg").unlink()
    (root / "masks" / "01.png").unlink()
    with pytest.raises(
        DataError, match=r"(?s)^2 things .* lack .*:\n  Image .*01\.jpg has no mask\.\n  Mask .*00\.png has"
    ):
        read(root, task="segmentation")
    data = read(root, task="segmentation", on_missing="skip")
    assert sum(map(len, data.splits.values())) == 3
    assert [n.text.split(" left out")[0] for n in data.notices] == ["1 image without mask", "1 mask without image"]


def test_mask_of_another_size_is_named_or_resized_by_choice(folder: Callable[..., Path], read: Read) -> None:
    root = folder([halves(0, 1)] * 3 + [np.repeat(np.repeat(halves(0, 1), 2, 0), 2, 1)])
    with pytest.raises(
        DataError, match=r"Mask .*03\.png is 16 x 12 pixels, its image .* is 8 x 6\. Make them equal, or"
    ):
        read(root, task="segmentation")
    data = read(root, task="segmentation", mask_resize=True)
    assert classes_of(data, "03") == [0, 1]


def test_unknown_value_is_named_or_dealt_with_by_choice(folder: Callable[..., Path], read: Read) -> None:
    root = folder([halves(0, 100)] * 3 + [halves(90, 100)])
    with pytest.raises(DataError, match=r"Mask .*03\.png holds 90, which is no class\. Correct the masks, or set data"):
        read(root, task="segmentation", mask_values=(0, 100))
    ignored = read(root, task="segmentation", mask_values=(0, 100), mask_unknown="ignore")
    assert classes_of(ignored, "03") == [IGNORE_INDEX, 1]
    nearest = read(root, task="segmentation", mask_values=(0, 100), mask_unknown="nearest")
    assert classes_of(nearest, "03") == [1, 1]
    chosen = read(root, task="segmentation", mask_values=(0, 100), mask_ignore=(90,))
    assert classes_of(chosen, "03") == [IGNORE_INDEX, 1]


def test_soft_edges_are_explained(folder: Callable[..., Path], read: Read) -> None:
    soft = halves(0, 255)
    soft[0, 3], soft[0, 4] = 100, 200
    root = folder([soft] * 4)
    with pytest.raises(
        DataError, match=r"0 and 255 \(95\.8% of the pixels\), but also 2 values between .*such as 100 in"
    ):
        read(root, task="segmentation")
    data = read(root, task="segmentation", mask_values=(0, 255), mask_unknown="nearest")
    assert classes_of(data, "00") == [0, 1]


def test_photographs_are_no_masks(folder: Callable[..., Path], read: Read) -> None:
    noise = [np.random.default_rng(i).integers(0, 256, (60, 80), dtype=np.uint8) for i in range(4)]
    with pytest.raises(DataError, match=r"The masks hold 256 different values \(.*more like photographs than classes"):
        read(folder(noise), task="segmentation")


def test_one_value_is_nothing_to_learn(folder: Callable[..., Path], read: Read) -> None:
    with pytest.raises(DataError, match=r"All masks hold the value 0 only; segmentation needs two classes"):
        read(folder([halves(0, 0)] * 4), task="segmentation")


def test_nothing_matches(folder: Callable[..., Path], read: Read) -> None:
    with pytest.raises(
        DataError, match=r"No image in .* has a mask of the same name .* such as 00\.jpg and x00\.png\)"
    ):
        read(folder([halves(0, 1)] * 4, name="x{:02d}"), task="segmentation")


def test_two_masks_of_one_image(folder: Callable[..., Path], read: Read) -> None:
    root = folder([halves(0, 1)] * 4)
    Image.fromarray(halves(0, 1)).save(root / "masks" / "02.bmp")
    with pytest.raises(DataError, match=r"02\.bmp and .*02\.png are masks of one image\. Remove one"):
        read(root, task="segmentation")


def test_unreadable_mask_is_named_or_left_out_by_choice(folder: Callable[..., Path], read: Read) -> None:
    root = folder([halves(0, 1)] * 4)
    (root / "masks" / "02.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"02\.png is not an image \(the file is empty\)"):
        read(root, task="segmentation")
    assert sum(map(len, read(root, task="segmentation", on_unreadable="skip").splits.values())) == 3


def test_other_tasks_and_folders_are_sent_to_the_right_place(
    folder: Callable[..., Path], read: Read, class_folders: Callable[..., Path], tmp_path: Path
) -> None:
    root = folder([halves(0, 1)] * 4)
    with pytest.raises(
        DataError, match=r"holds images with masks, which do not serve task=classification\. Choose task"
    ):
        read(root)
    classes = class_folders({"a": 3, "b": 3}, root=tmp_path / "other")
    with pytest.raises(
        DataError, match=r"holds class folders, which do not serve task=segmentation\. Choose task=class"
    ):
        read(classes, task="segmentation")
    with pytest.raises(DataError, match=r"has no masks that are recognised\. Put images into a folder images/"):
        read(classes / "a", task="segmentation")


def test_loading_refuses_a_value_that_came_later(tmp_path: Path) -> None:
    Image.fromarray(halves(0, 7)).save(tmp_path / "m.png")
    with pytest.raises(DataError, match=r"m\.png holds 7, which is no class \(classes are 0, 1\)\. Correct the mask"):
        load_classes(Record(tmp_path / "x.png", tmp_path / "m.png"), (WIDTH, HEIGHT), MaskCoding((0, 1)))


def test_coding_survives_the_file(folder: Callable[..., Path], read: Read, tmp_path: Path) -> None:
    data = read(folder([coloured((0, 0, 0), (9, 8, 7))] * 4), task="segmentation", mask_ignore=(5,), mask_resize=True)
    data.write(tmp_path / "splits.json")
    assert DataSplits.from_file(tmp_path / "splits.json") == data


@pytest.mark.parametrize("unknown", ["ignore", "nearest"])
def test_table_lookup_and_search_agree(unknown: str) -> None:
    """8-bit masks go through a table, wider ones through a search; both are the same function."""
    coding = MaskCoding((10, 3, 200), ignored=(77,), unknown=unknown)
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(coding.classes_of(mask, "a"), coding.classes_of(mask.astype(np.int32), "a"))


def test_real_membranes_are_recognised(real_data: Path, read: Read) -> None:
    root = real_data / "isbi_membrane"
    assert look_into(root).likely_task() == "segmentation"
    data = read(root, task="segmentation")
    assert {s: len(r) for s, r in data.splits.items()} == {"train": 24, "val": 6}
    assert data.mask_coding.values == (0, 255)
    assert sum(data.class_counts("train")) == 24 * 512 * 512


# ------------------------------------------------------------------ turned photographs
def turned_set(root: Path, size: tuple[int, int], orientation: int, *, is_mask_upright: bool) -> Path:
    """Six photographs stored with this orientation, white where the mask is; masks upright or as stored."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for i in range(6):
        stored = np.zeros(size[::-1], np.uint8)
        stored[: size[1] // 2, : 2 + i] = 255
        picture = Image.fromarray(stored).convert("RGB")
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture.save(root / "images" / f"{i}.png", exif=exif)
        with Image.open(root / "images" / f"{i}.png") as image:
            mask = ImageOps.exif_transpose(image).convert("L") if is_mask_upright else Image.fromarray(stored)
        mask.save(root / "masks" / f"{i}.png")
    return root


def white_is_masked(data: DataSplits) -> bool:
    for record in (r for rows in data.splits.values() for r in rows):
        picture = load_image(record.image)
        classes = load_classes(record, picture.size, data.mask_coding)
        if not np.array_equal(np.asarray(picture)[..., 0] > 127, classes == 1):
            return False
    return True


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("size", [(24, 16), (16, 16)], ids=["oblong", "square"])
@pytest.mark.parametrize("is_mask_upright", [True, False])
def test_mask_lies_on_its_turned_photograph_or_it_is_asked(
    tmp_path: Path, read: Read, orientation: int, size: tuple[int, int], is_mask_upright: bool
) -> None:
    root = turned_set(tmp_path, size, orientation, is_mask_upright=is_mask_upright)
    is_told = orientation >= 5 and size[0] != size[1]
    if is_told and is_mask_upright:
        assert white_is_masked(read(root, task="segmentation"))
    else:
        with pytest.raises(DataError, match=r"data\.mask_orientation=stored to turn masks with their pictures"):
            read(root, task="segmentation")
    asked = {f.code: f.text for f in check_data(str(root)).findings}
    assert ("turned_mask" in asked) != ("the masks are taken as upright" in asked["exif"])
    chosen = "upright" if is_mask_upright else "stored"
    assert white_is_masked(read(root, task="segmentation", mask_orientation=chosen))


def test_masks_that_are_upright_already_stay_so_when_others_are_turned(tmp_path: Path, read: Read) -> None:
    root = turned_set(tmp_path / "set", (24, 16), 6, is_mask_upright=False)
    upright = turned_set(tmp_path / "other", (24, 16), 6, is_mask_upright=True)
    (upright / "masks" / "0.png").rename(root / "masks" / "0.png")
    assert white_is_masked(read(root, task="segmentation", mask_orientation="stored"))
