"""Links that lead out of what a page may read are refused wherever data is read; at a terminal nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from fine_tuner.base.errors import DataError
from fine_tuner.data.files.folders import ROOTS_VARIABLE, roots_text
from fine_tuner.data.files.images import open_image
from fine_tuner.data.readers.recognise import glance_at
from fine_tuner.data.sources import read_data

OUT = "leads out of the folders that this page may read"


def pictures(folder: Path, count: int = 3) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", (8, 8), (80 * i, 20, 2 * ord(folder.name[0]))).save(folder / f"{i}.png")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``data`` may be read, ``outside`` may not."""
    pictures(tmp_path / "data" / "set" / "a")
    pictures(tmp_path / "data" / "elsewhere" / "b")
    pictures(tmp_path / "outside" / "b")
    monkeypatch.setenv(ROOTS_VARIABLE, roots_text([tmp_path / "data"]))
    return tmp_path


def read(path: Path, task: str = "classification"):
    return read_data(str(path), task=task, val_fraction=0.34, seed=0)


def _class_folder(place: Path) -> None:
    (place / "data/set/b").symlink_to(place / "outside/b")


def _deeper_folder(place: Path) -> None:
    pictures(place / "data/set/b")
    (place / "data/set/b/more").symlink_to(place / "outside/b")


def _image(place: Path) -> None:
    pictures(place / "data/set/b")
    (place / "data/set/b/x.png").symlink_to(place / "outside/b/0.png")


def _chain(place: Path) -> None:
    (place / "data/way").symlink_to(place / "outside")
    (place / "data/set/b").symlink_to(place / "data/way/b")


def _root(place: Path) -> None:
    (place / "data/set/a").rename(place / "outside/a")
    (place / "data/set").rmdir()
    (place / "data/set").symlink_to(place / "outside")


def _table(place: Path) -> None:
    (place / "outside/labels.csv").write_text("file,label\n0.png,x\n1.png,y\n2.png,x\n")
    (place / "data/set/labels.csv").symlink_to(place / "outside/labels.csv")


@pytest.mark.parametrize("lead_out", [_class_folder, _deeper_folder, _image, _chain, _root, _table])
def test_a_link_out_of_what_may_be_read_is_refused(place, monkeypatch, lead_out):
    lead_out(place)
    task = "multilabel" if lead_out is _table else "classification"
    with pytest.raises(DataError, match=OUT):
        read(place / "data/set", task)
    monkeypatch.setenv(ROOTS_VARIABLE, roots_text([place / "data", place / "outside"]))
    assert read(place / "data/set", task)
    monkeypatch.delenv(ROOTS_VARIABLE)
    assert read(place / "data/set", task), "a person at a terminal may read what they may read"


def test_a_first_look_tells_no_names_from_outside(place):
    _class_folder(place)
    with pytest.raises(DataError, match=OUT):
        glance_at(str(place / "data/set"))


def test_a_link_that_stays_inside_is_followed(place):
    (place / "data/set/b").symlink_to(place / "data/elsewhere/b")
    assert read(place / "data/set").classes == ("a", "b")


def test_no_picture_outside_is_opened_whoever_names_it(place):
    """As a run's list of splits, put into its folder, would."""
    with pytest.raises(DataError, match=OUT), open_image(place / "outside/b/0.png"):
        pass
