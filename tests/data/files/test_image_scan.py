"""Two pictures are the same to the eye only if their details are: what all pictures of a set share is no evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance
from sklearn.datasets import load_digits

from fine_tuner.base.progress import no_progress
from fine_tuner.data.files.folders import ROOTS_VARIABLE
from fine_tuner.data.files.image_scan import find_twins, image_sizes, scan_images
from fine_tuner.data.files.scan_cache import facts_about


def twins_of(folder: Path) -> list[tuple[str, str]]:
    paths = sorted(folder.iterdir())
    found = find_twins(paths, scan_images(paths, no_progress), no_progress)
    return [(paths[pair.first].name, paths[pair.second].name) for pair in found]


@pytest.mark.parametrize("size", [28, 96])
def test_handwritten_digits_of_one_class_are_no_copies(tmp_path: Path, size: int) -> None:
    digits = load_digits()
    for number, values in enumerate(digits.images[:400]):
        grey = Image.fromarray((values * (255 / 16)).astype(np.uint8))
        grey.resize((size, size), Image.Resampling.BICUBIC).save(tmp_path / f"{number:03d}.png")
    assert twins_of(tmp_path) == []


def test_slanted_strokes_are_no_copies_and_equal_files_are(tmp_path: Path) -> None:
    """As handwritten ones, 28 px and grey: little more than a place and a slant."""
    rng = np.random.default_rng(0)
    for number in range(100):
        large = Image.new("L", (1792, 1792))  # so large that no two are equal by chance
        slant, length = 640 * rng.normal(0.15, 0.2), rng.uniform(560, 680)
        ends = (896 + slant, 896 - length, 896 - slant, 896 + length)
        ImageDraw.Draw(large).line(ends, fill=255, width=int(rng.uniform(144, 216)))
        large.resize((28, 28), Image.Resampling.BOX).save(tmp_path / f"{number:03d}.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "007.png").read_bytes())
    assert twins_of(tmp_path) == [("007.png", "copy.png")]


def test_one_object_at_one_place_on_other_ground_is_no_copy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(40):
        picture = Image.fromarray(rng.integers(0, 60, (96, 96, 3), np.uint8))
        ImageDraw.Draw(picture).rectangle((30, 30, 66, 66), fill=((220, 40, 40), (40, 220, 40))[number % 2])
        picture.save(tmp_path / f"{number:02d}.png")
    assert twins_of(tmp_path) == []


def test_photographs_saved_again_smaller_or_brighter_are_copies(tmp_path: Path, real_data: Path) -> None:
    photographs = sorted((real_data / "hymenoptera" / "val" / "bees").glob("*.jpg"))[:40]
    for number, path in enumerate(photographs):
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        half = picture.resize((picture.width // 2, picture.height // 2))
        changed = half if number % 2 else ImageEnhance.Brightness(picture).enhance(1.2)
        picture.save(tmp_path / f"{number:02d}.png", compress_level=1)
        changed.save(tmp_path / f"{number:02d}_again.jpg", quality=30 if number % 2 else 75)
    found = twins_of(tmp_path)
    assert len(found) >= 38, "all but a few that are bleached by it"
    assert all(other == one.replace(".png", "_again.jpg") for one, other in found)


# ------------------------------------------------------------------ what is remembered
def test_sizes_are_remembered_until_a_file_changes(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.new("RGB", (20, 10)).save(path)
    heard = []
    assert set(image_sizes(paths, thoroughly=False, progress=lambda *told: heard.append(told)).values()) == {(20, 10)}
    assert heard == [("Reading image headers", 3, 3)]
    Image.new("RGB", (7, 9)).save(paths[1])
    heard.clear()
    assert image_sizes(paths, thoroughly=False, progress=no_progress)[paths[1]] == (7, 9)
    image_sizes(paths, thoroughly=False, progress=lambda *told: heard.append(told))
    assert heard == [], "nothing was opened again"


def test_what_could_not_be_read_is_tried_again(tmp_path):
    """A permission is given, or a disk mounted, without any change of the file."""
    path, answers = tmp_path / "a", [{"error": "Permission denied"}, {"size": [1, 1]}]
    path.write_bytes(b"x")
    for answer in answers:
        assert facts_about([path], lambda _, a=answer: a, kind="t", what="", progress=no_progress) == [answer]
    assert facts_about([path], lambda _: {}, kind="t", what="", progress=no_progress) == answers[-1:]


def test_what_a_terminal_remembered_tells_a_page_nothing_of_files_outside(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    Image.new("RGB", (20, 10)).save(tmp_path / "secret.png")
    link = tmp_path / "data" / "link.png"
    link.symlink_to(tmp_path / "secret.png")
    for thoroughly in (False, True):
        assert image_sizes([link], thoroughly=thoroughly, progress=no_progress) == {link: (20, 10)}
    monkeypatch.setenv(ROOTS_VARIABLE, str(tmp_path / "data"))
    for thoroughly in (False, True):
        assert "leads out of the folders" in image_sizes([link], thoroughly=thoroughly, progress=no_progress)[link]
