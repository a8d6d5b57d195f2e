"""Tables beside images: what is recognised, what is corrected, and every wrong cell by line and column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from fine_tuner.base.errors import DataError
from fine_tuner.data.notices import MendableError, Notice
from fine_tuner.data.readers.image_index import ImageIndex
from fine_tuner.data.readers.recognise import look_into
from fine_tuner.data.records import DataSplits

Read = Callable[..., DataSplits]
Make = Callable[..., Path]


@pytest.fixture
def table(class_folders: Make, tmp_path: Path) -> Callable[..., Path]:
    """``make("file,label\\n...")`` writes the table beside ``images/p000.png`` to ``p011.png``."""
    root = class_folders({"images": 12}, root=tmp_path / "set")
    for image in list((root / "images").iterdir()):
        image.rename(image.with_name(image.name.replace("images", "p")))

    def make(text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
        (root / name).write_text(text, encoding=encoding)
        return root

    return make


def rows(*labels: object, header: str = "file,label") -> str:
    return "\n".join([header, *(f"p{i:03d}.png,{label}" for i, label in enumerate(labels))]) + "\n"


def all_records(data: DataSplits) -> dict[str, object]:
    return {r.image.name: r.target for records in data.splits.values() for r in records}


def test_text_column_is_classes(table: Make, read: Read) -> None:
    root = table(rows(*["cat", "dog", "dog", "cat"] * 3))
    data = read(root)
    assert look_into(root).likely_task() == "classification"
    assert data.classes == ("cat", "dog")
    assert all_records(data)["p001.png"] == 1
    assert data.kind == "table labels.csv with 2 classes in column 'label'"
    assert {s: len(r) for s, r in data.splits.items()} == {"train": 8, "val": 4}


@pytest.mark.parametrize(
    ("text", "name", "encoding"),
    [
        (rows(*["a", "b"] * 6).replace(",", ";"), "labels.csv", "utf-8"),
        (rows(*["a", "b"] * 6).replace(",", "\t"), "labels.tsv", "utf-8"),
        (rows(*["a", "b"] * 6).replace(",", "|"), "data.csv", "utf-8-sig"),
        (rows(*["a", "b"] * 6).replace("\n", "\r\n"), "x.csv", "utf-16"),
        (rows(*['"a"', '"b"'] * 6), "x.csv", "utf-8"),
        (rows(*["a", "b"] * 6).replace("p0", "images/p0"), "x.csv", "utf-8"),
        (rows(*["a", "b"] * 6).replace("p0", "./images\\p0"), "x.csv", "utf-8"),
        (rows(*["a", "b"] * 6).replace(".png", ""), "x.csv", "utf-8"),
        (rows(*["a", "b"] * 6).replace("file,", "Whatever,"), "x.csv", "utf-8"),
    ],
    ids=["semicolon", "tab", "bar + BOM", "utf-16 + CRLF", "quotes", "paths", "backslashes", "no suffix", "own name"],
)
def test_any_usual_way_to_write_a_table(table: Make, read: Read, text: str, name: str, encoding: str) -> None:
    data = read(table(text, name, encoding))
    assert data.classes == ("a", "b")
    assert len(all_records(data)) == 12


def test_accents_of_a_spreadsheet(table: Make, read: Read) -> None:
    assert read(table(rows(*["café", "thé"] * 6), encoding="cp1252")).classes == ("café", "thé")


def test_numbered_classes_are_in_the_order_of_their_numbers(table: Make, read: Read) -> None:
    assert read(table(rows(*[10, 9, 2] * 4))).classes == ("2", "9", "10")


def test_split_and_group_columns(table: Make, read: Read) -> None:
    lines = [f"p{i:03d}.png,{'ab'[i % 2]},{['train', 'Valid', 'test'][i // 4]}" for i in range(12)]
    data = read(table("\n".join(["file,label,split", *lines])))
    assert {s: len(r) for s, r in data.splits.items()} == {"train": 4, "val": 4, "test": 4}
    assert data.kind.endswith("split by column 'split'")
    unused = read(table("\n".join(["file,label,split", *lines])), split_column="none", label_columns="label")
    assert set(unused.splits) == {"train", "val"}


def test_images_of_a_group_stay_in_one_split(table: Make, read: Read) -> None:
    lines = [f"p{i:03d}.png,{'ab'[i % 2]},patient{i // 2}" for i in range(12)]
    root = table("\n".join(["file,label,patient", *lines]))
    hint = read(root)
    assert any("data.group_column=patient" in str(notice) for notice in hint.notices)
    data = read(root, group_column="patient", val_fraction=0.34)
    groups = [{r.group for r in data.splits[s]} for s in ("train", "val")]
    assert not groups[0] & groups[1]
    assert [len(g) for g in groups] == [4, 2]


def test_one_table_per_split(table: Make, read: Read) -> None:
    lines = rows(*["a", "b"] * 6).splitlines(keepends=True)
    table("".join(lines[:9]), "train.csv")
    root = table("".join([lines[0], *lines[9:]]), "val.csv")
    assert {s: len(r) for s, r in read(root).splits.items()} == {"train": 8, "val": 4}


def test_numbers_are_a_regression(table: Make, read: Read) -> None:
    root = table(rows(*[f"{i * 0.5},{i}" for i in range(12)], header="file,weight,height"))
    assert look_into(root).likely_task() == "regression"
    data = read(root, task="regression")
    assert (data.target_names, data.classes, data.num_outputs) == (("weight", "height"), (), 2)
    assert all_records(data)["p003.png"] == (1.5, 3.0)
    one = read(root, task="regression", label_columns="height")
    assert all_records(one)["p003.png"] == (3.0,)
    mean, sd = one.target_mean_and_sd()[0]
    values = [r.target[0] for r in one.splits["train"]]
    assert mean == pytest.approx(sum(values) / len(values))
    assert sd == pytest.approx((sum(v * v for v in values) / len(values) - mean**2) ** 0.5)


def test_decimal_commas_of_a_spreadsheet(table: Make, read: Read) -> None:
    data = read(table(rows(*[f"{i},5" for i in range(12)], header="file;x").replace("png,", "png;")), task="regression")
    assert all_records(data)["p003.png"] == (3.5,)


def test_columns_of_0_and_1_are_labels(table: Make, read: Read) -> None:
    root = table(rows(*[f"{i % 2},{(i + 1) % 3 > 0:d},no" for i in range(12)], header="file,cat,dog,bird"))
    assert look_into(root).likely_task() == "multilabel"
    data = read(root, task="multilabel", label_columns="cat, dog, bird")
    assert data.classes == ("cat", "dog", "bird")
    assert all_records(data)["p001.png"] == (1.0, 1.0, 0.0)
    assert sum(map(sum, (data.class_counts("train"), data.class_counts("val")))) == 6 + 8


def test_several_labels_in_one_cell(table: Make, read: Read) -> None:
    root = table(rows(*["cat|dog", "cat", "", "dog|bird"] * 3, header="file,tags"))
    assert look_into(root).likely_task() == "multilabel"
    data = read(root, task="multilabel")
    assert data.classes == ("bird", "cat", "dog")
    assert all_records(data)["p000.png"] == (0.0, 1.0, 1.0)
    assert all_records(data)["p002.png"] == (0.0, 0.0, 0.0)


def test_names_with_blanks_and_commas_are_not_several_labels(table: Make, read: Read) -> None:
    root = table(rows(*["Great Dane", '"tench, Tinca tinca"', "Great Pyrenees"] * 4))
    assert look_into(root).likely_task() == "classification"
    assert read(root).classes == ("Great Dane", "Great Pyrenees", "tench, Tinca tinca")


def test_one_hot_columns_are_classes(table: Make, read: Read) -> None:
    root = table(rows(*["1,0,0", "0,1,0", "0,0,1"] * 4, header="image,MEL,NV,BCC"))
    assert look_into(root).likely_task() == "classification"
    data = read(root)
    assert data.classes == ("MEL", "NV", "BCC")
    assert all_records(data)["p004.png"] == 1


def test_the_table_itself_may_be_named(table: Make, read: Read) -> None:
    table(rows(*["a", "b"] * 6), "one.csv")
    root = table(rows(*["x", "y"] * 6), "two.csv")
    assert read(root / "two.csv").classes == ("x", "y")
    with pytest.raises(DataError, match=r"several tables \(one\.csv, two\.csv\)\. Give the one to use as data\.path"):
        read(root)


def test_class_folders_come_before_a_table_unless_wanted(class_folders: Make, read: Read) -> None:
    root = class_folders({"a": 4, "b": 4})
    lines = [f"{p.relative_to(root)},{'xy'[i % 2]}" for i, p in enumerate(sorted(root.rglob("*.png")))]
    (root / "labels.csv").write_text("\n".join(["file,label", *lines]))
    data = read(root)
    assert data.classes == ("a", "b")
    assert any("labels.csv is not used" in str(notice) for notice in data.notices)
    assert read(root, layout="table").classes == ("x", "y")


def test_unlisted_images_are_counted(table: Make, read: Read) -> None:
    assert Notice("2 images not in the table ignored.") in read(table(rows(*["a", "b"] * 5))).notices


def test_same_name_in_two_folders_is_told_apart_by_folder_or_split(class_folders: Make, read: Read) -> None:
    root = class_folders({"train": 4, "val": 4})
    for split in ("train", "val"):
        for i, image in enumerate(sorted((root / split).iterdir())):
            image.rename(image.with_name(f"{i}.png"))
    lines = [f"{i}.png,{'ab'[i % 2]},{split}" for split in ("train", "val") for i in range(4)]
    (root / "labels.csv").write_text("\n".join(["file,label,split", *lines]))
    data = read(root)
    assert {r.image.parent.name for r in data.splits["val"]} == {"val"}
    assert {s: len(r) for s, r in data.splits.items()} == {"train": 4, "val": 4}


# ------------------------------------------------------------------ wrong
@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        (
            rows("a", "", *["b", "a"] * 5),
            "classification",
            r"line 3, column 'label': the cell has no label\.",
        ),
        (
            rows(1, "many", *[2] * 10),
            "regression",
            r"line 3, column 'label': 'many' is not a number\. Correct the data",
        ),
        (rows(1, "", *[2] * 10), "regression", r"line 3, column 'label': the cell has no number\."),
        (rows(1, "inf", *[2] * 10), "regression", r"line 3, column 'label': 'inf' is not a number\."),
        (
            rows("a", "b", *["b", "a"] * 5).replace("p001", "q9"),
            "classification",
            r"line 3.*there is no image 'q9\.png' below",
        ),
        (
            rows("b", *["b", "a"] * 3) + "p000.png,a\n",
            "classification",
            r"line 9.*p000\.png was listed before",
        ),
    ],
)
def test_wrong_cell_is_named_or_left_out_by_choice(table: Make, read: Read, text: str, task: str, message: str) -> None:
    root = table(text)
    with pytest.raises(DataError, match=message):
        read(root, task=task)
    usable = read(root, task=task, on_missing="skip")
    assert any("left out, such as:" in str(notice) for notice in usable.notices)


def test_neither_0_nor_1(table: Make, read: Read) -> None:
    text = rows(*["1,0"] * 6, "1,maybe", header="file,cat,dog")
    with pytest.raises(DataError, match=r"line 8, column 'dog': 'maybe' is neither 0 nor 1"):
        read(table(text), task="multilabel", label_columns="cat,dog")


def test_unknown_columns_get_a_suggestion(table: Make, read: Read) -> None:
    root = table(rows(*["a", "b"] * 6))
    for setting in ("file_column", "split_column", "group_column", "label_columns"):
        with pytest.raises(
            DataError, match=rf"data\.{setting}: .* no column 'lable'\. Did you mean 'label'\? Its columns"
        ):
            read(root, **{setting: "lable"})


def test_no_column_names_images(table: Make, read: Read) -> None:
    with pytest.raises(DataError, match=r"No column of .* names image files .*first cell: 'x'; 12 images found\)"):
        read(table("file,label\nx,a\ny,b\n"))


def test_no_plain_label(table: Make, read: Read) -> None:
    text = "file,one,two\n" + "".join(f"p{i:03d}.png,{'ab'[i % 2]},{'xy'[i % 2]}\n" for i in range(12))
    assert look_into(table(text)).likely_task() == "classification"
    with pytest.raises(MendableError, match=r"Several columns of .* could be the label: 'one', 'two'\.") as asked:
        read(table(text))
    assert [r.settings for r in asked.value.remedies] == [{"data.label_columns": "one"}, {"data.label_columns": "two"}]
    text_of_none = "file,one,two\n" + "".join(f"p{i:03d}.png,a{i},b{i}\n" for i in range(12))
    with pytest.raises(
        DataError, match=r"No column of .* is plainly the label \(columns left: one, two\)\. Name it in"
    ):
        read(table(text_of_none))
    table(text)
    assert read(table(text), label_columns="two").classes == ("x", "y")
    with pytest.raises(DataError, match=r"Classification learns one column, data\.label_columns names 2"):
        read(table(text), label_columns="one,two")


def test_column_of_a_few_remarks_is_not_the_label(table: Make, read: Read) -> None:
    """Whatever the columns are called, the filled one is learned."""
    lines = (f"p{i:03d}.png,{'bad' if i == 3 else 'odd' if i < 3 else ''},,{'ab'[i % 2]}\n" for i in range(12))
    root = table("file,seen,more,kind\n" + "".join(lines))
    assert look_into(root).likely_task() == "classification"
    assert read(root).kind == "table labels.csv with 2 classes in column 'kind'"


def test_only_cells_without_a_label_are_named(table: Make, read: Read) -> None:
    root = table(rows(*["a", "b", ""] * 4))
    with pytest.raises(DataError) as told:
        read(root)
    lines = [
        number for number in range(2, 14) if f"line {number}, column 'label': the cell has no label" in str(told.value)
    ]
    assert str(told.value).startswith("4 ")
    assert lines == [4, 7, 10, 13]
    assert set(all_records(read(root, on_missing="skip"))) == {f"p{i:03d}.png" for i in range(12) if i % 3 < 2}


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_a_row_ends_where_csv_ends_it(table: Make, read: Read, odd: str) -> None:
    data = read(table(rows(*[f"a{odd}a", f'"b{odd}\nb"'] * 6)))
    assert data.classes == (f"a{odd}a", f"b{odd}\nb")
    assert sum(map(len, data.splits.values())) == 12


def test_bad_word_in_the_split_column(table: Make, read: Read) -> None:
    text = "file,label,part\n" + "".join(f"p{i:03d}.png,{'ab'[i % 2]},holdout\n" for i in range(12))
    with pytest.raises(DataError, match=r"line 2, column 'part': 'holdout' is no split\. Write train, val or test"):
        read(table(text), split_column="part", label_columns="label")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty\. Write a header"),
        (b"file,label\n", r"has a header but no rows"),
        (b"file,file\na,b\n", r"two columns named 'file'"),
        (b"file,label\np000.png,a,b\n", r"line 2 has 3 cells, the header 2\. Put text that holds the separator"),
        (b"PK\x03\x04\0\0\0\0", r"is not a text file\. Save the table as CSV"),
    ],
)
def test_broken_table_is_named(table: Make, read: Read, content: bytes, message: str) -> None:
    root = table("")
    (root / "labels.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"labels\.csv.*{message}"):
        read(root)


def test_table_cannot_reach_out_of_its_folder(table: Make, read: Read, tmp_path: Path, class_folders: Make) -> None:
    secret = class_folders({"secret": 1}, root=tmp_path / "elsewhere") / "secret" / "secret000.png"
    text = rows(*["a", "b"] * 6)
    for reach in (str(secret), "../elsewhere/secret/secret000.png"):
        with pytest.raises(DataError, match=r"line 14.*there is no image"):
            read(table(f"{text}{reach},a\n"))


def test_task_that_needs_a_table_says_so(class_folders: Make, read: Read, tmp_path: Path) -> None:
    root = class_folders({"a": 3, "b": 3})
    with pytest.raises(DataError, match=r"holds class folders, which do not serve task=regression\. Choose task=class"):
        read(root, task="regression")
    with pytest.raises(DataError, match=r"has no table \(CSV or TSV\), which task=multilabel needs\. Add one"):
        read(root / "a", task="multilabel")
    with pytest.raises(DataError, match=r"There is no table \(CSV or TSV\) in"):
        read(root, layout="table")


def test_real_blood_cell_counts_are_recognised(real_data: Path, read: Read) -> None:
    root = real_data / "bccd_count"
    assert look_into(root).likely_task() == "regression"
    data = read(root, task="regression", label_columns="rbc")
    assert {s: len(r) for s, r in data.splits.items()} == {"train": 205, "val": 87, "test": 72}
    mean, sd = data.target_mean_and_sd()[0]
    assert 11 < mean < 12
    assert 3.5 < sd < 4.5


def test_a_class_that_only_val_has_is_named_and_left_out_as_with_folders(tmp_path: Path, read: Read) -> None:
    rows = ["file,split,a,b,c"]
    for i in range(12):
        Image.new("L", (8, 8), 20 * i).save(tmp_path / f"{i}.png")
        is_val = i >= 8
        cells = ("val" if is_val else "train", i % 2, int(not i % 2 and not is_val), int(not i % 2 and is_val))
        rows.append(",".join(map(str, (f"{i}.png", *cells))))
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    with pytest.raises(DataError, match=r"8\.png is of class 'c', which train does not have(.|\n)*on_missing=skip"):
        read(tmp_path)
    data = read(tmp_path, on_missing="skip")
    assert data.classes == ("a", "b")
    assert {split: len(rows) for split, rows in data.splits.items()} == {"train": 8, "val": 2}
    assert any("2 images of a class that train lacks left out" in str(n) for n in data.notices)


def test_table_of_one_class_is_refused(table: Make, read: Read) -> None:
    with pytest.raises(DataError, match=r"labels\.csv has one class only \('a'\).*data\.label_columns\.$"):
        read(table(rows(*"a" * 12)))
    half_empty = table(rows(*["a", ""] * 6))
    with pytest.raises(DataError, match=r"one class only \('a'\).*line 3, column 'label': the cell has no label\."):
        read(half_empty, on_missing="skip")


def test_paths_that_lead_out_and_in_again_name_images_of_the_folder(table: Make, read: Read) -> None:
    names = ["../data/images/p{:03d}.png", "images/../images/p{:03d}.png", "../../p{:03d}.png"]
    lines = [f"{names[i % 3].format(i)},{'ab'[i % 2]}" for i in range(12)]
    data = read(table("\n".join(["file,label", *lines, ""])))
    assert sorted(r.image.stem for several in data.splits.values() for r in several) == [f"p{i:03d}" for i in range(12)]


def test_labels_that_never_change_are_said_and_can_be_learned(table: Make, read: Read) -> None:
    lines = [f"p{i:03d}.png,{i % 2},{int(i > 5)},0" for i in range(12)]
    root = table("\n".join(["file,red,round,never", *lines, ""]))
    data = read(root, task="multilabel")
    (said,) = [n for n in data.notices if "same in every row: 'never'" in n.text]
    assert data.classes == ("red", "round")
    settings = {name.removeprefix("data."): value for name, value in said.remedies[0].settings.items()}
    learned = read(root, task="multilabel", **settings)
    assert learned.classes == ("red", "round", "never")
    assert "1 label is absent from train and cannot be learned: never." in [n.text for n in learned.notices]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_its_mark_is_read_and_said(table: Make, read: Read, encoding: str) -> None:
    root = table("")
    (root / "labels.csv").write_bytes(rows(*["\u732b", "\u72ac"] * 6).encode(encoding))
    data = read(root)
    assert set(data.classes) == {"\u732b", "\u72ac"}
    assert any("labels.csv was read as UTF-16" in notice.text for notice in data.notices)


@pytest.mark.parametrize("folder", ["{split}2017", "{split}", "images_{split}"])
def test_among_equal_names_the_image_of_the_split_is_meant(tmp_path: Path, folder: str) -> None:
    files = [tmp_path / folder.format(split=split) / "1.jpg" for split in ("train", "val")]
    index = ImageIndex(tmp_path, files)
    assert [index.find("1.jpg", prefer=split) for split in ("train", "val")] == files
    assert index.find("1.jpg") is None
    assert index.why_not("1.jpg") == f"there are several images '1.jpg' below {tmp_path}"
    assert index.why_not("2.jpg") == f"there is no image '2.jpg' below {tmp_path}"
