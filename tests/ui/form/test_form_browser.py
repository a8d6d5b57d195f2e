"""A walk through the set-up in a real browser: fields, errors, command, plan, networks, Train."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from fine_tuner.base.files import write_json
from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.environment import private_environment
from fine_tuner.ui.form.folders import Allowed
from tests.ui.canned import Canned, in_a_loop
from tests.ui.rig import serving

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("browser")]
READY = "document.querySelectorAll('.ft-stages li').length > 0"


@dataclass
class Walk:
    """A page of the app, and what it complained of."""

    page: Any
    canned: Canned
    complaints: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.text_content() or ""

    def until(self, condition: str) -> None:
        self.page.wait_for_function(condition, timeout=60_000)

    def until_text(self, selector: str, part: str) -> None:
        self.page.locator(selector).first.filter(has_text=part).wait_for(timeout=60_000, state="attached")

    def open(self, section: str) -> None:
        self.page.dispatch_event(f"#ft-section-{section} > button:not(.open)", "click")  # another may be scrolled to
        self.page.wait_for_selector(f"#ft-section-{section} .ft-field")

    def type(self, field_id: str, text: str) -> None:
        self.page.fill(f"#{field_id} input:not([type=checkbox])", text)

    def leave(self) -> None:
        self.page.keyboard.press("Tab")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walk")
    (folder / "pictures").mkdir()
    (folder / "one-class").mkdir()
    return folder


@pytest.fixture(scope="module")
def app_server(root):
    canned = Canned()
    with private_environment():
        from fine_tuner.ui.app import build_app

        allowed = Allowed(roots=(root,))
        with serving(in_a_loop(lambda: build_app(runs=root / "runs", allowed=allowed, ask=canned))) as server:
            server.canned = canned
            yield server


LOAD = """async (argv) => {
  const scripts = performance.getEntriesByType("resource").map((entry) => entry.name);
  (await import(scripts.find((name) => name.endsWith("/form.js")))).load(argv);
}"""


@pytest.fixture(scope="module")
def page(browser):
    """One for all tests: loading Gradio takes longer than most of them."""
    context = browser.new_context(
        viewport={"width": 1400, "height": 1000}, permissions=["clipboard-read", "clipboard-write"]
    )
    yield context.new_page()
    context.close()


@pytest.fixture
def walk(page, app_server):
    """As if for the first time here; at the end nothing must have been complained of or asked of another host."""
    page.goto(
        f"{app_server.address}/nothing-here"
    )  # away from a page whose last answer would be stored after the clearing
    page.evaluate("localStorage.clear()")
    walk = Walk(page, app_server.canned)
    listeners = {
        "console": lambda m: walk.complaints.append(m.text) if m.type in ("error", "warning") else None,
        "pageerror": lambda error: walk.complaints.append(str(error)),
        "request": lambda r: (
            None if r.url.startswith((app_server.address, "data:", "blob:")) else walk.complaints.append(r.url)
        ),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    page.set_viewport_size({"width": 1400, "height": 1000})
    page.goto(app_server.address)
    walk.until(READY)
    yield walk
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    assert walk.complaints == []


def test_the_first_page_is_complete_and_fits_one_screen(walk):
    assert walk.text(".ft-command") == "python -m fine_tuner train sample"
    assert walk.text(".ft-train") == "Train"
    assert "160 steps" in walk.text(".ft-line")
    assert walk.page.locator(".ft-section").count() >= 8
    assert walk.text("#ft-section-data .ft-value").startswith("built-in sample · 512")
    assert walk.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert walk.page.locator(".ft-train").bounding_box()["y"] < 1000
    assert walk.text(".ft-stages .ft-frozen .ft-stage-rate") == "frozen"


def test_devices_of_a_machine_with_several_are_ticked(walk):
    walk.open("run")
    walk.page.click("#ft-section-run .ft-more > button")
    walk.type("ft-seed", "22")
    boxes = walk.page.locator("#ft-devices .ft-devices input")
    walk.until("document.querySelectorAll('#ft-devices .ft-devices input').length === 3")
    assert [box.is_checked() for box in boxes.all()] == [True, False, False], "auto is the first"
    boxes.nth(2).check()
    walk.until_text(".ft-command", "devices=0,2")
    assert walk.page.input_value("#ft-devices input[type=text]") == "0,2"
    walk.type("ft-devices", "all")
    walk.until("[...document.querySelectorAll('#ft-devices .ft-devices input')].every((box) => box.checked)")
    walk.type("ft-seed", "23")
    walk.until("!document.querySelector('#ft-devices .ft-devices')")


def test_what_is_typed_before_the_scripts_have_come_stays(walk):
    walk.page.evaluate(LOAD, ["sample", "optim.momentum=0.5", "optim.name=SGD"])  # set last time: it is put back
    walk.until_text(".ft-command", "momentum=0.5")
    held = []
    walk.page.route("**/page.js", lambda route: held.append(route))
    walk.page.reload(wait_until="commit")
    walk.open("run")
    walk.type("ft-train-epochs", "60")
    held[0].continue_()
    walk.page.unroute("**/page.js")
    walk.until_text(".ft-command", "train.epochs=60")
    assert "momentum=0.5" in walk.text(".ft-command")
    assert walk.page.input_value("#ft-train-epochs input") == "60"


def test_what_is_typed_the_moment_a_field_appears_stays(walk):
    """Gradio gives a field that it draws late the value it had before once more, a moment after it is there."""
    walk.page.evaluate(LOAD, ["sample", "optim.momentum=0.5", "optim.name=SGD"])
    walk.until_text(".ft-command", "momentum=0.5")
    walk.page.evaluate("""() => {
      const seen = new MutationObserver(() => {
        const input = document.querySelector("#ft-optim-lr input");
        if (!input) return;
        seen.disconnect();
        input.focus();
        input.value = "7e-3";
        input.dispatchEvent(new Event("input", { bubbles: true }));
      });
      seen.observe(document.body, { childList: true, subtree: true });
    }""")
    walk.open("optim")
    walk.until_text(".ft-command", "optim.lr=0.007")
    assert walk.page.input_value("#ft-optim-lr input") == "7e-3"
    walk.page.evaluate(LOAD, ["sample"])  # and a preset chosen after it wins
    walk.until("!document.querySelector('.ft-command').textContent.includes('optim.lr')")
    walk.until("document.querySelector('#ft-optim-lr input').value !== '7e-3'")


def test_keys_pressed_while_an_answer_is_under_way_are_kept(walk):
    walk.open("optim")
    walk.page.evaluate("""() => {
      const { fetch } = window;
      window.fetch = async (...what) => {
        const answer = await fetch(...what);
        const isForm = String(what[0].url ?? what[0]).includes("gradio_api/run");
        if (isForm) await new Promise((done) => setTimeout(done, 700));
        return answer;
      };
    }""")
    walk.page.evaluate(LOAD, ["sample", "optim.lr=5e-3"])  # fills every field
    walk.page.wait_for_timeout(250)
    walk.type("ft-optim-lr", "9e-3")
    walk.until_text(".ft-command", "optim.lr=0.009")
    walk.page.wait_for_timeout(1000)
    assert walk.page.input_value("#ft-optim-lr input") == "9e-3"
    assert "optim.lr=0.009" in walk.text(".ft-command")


def test_a_wrong_value_is_told_at_the_field_once_it_is_left_and_until_it_is_right(walk):
    walk.open("optim")
    walk.type("ft-optim-lr", "abc")
    walk.until("document.querySelector('.ft-copy').disabled")  # the answer is here, and the error waits
    assert walk.page.locator(".ft-error").count() == 0
    walk.leave()
    walk.until_text("#ft-optim-lr .ft-error", "'abc' is not a number > 0")
    assert walk.page.get_attribute("#ft-optim-lr input", "aria-invalid") == "true"
    assert walk.text("#ft-section-optim .ft-value") == "needs attention"
    walk.page.click(".ft-train")
    walk.until_text(".ft-message", "Nothing was started")
    walk.type("ft-optim-lr", "2e-3")
    walk.until("document.querySelector('.ft-error') === null")
    walk.until_text(".ft-command", "optim.lr=0.002")


def test_another_optimizer_shows_its_fields_and_changes_the_command(walk):
    walk.open("optim")
    assert walk.page.locator("#ft-optim-momentum-SGD").count() == 0
    walk.page.click("#ft-optim-name input")
    walk.page.get_by_role("option", name="SGD", exact=True).click()
    walk.page.wait_for_selector("#ft-optim-momentum-SGD")
    walk.until_text(".ft-command", "optim.name=SGD")
    assert "momentum" in walk.text("#ft-optim-name .info-text")
    walk.until_text("#ft-section-optim .ft-value", "SGD")


def test_the_command_can_be_copied(walk):
    walk.open("run")
    walk.page.click("#ft-section-run .ft-more > button")
    walk.type("ft-title", "it's mine")
    walk.until_text(".ft-command", "mine")
    walk.page.click(".ft-copy")
    walk.until_text(".ft-copy", "Copied")
    assert walk.page.evaluate("navigator.clipboard.readText()") == walk.text(".ft-command")
    assert walk.text(".ft-command") == """python -m fine_tuner train sample 'title=it'"'"'s mine'"""


def test_what_is_deleted_and_pasted_counts_as_typed(walk):
    walk.open("run")
    walk.page.click("#ft-train-epochs input")
    walk.page.keyboard.press("Control+A")
    walk.page.keyboard.press("Backspace")
    walk.page.evaluate("navigator.clipboard.writeText('7')")
    walk.page.keyboard.press("Control+V")
    walk.until_text(".ft-command", "train.epochs=7")


def test_a_preset_fills_the_form_and_a_reload_keeps_what_was_set(walk):
    walk.page.click(".ft-presets-fold > summary")
    walk.page.click("[data-preset='sample-pretrained']")
    walk.until_text(".ft-command", "train sample-pretrained")
    assert walk.page.get_attribute("[data-preset='sample-pretrained']", "aria-pressed") == "true"
    walk.open("run")
    walk.type("ft-seed", "7")
    walk.until_text(".ft-command", "train sample-pretrained seed=7")
    walk.page.reload()
    walk.until_text(".ft-command", "train sample-pretrained seed=7")
    walk.open("run")
    assert walk.page.input_value("#ft-seed input") == "7"


def test_your_folder_leads_to_the_path_and_what_the_check_finds_stands_there(walk, root):
    walk.page.click("[data-preset='default']")
    walk.until("document.activeElement.closest('#ft-data-path') !== null")
    walk.type("ft-data-path", str(root / "one-class"))
    walk.leave()
    walk.until_text("#ft-data-path .ft-error", "one class only")
    walk.page.click(".ft-train")
    walk.until_text(".ft-message", "Nothing was started")
    assert RunStore(root / "runs").ids() == []
    walk.type("ft-data-path", str(root / "pictures"))
    walk.until("document.querySelector('.ft-error') === null")


def test_folders_are_suggested_while_a_path_is_typed(walk, root):
    walk.open("data")
    walk.type("ft-data-path", f"{root}/")
    walk.until("document.querySelectorAll('#ft-folders option').length >= 2")
    offered = walk.page.eval_on_selector_all("#ft-folders option", "options => options.map((o) => o.value)")
    assert {f"{root}/pictures", f"{root}/one-class"} <= set(offered)


def test_networks_that_suit_device_and_data_are_recommended_with_what_has_to_be_downloaded(walk):
    walk.open("model")
    walk.until("document.querySelectorAll('[data-recommended]').length === 2")
    assert walk.page.locator("[data-recommended]").all_text_contents() == [
        "Small and fast: shufflenet_v2_x0_5, 5 MiB to download",
        "Most accurate that fits: mobilenet_v2, 14 MiB to download",
    ]
    walk.page.click("[data-recommended=accurate]")
    walk.until("document.querySelector('.ft-command').textContent.includes('model.name=mobilenet_v2')")
    walk.until("document.querySelector('[data-recommended=accurate]').getAttribute('aria-pressed') === 'true'")


def test_a_network_is_found_by_typing_and_chosen_by_the_keyboard(walk):
    walk.open("model")
    walk.page.click("#ft-network")
    walk.until("document.querySelectorAll('.ft-network-row').length === 4")
    walk.page.keyboard.type("resnet")
    walk.until("document.querySelectorAll('.ft-network-row').length === 2")
    walk.page.keyboard.press("ArrowDown")
    walk.page.keyboard.press("ArrowDown")
    walk.page.keyboard.press("Enter")
    walk.until_text(".ft-command", "model.name=resnet50")
    assert walk.page.get_attribute("#ft-network", "aria-expanded") == "false"
    walk.page.click("#ft-model-weights input")
    walk.page.get_by_role("option", name="default: IMAGENET1K_V1 · 80.9 % · 97.8 MiB to download").wait_for()


def test_enter_in_a_field_starts_nothing(walk, root):
    walk.open("run")
    walk.type("ft-train-epochs", "0")
    walk.page.keyboard.press("Enter")
    walk.until_text("#ft-train-epochs .ft-error", "0 is not a whole number")
    walk.type("ft-train-epochs", "5")
    walk.page.keyboard.press("Enter")
    walk.until_text(".ft-command", "train.epochs=5")
    assert RunStore(root / "runs").ids() == []


def test_on_a_phone_nothing_is_wider_than_the_screen(walk):
    walk.page.set_viewport_size({"width": 390, "height": 844})
    for section in ("data", "model", "optim"):
        walk.open(section)
    assert walk.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert walk.page.locator(".ft-train").is_visible()


def test_the_theme_is_switched_and_kept(walk):
    walk.page.click("#ft-theme")
    assert walk.page.evaluate("document.body.classList.contains('dark')")
    walk.page.reload()
    walk.until(READY)
    assert walk.page.evaluate("document.body.classList.contains('dark')")


def test_the_trial_says_what_to_do_first_and_the_list_that_it_is_empty(walk):
    walk.page.click("#ft-tab-try-button")
    walk.until_text(".ft-answer", "No run has weights yet")
    walk.page.click("#ft-tab-runs-button")
    walk.until_text(".ft-empty", "No runs yet")


def test_a_run_of_the_list_fills_the_set_up_and_what_is_started_then_names_it(walk, root):
    run = RunStore(root / "runs").create(replace(Settings(), "optim.lr=0.0123", "train.epochs=7"), argv=["train"])
    write_json(run.exit, {"code": None, "cancelled": True, "attempt": 1})
    walk.page.click("#ft-tab-runs-button")
    walk.page.click(f"[data-focus='more {run.id}']")
    walk.page.click(".ft-run-actions >> text=Clone with changes")
    walk.until("document.querySelector('.ft-command').textContent.includes('optim.lr=0.0123')")
    assert "train.epochs=7" in walk.text(".ft-command")
    assert walk.page.is_visible("#ft-train-button")
    parent = "JSON.parse(FTStamp(['{}'])[0]).parent"
    assert walk.page.evaluate(parent) == run.id
    walk.page.click("[data-preset=sample]")
    assert walk.page.evaluate(parent) is None, "a preset has no parent"


def test_the_memory_forecast_stacks_its_parts_and_what_does_not_fit_is_told_at_the_field(walk):
    walk.until("document.querySelectorAll('.ft-mem-stack').length === 2")
    shares = walk.page.eval_on_selector_all(
        ".ft-mem-stack:first-of-type i", "all => all.map((i) => parseFloat(i.style.width))"
    )
    assert sum(shares) == pytest.approx(100, abs=0.5), "the larger of the two rows fills the line"
    assert "activations" in walk.text(".ft-mem-legend")
    walk.open("run")
    walk.type("ft-train-batch-size", "9999")
    walk.leave()
    walk.until("document.querySelector('.ft-card-memory').dataset.fits === 'false'")
    walk.until_text("#ft-train-batch-size", "Choose at most 512")
    walk.type("ft-train-batch-size", "16")
    walk.leave()
    walk.until("document.querySelector('.ft-card-memory').dataset.fits === 'true'")


def test_compared_precisions_are_drawn_and_set_by_one_click(walk):
    walk.open("precision")
    walk.until_text("#ft-precisions .ft-support", "instructions for bf16. Chosen: fp32 (as set).")
    walk.page.click("#ft-precisions .ft-find:not([hidden])")
    walk.until("document.querySelectorAll('#ft-precisions [data-bar=speed]').length === 2")
    assert "out of memory" in walk.text("#ft-precisions .ft-measure-rows")
    walk.page.click("#ft-precisions [data-use]")
    walk.until_text("#ft-section-precision", "half (bf16) · channels last")
    walk.until_text("#ft-launch", "precision.channels_last=on")
