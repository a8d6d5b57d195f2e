"""Losses as people bring them, in a real browser: paste, Check, Train, and the curve moves; nothing is edited."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from fine_tuner.cli.main import main
from fine_tuner.ui.environment import private_environment
from fine_tuner.ui.form.folders import Allowed
from tests.ui.canned import in_a_loop
from tests.ui.rig import serving

pytestmark = [pytest.mark.ui, pytest.mark.slow, pytest.mark.xdist_group("browser")]
LONG = 180_000  # ms: a check, and the first step of a run, each start a process that loads torch
MSE = "def my_loss(output, target):\n    return torch.mean((output - target) ** 2)\n"
DICE = """\
class DiceLoss(nn.Module):
    def __init__(self, weight=None, size_average=True):
        super(DiceLoss, self).__init__()

    def forward(self, inputs, targets, smooth=1):
        # turn scores into probabilities
        inputs = F.sigmoid(inputs)

        inputs = inputs.view(-1)
        targets = targets.view(-1)

        intersection = (inputs * targets).sum()
        dice = (2.*intersection + smooth)/(inputs.sum() + targets.sum() + smooth)

        return 1 - dice
"""
ENTROPY = """\
def bce_loss(output, mask):
    return F.binary_cross_entropy_with_logits(output, mask.unsqueeze(1).float())
"""
FOCAL = """\
class FocalLoss(nn.Module):
    def __init__(self, gamma=2, alpha: float = 0.25, reduction='mean'):
        super().__init__()
        self.gamma, self.alpha, self.reduction = gamma, alpha, reduction
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs, targets, smooth=0.0):
        ce = F.cross_entropy(inputs, targets, reduction="none", label_smoothing=smooth)
        pt = torch.exp(-ce)
        loss = self.alpha * (1 - pt) ** self.gamma * ce * torch.exp(-self.weight) + self.weight
        return loss.mean() if self.reduction == "mean" else loss
"""
BROUGHT = {
    "MSE on class folders": (
        MSE,
        "pictures",
        ["task=classification", "data.image_size=32", "model.name=shufflenet_v2_x0_5", "train.epochs=12"],
        "given probabilities and one-hot targets",
    ),
    "Dice on masks": (
        DICE,
        "shapes",
        ["task=segmentation", "data.image_size=64", "model.name=lraspp_mobilenet_v3_large"],
        "given the logit of class 1 and a 0/1 target",
    ),
}
POINTS = (
    """document.querySelector("[data-chart=loss] .ftc-canvas")?.data?.find((t) => t.name === "loss.train")?.x?.length"""
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brought")
    for kind in ("pictures/red", "pictures/blue", "shapes/images", "shapes/masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(12):
        for name, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
            picture = Image.new("RGB", (32, 32), colour)
            picture.putpixel((number, number), (255, 255, 255))
            picture.save(folder / "pictures" / name / f"{number}.png")
        box = (2 * number, number, 2 * number + 24, number + 24)
        for kind, mode, colours in (("images", "RGB", ((30, 30, 30), (200, 180, 40))), ("masks", "L", (0, 1))):
            picture = Image.new(mode, (64, 64), colours[0])
            ImageDraw.Draw(picture).rectangle(box, fill=colours[1])
            picture.save(folder / "shapes" / kind / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def server(root):
    """The whole app, with its own processes."""
    with pytest.MonkeyPatch.context() as patch, private_environment():
        from fine_tuner.ui.app import build_app

        patch.setenv("FINE_TUNER_CACHE", str(root / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        make = lambda: build_app(runs=root / "runs", allowed=Allowed(roots=(root,)))  # noqa: E731
        with serving(in_a_loop(make)) as server:
            yield server


@pytest.fixture
def page(browser, server):
    """The Loss section, opened; nothing may be complained of."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page, complaints = context.new_page(), []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(server.address)
    page.wait_for_function("document.querySelectorAll('.ft-stages li').length > 0", timeout=LONG)
    page.click("#ft-section-loss > button")
    yield page
    context.close()
    assert complaints == []


def set_up(page, folder, settings) -> None:
    """Have the form show these settings, and the editor for the loss."""
    page.evaluate(
        """async (argv) => {
          const scripts = performance.getEntriesByType("resource").map((entry) => entry.name);
          (await import(scripts.find((name) => name.endsWith("/form.js")))).load(argv);
        }""",
        ["default", f"data.path={folder}", "data.num_workers=0", "devices=cpu", "model.weights=none",
         "train.epochs=2", "train.batch_size=2", *settings],
    )  # fmt: skip
    page.locator(".ft-command").filter(has_text=str(folder)).wait_for(state="attached")
    choose_custom(page, "ft-loss-name")
    page.wait_for_selector("#ft-loss-editor .cm-content")
    page.wait_for_selector(".ft-loss-forms li[data-inputs=foreground_prob]", timeout=LONG)  # before there is any code
    assert "Check finds out" in page.text_content(".ft-loss-given")


