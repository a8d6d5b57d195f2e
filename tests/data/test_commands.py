"""``check-data`` and ``recognise`` as commands: the same settings, the same answer as on the page."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fine_tuner.base.errors import DataError
from fine_tuner.cli.arguments import read_settings
from fine_tuner.cli.main import main
from fine_tuner.data.checks import first_look
from fine_tuner.data.checks.thumbnails import thumbnail
from fine_tuner.data.loading.batches import load_classes
from fine_tuner.data.readers.recognise import glance_at
from fine_tuner.data.sources import read_data
from fine_tuner.planning.plan import plan_text
from fine_tuner.runs.log.payloads import RunStarted
from fine_tuner.training.run.console import Console

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


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_picture_of_more_than_8_bits_is_shown_from_black_to_white(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(np.linspace(0, 1000, 400).reshape(20, 20).astype(dtype)).save(tmp_path / "deep.tif")
    shown = np.asarray(thumbnail(tmp_path / "deep.tif"))
    assert shown.min() == 0
    assert shown.max() > 240


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


def test_recognised_task_is_taken_up_unless_another_is_set(tmp_path: Path, class_folders: Make) -> None:
    for i in range(4):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(tmp_path / folder / f"{i}.png")
    taken = read_settings("default", [f"data.path={tmp_path}"])
    assert (taken.task, taken.loss.name) == ("segmentation", "dice_cross_entropy")
    assert taken.model.name == "lraspp_mobilenet_v3_large"
    assert read_settings("default", [f"data.path={tmp_path}", "model.name=fcn_resnet50"]).model.name == "fcn_resnet50"
    assert read_settings("default", [f"data.path={tmp_path}", "task=classification"]).task == "classification"
    folders = class_folders({"a": 2, "b": 2}, root=tmp_path / "classes")
    assert read_settings("default", [f"data.path={folders}"]).task == "classification"


@pytest.mark.parametrize(
    ("rows", "task"), [(("a|b", "b", "c|a", "a"), "multilabel"), (("0.5", "17", "3.2", "8"), "regression")]
)
def test_what_a_table_holds_is_learned_as_recognised_in_every_command(
    tmp_path: Path, rows: tuple[str, ...], task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    lines = [f"{i}.png,{rows[i % 4] if task == 'multilabel' else float(rows[i % 4]) + i}" for i in range(12)]
    for name in ("one.csv", "other.csv"):  # the table that is named is the one that is recognised
        (tmp_path / name).write_text("\n".join(["file,what", *lines]))
    assert answer(capsys, "recognise", tmp_path / "one.csv")["task"] == task
    assert answer(capsys, "check-data", tmp_path / "one.csv")["task"] == task
    assert read_settings("default", [f"data.path={tmp_path / 'one.csv'}"]).task == task
    assert read_settings("sample-numbers", [f"data.path={tmp_path / 'one.csv'}"]).task == "regression"
    chosen = [f"data.path={tmp_path / 'one.csv'}", "data.label_columns=what", "data.file_column=file"]
    assert read_settings("default", chosen).task == task


def test_check_plan_and_train_say_the_same_at_the_same_level(
    class_folders: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    root = class_folders({"a": 4, "b": 4}, below="train")
    class_folders({"A": 4}, below="val", root=root)
    assert main(["check-data", str(root)]) == 0
    checked = [line for line in capsys.readouterr().out.splitlines() if "absent from val" in line]
    settings = [f"data.path={root}", "model.name=shufflenet_v2_x0_5", "model.weights=none", "precision.dtype=fp32"]
    with torch.random.fork_rng(devices=[]):  # a network from random weights is drawn
        plan = answer(capsys, "plan", "default", *settings, "train.epochs=1", "data.image_size=32")
    printed: list[str] = []
    Console(printed.append)(RunStarted(start_step=0, total_steps=1, epochs=1, steps_per_epoch=1, facts=plan))
    planned = [line for line in plan_text(plan).splitlines() if "absent from val" in line]
    trained = [line for line in printed if "absent from val" in line]
    assert checked == trained == ["warning: 1 class is absent from val and left out of its means: b."]
    assert planned == ["warning     1 class is absent from val and left out of its means: b."]
    assert any(line.startswith("warning: Class folders of val are read under the names of train") for line in printed)


def test_a_column_that_was_chosen_is_recognised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    rows = [f"{i},{11 - i},{i * 1.5},{'ab'[i % 2]}" for i in range(12)]
    (tmp_path / "t.csv").write_text("\n".join([",number,weight,sex", *rows]))
    assert main(["recognise", str(tmp_path)]) == 2
    assert "data.file_column=number" in capsys.readouterr().err
    for column, task in (("weight", "regression"), ("sex", "classification")):
        options = ["data.file_column=number", f"data.label_columns={column}"]
        assert answer(capsys, "recognise", tmp_path, *options)["task"] == task
        assert read_settings("default", [f"data.path={tmp_path}", *options]).task == task


def test_a_task_that_is_typed_brings_its_loss_and_network_unless_they_are_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [f"data.path={tmp_path}", "task=regression"]
    assert read_settings("default", typed).loss.name == "mse"
    assert "For task=regression: loss.name=mse" in capsys.readouterr().err
    assert read_settings("default", [*typed, "loss.name=huber"]).loss.name == "huber"
    assert read_settings("default", ["task=segmentation"]).model.name == "lraspp_mobilenet_v3_large"


@pytest.mark.parametrize(
    ("masks", "image_folder", "mask_folder"),
    [("trainannot", "train", "trainannot"), ("odd", "pictures of cells", "odd"), ("gt", "imgs", "gt")],
)
def test_folders_of_images_and_masks_are_found_or_named(
    tmp_path: Path, masks: str, image_folder: str, mask_folder: str
) -> None:
    for i in range(4):
        for folder in (image_folder, masks):
            (tmp_path / folder).mkdir(exist_ok=True)
            pixels = np.random.default_rng(i).integers(0, 2, (16, 16), dtype=np.uint8) * (200 if folder != masks else 1)
            Image.fromarray(pixels).save(tmp_path / folder / f"{i}.png")
    named = {"image_folder": image_folder, "mask_folder": mask_folder}
    data = read_data(str(tmp_path), task="segmentation", val_fraction=0.25, seed=0, **named)
    assert sum(map(len, data.splits.values())) == 4
    if masks != "odd":
        assert glance_at(str(tmp_path)).task == "segmentation"


@pytest.mark.parametrize("kind", ["COCO", "YOLO", "VOC"])
def test_detection_data_is_named_and_read_as_labels(tmp_path: Path, kind: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "Annotations").mkdir()
    categories, images, boxes = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}], [], []
    for i in range(8):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.jpg")
        images.append({"id": i, "file_name": f"{i}.jpg", "width": 24, "height": 16})
        has = [k for k in (0, 1) if i % (k + 2) == 0]
        outline = [[2, 2, 8, 2, 8, 8, 2, 8]]
        boxes += [
            {"image_id": i, "category_id": (7, 9)[k], "bbox": [2, 2, 6, 6], "segmentation": outline, "area": 36 - k}
            for k in has
        ]
        names = "".join(f"<object><name>{('cat', 'dog')[k]}</name></object>" for k in has)
        if kind == "VOC":
            (tmp_path / "Annotations" / f"{i}.xml").write_text(f"<annotation>{names}</annotation>")
        if kind == "YOLO":
            (tmp_path / "labels" / f"{i}.txt").write_text("".join(f"{k} 0.5 0.5 0.2 0.2\n" for k in has))
    if kind == "YOLO":
        (tmp_path / "data.yaml").write_text("names: [cat, dog]\n")
    if kind == "COCO":
        tree = {"images": images, "annotations": boxes, "categories": categories}
        (tmp_path / "instances.json").write_text(json.dumps(tree))
    glance = glance_at(str(tmp_path))
    assert kind in glance.words or (kind == "VOC" and "Pascal VOC" in glance.words)
    assert "multilabel" in glance.tasks
    data = read_data(str(tmp_path), task="multilabel", val_fraction=0.25, seed=0)
    by_image = {r.image.stem: r.target for rows in data.splits.values() for r in rows}
    assert data.classes == ("cat", "dog")
    assert by_image == {str(i): (float(i % 2 == 0), float(i % 3 == 0)) for i in range(8)}
    with pytest.raises(DataError, match="do not serve task=classification"):
        read_data(str(tmp_path), task="classification", val_fraction=0.25, seed=0)
    if kind == "COCO":
        masks = read_data(str(tmp_path), task="segmentation", val_fraction=0.25, seed=0)
        assert masks.classes == ("background", "cat", "dog")
        record = next(r for rows in masks.splits.values() for r in rows if r.image.stem == "3")
        drawn = load_classes(record, (24, 16), masks.mask_coding)
        assert (drawn[5, 5], drawn[12, 20]) == (2, 0)


def test_nothing_recognised_is_an_error_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert main(["recognise", str(tmp_path)]) == 2
    assert "Nothing was recognised" in capsys.readouterr().err
    assert main(["check-data", str(tmp_path)]) == 2


@pytest.mark.parametrize("written", ["'{}'", '"{}"', " {} ", "file://{}", "{}/"])
def test_path_is_taken_as_people_paste_it(class_folders: Make, written: str) -> None:
    root = class_folders({"a b": 3, "b": 3})
    data = read_data(written.format(root), task="classification", val_fraction=0.3, seed=0)
    assert data.classes == ("a b", "b")
    with pytest.raises(DataError, match=r"C:\\data\\set is a path of Windows"):
        read_data("C:\\data\\set", task="classification", val_fraction=0.3, seed=0)


def test_names_that_the_terminal_cannot_show_end_no_command(class_folders: Make, tmp_path: Path) -> None:
    root = class_folders({"café": 3, "犬": 3})
    files = ("--thumbnails", str(tmp_path / "small")), ()
    for command, extra in zip(("check-data", "recognise"), files, strict=True):
        done = subprocess.run(
            [sys.executable, "-m", "fine_tuner", command, str(root), *extra], capture_output=True, check=False,
            env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
        assert rb"caf\xe9" in done.stdout
        assert rb"\u72ac" in done.stdout


def test_names_in_a_zip_of_windows_are_read_or_asked(tmp_path: Path) -> None:
    """Python marks such names as UTF-8, programs of Windows do not."""

    class Unmarked(zipfile.ZipInfo):
        encoding = "gbk"

        def _encodeFilenameFlags(self) -> tuple[bytes, int]:
            return self.filename.encode(self.encoding), 0

    def pack(encoding: str, names: tuple[str, str]) -> Path:
        Unmarked.encoding = encoding
        with zipfile.ZipFile(tmp_path / f"{encoding}.zip", "w") as archive:
            for number in range(6):
                content = io.BytesIO()
                pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(content, "PNG")
                archive.writestr(Unmarked(f"{names[number % 2]}/{number}.png"), content.getvalue())
        return tmp_path / f"{encoding}.zip"

    for encoding, names in (
        ("gbk", ("猫", "狗")), ("gbk", ("苹果", "香蕉")), ("cp932", ("いぬ", "ねこ")), ("cp437", ("café", "thé")),
        ("utf-8", ("猫", "狗")),
    ):  # fmt: skip
        data = read_data(str(pack(encoding, names)), task="classification", val_fraction=0.3, seed=0)
        assert set(data.classes) == set(names), encoding
        assert any(n.code == "encoding" for n in data.notices) == (encoding != "utf-8")
    given = read_data(str(pack("big5", ("貓", "狗"))), task="classification", val_fraction=0.3, seed=0, encoding="big5")
    assert set(given.classes) == {"貓", "狗"}


def draw(file: Path, seed: int) -> None:
    """A picture of its own, of four grey values."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 4, (12, 12, 3), dtype=np.uint8) * 60).save(file)


