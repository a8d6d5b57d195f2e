"""The Data section in a real browser: what was recognised, a check whose remedy is clicked, a zip that is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fine_tuner.ui.environment import private_environment
from fine_tuner.ui.form.folders import Allowed
from tests.ui.canned import Canned, in_a_loop
from tests.ui.rig import serving

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("browser")]
HOSTILE = "<img src=x onerror=document.title=1>.png"
READY = "document.querySelectorAll('.ft-stages li').length > 0"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "masks").mkdir()
    for number, name in enumerate(("cats", "dogs")):
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(12):
            pixels = np.random.default_rng(100 * number + i).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((32, 32)).save(folder / "pictures" / name / f"{i}.png")
    (folder / "pictures" / "cats" / HOSTILE).write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def page(browser, root):
    with pytest.MonkeyPatch.context() as patch, private_environment():
        patch.setenv("FINE_TUNER_CACHE", str(root / "cache"))
        from fine_tuner.ui.app import build_app

        allowed = Allowed(roots=(root,))
        with serving(in_a_loop(lambda: build_app(runs=root / "runs", allowed=allowed, ask=Canned()))) as server:
            context = browser.new_context(viewport={"width": 1400, "height": 1000})
            page = context.new_page()
            page.goto(server.address)
            page.wait_for_function(READY, timeout=30_000)
            page.click("#ft-section-data > button:not(.open)")
            page.wait_for_selector("#ft-data-path input")
            yield page
            context.close()


def until(page, selector: str, text: str) -> None:
    page.locator(selector).first.filter(has_text=text).wait_for(timeout=20_000, state="attached")


def give(page, path: Path) -> None:
    page.fill("#ft-data-path input", str(path))
    page.keyboard.press("Tab")


def test_a_click_on_the_remedy_of_a_finding_mends_the_settings(page, root):
    give(page, root / "pictures")
    until(page, ".ft-finding[data-level='error']", "1 image that cannot be read")  # checked unasked: it is little
    assert HOSTILE in page.text_content(".ft-examples")
    assert page.title() == "Fine Tuner"  # a name is text, never markup
    assert page.locator(".ft-check-result img").count() == 0
    assert page.locator(".ft-balance li").count() == 2
    page.click(".ft-remedies button")
    until(page, ".ft-command", "data.on_unreadable=skip")
    until(page, ".ft-finding[data-level='note']", "dealt with as chosen")
    assert page.locator(".ft-finding[data-level='error']").count() == 0


def test_a_folder_that_cannot_be_used_is_said_once_and_no_plan_of_other_data_stands_beside_it(page, root):
    (root / "videos").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (root / "videos" / name).write_bytes(b"no picture")
    assert page.is_visible(".ft-card-network"), "of the data before"
    give(page, root / "videos")
    until(page, "#ft-data-path .ft-error", "it holds 2 files, none of them a picture (.mp4).")
    page.wait_for_function("!document.querySelector('.ft-plan-body').checkVisibility()")
    page.locator(".ft-check button").first.filter(has_text="again").wait_for(timeout=20_000)  # the check has ended
    page.wait_for_timeout(200)
    said = """[...document.querySelectorAll('p, li, span')].filter((one) => one.checkVisibility()
      && !one.querySelector('p, li, span:not(:empty)') && one.textContent.includes('none of them a picture')).length"""
    assert page.evaluate(said) == 1
    assert "0 images" not in page.inner_text(".ft-check")
    give(page, root / "pictures")
    page.wait_for_function("document.querySelector('.ft-plan-body').checkVisibility()")


def test_the_task_follows_the_data_until_the_user_chooses_one(page, root):
    give(page, root / "masks")
    until(page, ".ft-recognised", "Task set to segmentation.")
    assert page.input_value("#ft-task input") == "segmentation"
    until(page, "#ft-section-model .ft-value", "lraspp_mobilenet_v3_large")
    page.click("#ft-task input")
    page.click("#ft-task [role=option]:has-text('regression')")
    until(page, ".ft-recognised", "It looks made for segmentation.")
    page.click(".ft-recognised button")
    page.wait_for_function("document.querySelector('#ft-task input').value === 'segmentation'", timeout=20_000)


def test_a_hostile_zip_is_refused_in_words_and_a_sound_one_becomes_the_data(page, root, tmp_path):
    for name, member in (("bad", "../evil.txt"), ("good", "cats/1.png")):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr(member, b"x")
    before = page.input_value("#ft-data-path input")
    page.set_input_files("#ft-data input[type=file]", str(tmp_path / "bad.zip"))
    until(page, "#ft-data .ft-find-problem", "bad.zip holds '../evil.txt', which reaches out of its folder.")
    assert page.input_value("#ft-data-path input") == before
    page.set_input_files("#ft-data input[type=file]", str(tmp_path / "good.zip"))
    until(page, ".ft-command", "good.zip")
    assert Path(page.input_value("#ft-data-path input")).is_relative_to(root / "cache" / "uploads")


def drop(page, selector: str, *paths: Path) -> None:
    """What a person's file manager drops there: by the browser's own protocol, since scripts cannot make folders."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    session = page.context.new_cdp_session(page)
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **place})
    session.detach()


def unzipped(page) -> dict[str, bytes]:
    with zipfile.ZipFile(page.input_value("#ft-data-path input")) as archive:
        assert archive.testzip() is None, "every checksum is right"
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_folder_or_pictures_that_are_dropped_become_the_data(page, root, tmp_path):
    place = "#ft-section-data .ft-drop-hint"
    folder = tmp_path / "größe & co"
    for name in ("train/cats/1.png", "train/dogs/ä 2.png", ".hidden/x", "val/cats/3.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 1000)
    drop(page, place, folder)
    until(page, ".ft-command", "größe")
    kept = {name: name.encode() * 1000 for name in ("train/cats/1.png", "train/dogs/ä 2.png", "val/cats/3.png")}
    assert unzipped(page) == kept
    assert Path(page.input_value("#ft-data-path input")).is_relative_to(root / "cache" / "uploads")

    drop(page, place, folder / "train" / "cats" / "1.png", folder / "val")
    until(page, ".ft-command", "pictures.zip")
    assert set(unzipped(page)) == {"1.png", "val/cats/3.png"}
    drop(page, place, folder / ".hidden")
    until(page, "#ft-data .ft-find-problem", "holds no files")
    assert set(unzipped(page)) == {"1.png", "val/cats/3.png"}, "as it was"


def test_a_set_of_torchvision_is_chosen_with_its_folder(page):
    page.click("text=torchvision's data sets")
    page.select_option("#ft-set", "OxfordIIITPet")
    until(page, ".ft-sets", "7,349 images, 37 classes, about 774 MiB to download. For classification and segmentation.")
    page.fill("#ft-set-root", "/no/such/place")
    page.click(".ft-sets button")
    until(page, "#ft-data-path .ft-error", "no file or folder '/no/such/place' below")
    assert page.input_value("#ft-data-path input") == "torchvision:OxfordIIITPet@/no/such/place"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
