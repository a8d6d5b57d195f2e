"""Parts of the live panel in a real browser: marks, tables of charts, wishes, what a reader hears meanwhile."""

from __future__ import annotations

import json

import pytest

from fine_tuner.config.metric_specs import MAE
from fine_tuner.runs.log.events import EvalMetrics, Mark, TimeSpent
from fine_tuner.ui import static

pytestmark = pytest.mark.ui
MARKS = """[...document.querySelectorAll('[data-chart=lr] .ftc-mark')].map((mark) =>
    [mark.className.replace('ftc-mark', '').trim(), mark.title])"""


def test_a_mark_of_what_would_have_been_is_a_ghost_and_the_best_epoch_is_marked_on_every_chart(visit, run):
    run.mark("unfreeze", "everything trains")
    run.writer.write(Mark(step=32, label="early stop", text="patience 2 would have ended here", is_ghost=True))
    seen = visit(f"?run={run.folder.id}")
    best = f"{100 * max(b for b in _accuracies(run)):.1f} %"
    assert dict(seen.page.evaluate(MARKS)) == {
        "": "unfreeze: everything trains",
        "ftc-ghost": "Not done, only marked: early stop: patience 2 would have ended here",
        "ftc-best": f"best: {best}, epoch {1 + _accuracies(run).index(max(_accuracies(run)))}",
    }
    seen.page.click("[data-part=events] > summary")
    assert "Not done, only marked: early stop" in seen.page.inner_text(".ftl-events")


def test_where_the_time_goes_is_said_as_soon_as_it_is_known_and_followed(visit, run):
    seen = visit(f"?run={run.folder.id}&open=time")
    assert not seen.page.is_visible("[data-part=time]")
    run.writer.write(TimeSpent(step=40, seconds={"data": 4.0, "forward": 3.0, "backward": 3.0}))
    seen.refresh()
    seen.page.locator("[data-part=time]").wait_for()
    shares = seen.page.locator(".ftl-time-list > li").all_inner_texts()
    assert [text.replace("\u00a0", " ") for text in shares] == [
        "waiting for pictures 40.0 %", "forward pass 30.0 %", "backward pass 30.0 %"
    ]  # fmt: skip
    said = seen.page.inner_text("[data-part=time] p")
    assert said.startswith("40 % of the time the device waits for pictures. More loading processes")
    run.writer.write(TimeSpent(step=40, seconds={"forward": 10.0}))
    seen.refresh()
    seen.page.get_by_text("forward pass 65.0").wait_for()


def _accuracies(run):
    lines = [json.loads(line) for line in run.folder.events.read_text().splitlines()]
    return [line["metrics"]["val/accuracy"] for line in lines if line["kind"] == "eval_metrics"]


def test_a_chart_has_a_table_of_its_points_that_follows_and_is_in_the_address(visit, run):
    seen = visit(f"?run={run.folder.id}&smooth=0")
    seen.page.click("[data-chart=loss] .ftc-tool >> text=Table")
    cells = "[...document.querySelectorAll('[data-chart=loss] .ftc-table tbody tr')].map((r) => r.cells[0].textContent)"
    assert seen.page.evaluate(cells) == [str(step) for step in range(40, 0, -1)], "newest first"
    run.train(2)
    seen.refresh()
    assert seen.page.evaluate(cells)[:2] == ["42", "41"]
    assert "table=loss" in seen.query()
    heads = seen.page.locator("[data-chart=loss] .ftc-table th[scope=col]").all_inner_texts()
    assert heads == ["Step", "Epoch", "Time", "loss", "validation loss"]


def test_curves_of_the_loss_scale_are_charts_of_their_own_only_where_there_are_any(visit, run, make_run):
    seen = visit(f"?run={run.folder.id}&open=more")
    assert seen.page.locator("[data-chart='train_loss_scale']").count() == 0
    half = make_run("half")
    half.begin()
    half.train(5, **{"train/loss_scale": 65536.0, "train/skipped_steps": 1.0})
    seen = visit(f"?run={half.folder.id}&open=more")
    for chart, title in (("train_loss_scale", "Loss scale"), ("train_skipped_steps", "Skipped steps")):
        seen.page.wait_for_selector(f"[data-chart='{chart}']")
        assert seen.page.inner_text(f"[data-chart='{chart}'] .ftc-title").lower() == title.lower()