def draw_masks(root: Path, split: str, values: tuple[int, ...], first: int, count: int = 3) -> None:
    for i in range(first, first + count):
        draw(root / split / "images" / f"{i}.png", i)
        (root / split / "masks").mkdir(exist_ok=True)
        stripes = np.repeat(np.array(values, np.uint8), 12 // len(values))
        Image.fromarray(np.tile(stripes, (12, 1))).save(root / split / "masks" / f"{i}.png")


def nested(root: Path) -> None:
    for number, name in enumerate(("a/airfield", "a/alcove", "b/barn", "b/beach")):
        for i in range(6):
            draw(root / name / f"{i}.png", 10 * number + i)


def class_of_val_only(root: Path) -> None:
    for number, name in enumerate(("train/a", "train/b", "val/a", "val/b", "val/c")):
        for i in range(10):
            draw(root / name / f"{i}.png", 10 * number + i)


def mask_class_of_val_only(root: Path) -> None:
    draw_masks(root, "train", (0, 1), 0)
    draw_masks(root, "val", (0, 1, 2), 3)


def label_of_no_picture(root: Path) -> None:
    for i in range(12):
        draw(root / f"{i}.png", i)
    rows = [f"{i}.png,{i % 2},{int(i > 5)},0" for i in range(12)]
    (root / "labels.csv").write_text("\n".join(["file,red,round,never", *rows]))


def too_few(root: Path) -> None:
    draw(root / "a" / "1.png", 1)
    draw(root / "b" / "2.png", 2)


@pytest.mark.parametrize(
    ("make", "code", "exit_code", "settings"),
    [
        (nested, "nested_folders", 0, []),
        (class_of_val_only, "extra_class", 2, []),
        (mask_class_of_val_only, "absent_from_train", 0, []),
        (label_of_no_picture, "absent_from_train", 0, ["data.label_columns=red,round,never"]),
        (too_few, "unusable", 2, []),
    ],
)
def test_what_is_recognised_is_said_as_the_check_says_it(
    tmp_path: Path,
    make: Callable[[Path], None],
    code: str,
    exit_code: int,
    settings: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(tmp_path)
    recognised = answer(capsys, "recognise", tmp_path, *settings, code=exit_code)
    checked = answer(capsys, "check-data", tmp_path, *settings, code=exit_code)
    assert code in codes(recognised)
    by_pictures = {"imbalance", "few_images", "duplicates_within", "duplicates_across", "tiny"}
    assert recognised["findings"] == [f for f in checked["findings"] if f["code"] not in by_pictures]
    assert (recognised["words"], recognised["notices"]) == (checked["kind"], checked["notices"])
    assert (recognised["task"], recognised["can_train"]) == (checked["task"], checked["can_train"])
    assert main(["recognise", str(tmp_path), *settings]) == exit_code
    lines = capsys.readouterr().out.splitlines()
    assert f"{recognised['findings'][0]['level']}: {recognised['findings'][0]['text']}" in lines


@pytest.mark.parametrize("pictures", [(), ("1.png", "2.png"), ("cat/1.png",), ("train/cat/1.png", "val/cat/2.png")])
def test_what_holds_no_classes_is_said_in_one_sentence(
    tmp_path: Path, pictures: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dog").mkdir()
    for seed, name in enumerate(pictures):
        draw(tmp_path / name, seed)
    assert main(["recognise", str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith(("Nothing was recognised", f"{tmp_path}"))
    (finding,) = answer(capsys, "check-data", tmp_path, code=2)["findings"]
    with pytest.raises(DataError) as raised:
        read_data(str(tmp_path), task="classification", val_fraction=0.2, seed=0)
    assert said == finding["text"] == str(raised.value)


def test_many_masks_are_not_read_at_a_first_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_masks(tmp_path, "train", (0, 1), 0)
    draw_masks(tmp_path, "val", (0, 1, 2), 3)
    monkeypatch.setattr(first_look, "MOST_MASKS", 5)
    seen = answer(capsys, "recognise", tmp_path)
    assert (seen["task"], seen["findings"]) == ("segmentation", [])
    assert seen["notices"] == ["What 6 masks hold is not read at a first look: a check of the data and a plan say it."]
    answer(capsys, "check-data", tmp_path)
    assert "absent_from_train" in codes(answer(capsys, "recognise", tmp_path))  # what was read is remembered