def choose_custom(page, name: str) -> None:
    page.click(f"#{name} input")
    page.get_by_role("option", name="custom", exact=True).click()


def paste_and_check(page, text: str, given: str) -> None:
    """Paste code and check it; it passes in the form that is told, and its values rise from right to wrong."""
    page.click("#ft-loss-editor .cm-content")
    page.evaluate("(text) => navigator.clipboard.writeText(text)", text)
    page.keyboard.press("Control+V")
    page.locator("#ft-loss-editor .cm-line").filter(has_text=text.splitlines()[-1].strip()).wait_for()
    page.click(".ft-loss-go")
    page.wait_for_selector(".ft-loss-verdict", timeout=LONG)
    report = page.inner_text(".ft-loss-report")
    assert report.startswith("Passed"), report
    assert given in report
    assert "Error" not in report
    answers = page.locator(".ft-loss-answers dd").all_inner_texts()
    assert len(answers) == 3
    assert float(answers[0]) < float(answers[1]) < float(answers[2])


def train(page, runs):
    """Press Train, see the curve move to its end; the folder of the run."""
    known = {run.name for run in runs.glob("2*")}
    page.get_by_role("button", name="Train", exact=True).click(timeout=LONG)
    page.wait_for_function("document.querySelector('.ftl-status')?.textContent.startsWith('Running')", timeout=LONG)
    page.wait_for_function(f"({POINTS} ?? 0) > 2", timeout=LONG)
    seen = page.evaluate(POINTS)
    page.wait_for_function(f"{POINTS} > {seen}", timeout=LONG)  # it moves
    page.wait_for_function("document.querySelector('.ftl-status')?.textContent === 'Completed'", timeout=LONG)
    (run,) = {run.name for run in runs.glob("2*")} - known
    return runs / run


@pytest.mark.parametrize("name", BROUGHT)
def test_a_pasted_loss_is_checked_and_trains_as_it_is(name: str, page, root) -> None:
    text, folder, settings, given = BROUGHT[name]
    set_up(page, root / folder, settings)
    paste_and_check(page, text, given)
    page.locator(".ft-command").filter(has_text="loss.name=custom").wait_for(state="attached")
    run = train(page, root / "runs")
    assert (run / "code" / "loss.py").read_text().rstrip() == text.rstrip()


def test_two_pasted_losses_are_checked_and_train_as_one(page, root) -> None:
    set_up(page, root / "shapes", BROUGHT["Dice on masks"][2])
    paste_and_check(page, DICE, "given the logit of class 1 and a 0/1 target: ")
    choose_custom(page, "ft-second-loss-name")
    page.fill("#ft-second-loss-weight input", "0.5")
    page.keyboard.press("Tab")
    page.wait_for_selector("#ft-loss-which")
    page.select_option("#ft-loss-which", "second_loss")
    page.wait_for_selector(".ft-loss-forms li[data-inputs=foreground_logit_squeezed]", timeout=LONG)
    assert not page.locator(".ft-loss-verdict").count()
    paste_and_check(page, ENTROPY, "given the logit of class 1 and a 0/1 target without its channel: ")
    for word in ("my_second_loss.py", "second_loss.weight=0.5"):
        page.locator(".ft-command").filter(has_text=word).wait_for(state="attached")
    run = train(page, root / "runs")
    for section, text in (("loss", DICE), ("second_loss", ENTROPY)):
        assert (run / "code" / f"{section}.py").read_text().rstrip() == text.rstrip()


def test_the_arguments_of_a_pasted_loss_are_fields_that_reach_command_run_and_script(page, root) -> None:
    set_up(page, root / "pictures", BROUGHT["MSE on class folders"][2])
    paste_and_check(page, FOCAL, "given logits and class numbers")
    fields = page.locator(".ft-loss-arguments input, .ft-loss-arguments select")
    names = fields.evaluate_all("(all) => all.map((one) => one.dataset.argument)")
    assert names == ["gamma", "alpha", "reduction", "smooth"]
    assert fields.evaluate_all("(all) => all.map((one) => one.placeholder)") == ["2", "0.25", "'mean'", "0.0"]
    for name, value in (("gamma", "3"), ("smooth", "0.1")):
        page.fill(f"#ft-loss-argument-{name}", value)
        page.keyboard.press("Tab")
        page.locator(".ft-command").filter(has_text=f"{name}={value}").wait_for(state="attached")
    page.wait_for_selector(".ft-loss-verdict", state="detached")  # it was of other arguments
    page.click(".ft-loss-go")
    page.wait_for_selector(".ft-loss-verdict", timeout=LONG)
    run = train(page, root / "runs")
    assert "gamma=3, smooth=0.1" in (run / "config.yaml").read_text()
    assert main(["export", str(run), "--format", "script", "--output", str(root / "script.py")]) == 0
    script = (root / "script.py").read_text()
    assert "gamma=3" in script
    assert "smooth=0.1" in script