def test_the_band_says_what_one_image_is_worth(visit, run):
    seen = visit(f"?run={run.folder.id}")
    note = seen.page.inner_text("[data-chart=metric] .ftc-note")
    assert note.replace("\u00a0", " ") == "1 image = 0.65 points · 95 % band for 153 images"


def test_errors_of_numbers_are_drawn_and_read_in_their_own_unit_not_in_percent(visit, make_run):
    run = make_run("numbers", best_metric="val/mae", best_direction="min", metrics={"val/mae": MAE.facts()})
    run.begin()
    run.train(15)
    for epoch, error in ((1, 4.5), (2, 2.03)):
        metrics = {"val/loss": error, "val/mae": error, "val/rmse": error + 1, "val/r2": 0.5}
        run.writer.write(EvalMetrics(step=16 * epoch, epoch=epoch, split="val", metrics=metrics, seconds=0.4))
    seen = visit(f"?run={run.folder.id}")
    chart = seen.page.locator("[data-chart=metric]")
    assert chart.locator(".ftc-title").inner_text() == "Mean absolute error"
    ticks = chart.locator(".ytick text").all_text_contents()
    assert len(ticks) >= 2
    assert not any("%" in tick for tick in ticks), ticks
    assert max(float(tick) for tick in ticks) >= 4
    legend = chart.inner_text()
    assert "2.03" in legend
    assert "3.03" in legend
    assert "%" not in legend, "neither the values nor a band of a proportion"


def test_a_page_that_only_reads_has_no_button_that_changes_anything(visit, run):
    seen = visit(f"?run={run.folder.id}")
    labels = seen.page.evaluate(
        """async () => {
            const live = await import(document.querySelector('link[rel=modulepreload]')?.href ?? performance
                .getEntriesByType('resource').map((e) => e.name).find((name) => name.endsWith('/live.js')));
            const host = document.createElement('div');
            host.innerHTML = '<div class="ft-live"></div>';
            document.body.append(host);
            const { Panel } = await import(new URL('panel.js', performance.getEntriesByType('resource')
                .map((e) => e.name).find((name) => name.endsWith('/live.js'))));
            const panel = new Panel(host.querySelector('.ft-live'), { base: '', actions: [] }, () => {});
            await panel.poller.now();
            const shown = [...host.querySelectorAll('button')].filter((b) => b.offsetParent).map((b) => b.textContent);
            panel.end();
            host.remove();
            return [typeof live, shown];
        }"""
    )[1]
    assert labels, "it has buttons that only show"
    forbidden = {"Pause", "Stop and keep", "Resume", "Rate ÷ 2", "Set", "Validate now", "Save now", "Extend"}
    assert not forbidden & set(labels)


def test_finer_points_of_a_zoom_are_left_alone_once_every_step_is_there(visit, run):
    """A run that ends sends every step; what was fetched for the zoom before then has nothing to add."""
    seen = visit(f"?run={run.folder.id}")
    curve = {"level": 0, "x": [1, 2, 3], "t": [1, 2, 3], "y": [4, 5, 6], "lo": None, "hi": None}
    detail = {"x": [2], "t": [2], "y": [[5]]}
    script = """async ([address, curve, detail]) => {
        const { Board } = await import(address);
        const held = { curves: new Map([["loss", curve]]), details: new Map([["loss", detail]]) };
        return Board.prototype.curveFor.call(held, "loss");
    }"""
    thinned = curve | {"level": 1, "x": [2, 4], "t": [2, 4], "y": [4, 6], "lo": [3, 5], "hi": [5, 7]}
    assert seen.page.evaluate(script, ["/" + static.address_of("live/board.js"), curve, detail]) == curve
    finer = seen.page.evaluate(script, ["/" + static.address_of("live/board.js"), thinned, detail])
    assert (finer["x"], finer["y"], finer["lo"]) == ([2, 4], [5, 6], [5, 5])
