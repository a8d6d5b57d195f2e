"""A loss of one's own in a real browser: template, Check, a mistake and its line; the curve beside the one before."""

from __future__ import annotations

import pytest
from PIL import Image

from fine_tuner.ui.environment import private_environment
from fine_tuner.ui.form.folders import Allowed
from tests.ui.canned import Canned, in_a_loop
from tests.ui.rig import serving

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("browser")]
NAMES = {"loss": "my_loss.py", "second_loss": "my_second_loss.py"}
REPORT = 90_000  # ms: a check starts a process that loads torch


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loss")
    for name, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
        for pictures in ("pictures", "others"):
            (folder / pictures / name).mkdir(parents=True)
            for number in range(6):
                picture = Image.new("RGB", (32, 32), colour)
                picture.putpixel((number, number), (255, 255, 255))
                picture.save(folder / pictures / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def server(root):
    with pytest.MonkeyPatch.context() as patch, private_environment():
        from fine_tuner.ui.app import build_app

        patch.setenv("FINE_TUNER_CACHE", str(root / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        allowed = Allowed(roots=(root,))
        with serving(in_a_loop(lambda: build_app(runs=root / "runs", allowed=allowed, ask=Canned()))) as server:
            yield server


@pytest.fixture
def page(browser, server):
    """The Loss section, opened; nothing may be complained of."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page, complaints = context.new_page(), []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(server.address)
    page.wait_for_function("document.querySelectorAll('.ft-stages li').length > 0", timeout=20_000)
    page.click("#ft-section-loss > button")
    page.wait_for_selector("#ft-loss-name input")
    yield page
    context.close()
    assert complaints == []


def choose(page, name: str, field: str = "ft-loss-name") -> None:
    page.click(f"#{field} input")
    page.get_by_role("option", name=name, exact=True).click()


def put(page, values: dict[str, object]) -> None:
    """Values for some settings, by dotted path."""
    page.evaluate(
        """async (values) => {
          const scripts = performance.getEntriesByType("resource").map((entry) => entry.name);
          (await import(scripts.find((name) => name.endsWith("/form.js")))).set(values);
        }""",
        values,
    )


def settings(page, root) -> None:
    """The tiny folder and a small network from random weights."""
    page.evaluate(
        """async (path) => {
          const scripts = performance.getEntriesByType("resource").map((entry) => entry.name);
          const form = await import(scripts.find((name) => name.endsWith("/form.js")));
          form.load(["default", `data.path=${path}`, "data.image_size=32", "data.num_workers=0", "devices=cpu",
                     "model.name=shufflenet_v2_x0_5", "model.weights=none"]);
        }""",
        str(root / "pictures"),
    )
    page.locator(".ft-command").filter(has_text="pictures").wait_for(state="attached")


def test_the_curve_is_drawn_over_that_of_the_loss_before(page):
    page.wait_for_selector(".ft-loss-chart .main-svg", timeout=20_000)
    assert page.text_content(".ft-loss-formula") == "cross_entropy of p"
    choose(page, "focal")
    page.locator(".ft-loss-formula").filter(has_text="focal of p").wait_for()
    page.locator(".ft-loss-chart").filter(has_text="cross entropy, loss").wait_for()
    assert page.get_attribute(".ft-loss-source a", "href") == "https://example.org/paper"
    assert not page.is_visible("#ft-loss-editor")
    page.fill("#ft-loss-gamma-focal input", "3")  # the same loss with another parameter: over itself as it was
    page.locator(".ft-loss-chart").filter(has_text="before, loss").wait_for()


def test_both_losses_of_a_sum_can_be_one_s_own(page, root):
    settings(page, root)
    choose(page, "custom")
    page.wait_for_selector("#ft-loss-editor .cm-content")
    assert page.locator("#ft-loss-file-custom .ft-error").count() == 0  # whoever has just chosen it is about to write
    assert not page.is_visible("#ft-loss-which")
    choose(page, "custom", "ft-second-loss-name")
    page.wait_for_selector("#ft-loss-which")
    page.fill("#ft-second-loss-weight input", "0.25")
    texts = {"loss": ("MSE, as a function", "def my_loss"), "second_loss": ("Dice, as a class", "class MyLoss")}
    for section, (template, word) in texts.items():
        page.select_option("#ft-loss-which", section)
        page.wait_for_function(f"document.querySelector('#ft-loss-path').value === '{NAMES[section]}'")
        page.select_option("#ft-loss-template", label=template)
        page.locator("#ft-loss-editor .cm-content").filter(has_text=word).wait_for()
        page.get_by_role("button", name="Save", exact=True).click()
        page.locator(".ft-loss-status").filter(has_text="Saved.").wait_for()
    page.locator(".ft-command").filter(has_text="my_second_loss.py").wait_for(state="attached")
    command = page.text_content(".ft-command")
    for part in ("loss.file=", "second_loss.file=", "my_second_loss.py", "second_loss.weight=0.25"):
        assert part in command
    page.select_option("#ft-loss-which", "loss")
    page.locator("#ft-loss-editor .cm-content").filter(has_text="def my_loss").wait_for()


def test_a_template_passes_its_check_and_a_mistake_is_found_at_its_line(page, root):
    settings(page, root)
    choose(page, "custom")
    page.wait_for_selector("#ft-loss-editor .cm-content")
    page.select_option("#ft-loss-template", label="MSE, as a function")
    page.locator("#ft-loss-editor .cm-content").filter(has_text="def my_loss").wait_for()
    page.click(".ft-loss-go")
    page.wait_for_selector('.ft-loss-verdict[data-ok="true"]', timeout=REPORT)
    assert "Passed" in page.text_content(".ft-loss-verdict")
    assert page.locator(".ft-loss-values tbody tr").count() == 3
    assert "your data and network" in page.text_content(".ft-loss-report")
    assert "loss.file=" in page.text_content(".ft-command")
    page.wait_for_selector(".ft-loss-chart .main-svg")  # the check has drawn the curve too

    line = page.locator("#ft-loss-editor .cm-line").filter(has_text="return")
    line.click()
    page.keyboard.press("End")
    page.keyboard.type(".detach()  # <img src=x onerror=alert(1)>")
    page.click(".ft-loss-go")
    page.wait_for_selector('.ft-loss-verdict[data-ok="false"]', timeout=REPORT)
    finding = page.locator(".ft-loss-findings li").first
    number = next(
        i for i, text in enumerate((root / "runs/losses/my_loss.py").read_text().splitlines(), 1) if "return" in text
    )
    assert f"line {number}" in finding.text_content()
    assert finding.text_content().startswith("Error")
    assert "<img src=x" in finding.locator("code").text_content()
    assert page.locator(".ft-loss-report img").count() == 0

    page.click("#ft-train-button")  # a failed check keeps Train from starting, and the field says the way on
    page.locator("#ft-loss-file-custom .ft-error").filter(has_text="Train without a passed check").wait_for()

    put(page, {"optim.lr": 0.5})  # is not what the check depends on
    page.locator(".ft-command").filter(has_text="optim.lr=0.5").wait_for(state="attached")
    assert page.is_visible(".ft-loss-verdict")
    put(page, {"data.path": str(root / "others")})
    page.wait_for_selector(".ft-loss-verdict", state="detached")
    assert "Press Check again" in page.text_content(".ft-loss-status")


def test_a_check_can_be_cancelled(page, root):
    settings(page, root)
    choose(page, "custom")
    page.wait_for_selector("#ft-loss-editor .cm-content")
    page.select_option("#ft-loss-template", label="Dice, as a class")
    page.locator("#ft-loss-editor .cm-content").filter(has_text="class MyLoss").wait_for()
    page.fill("#ft-loss-path", "other.py")
    page.click(".ft-loss-go")
    page.get_by_role("button", name="Cancel").click()
    page.locator(".ft-loss-status").filter(has_text="Cancelled.").wait_for(timeout=REPORT)
    assert page.locator(".ft-loss-verdict").count() == 0
