"""The live panel in a real browser: what must stay while numbers arrive."""

from __future__ import annotations

import re

import pytest

from fine_tuner.runs import control
from fine_tuner.runs.log.events import WorkProgress
from fine_tuner.runs.store import RunStore
from tests.ui.live_visits import DRAWN, LOSS, SIZE, new_page
from tests.ui.rig import build_page, serving

pytestmark = pytest.mark.ui


def test_points_arrive_in_the_same_drawing(visit, run):
    seen = visit(f"?run={run.folder.id}")
    seen.page.evaluate(f"{LOSS}.isMarked = true")
    before = seen.count()
    for _ in range(4):
        run.train(3)
        seen.refresh()
    assert (before, seen.count()) == (40, 52)
    assert seen.page.evaluate(f"{LOSS}.isMarked")
    assert {name for name, x, _ in seen.points()["lr"] if len(x) > 0} >= {"lr.head.applied", "lr.backbone.plan"}
    assert len(seen.points()["memory"]) == 2, "used and forecast"


def test_appended_equals_drawn_at_once(visit, run):
    seen = visit(f"?run={run.folder.id}")
    for steps in (1, 7, 20):
        run.train(steps)
        seen.refresh()
    appended = seen.points()
    assert appended == visit(f"?run={run.folder.id}").points()


def test_zoom_by_mouse_stays_for_ten_updates_and_moves_every_chart(visit, run):
    seen = visit(f"?run={run.folder.id}")
    whole = seen.range()
    seen.drag("loss", 0.25, 0.5)
    seen.page.wait_for_function(
        f"document.querySelector('[data-chart=lr] .ftc-canvas')._fullLayout.xaxis.range[0] > {whole[0] + 1}"
    )
    zoomed = seen.range()
    assert zoomed[1] - zoomed[0] < 0.3 * (whole[1] - whole[0])
    for _ in range(10):
        run.train(2)
        seen.refresh()
        assert seen.range() == zoomed
    assert {str(seen.range(chart)) for chart in ("loss", "metric", "lr", "memory")} == {str(zoomed)}
    assert "zoom=" in seen.query()
    seen.page.locator("[data-chart=loss] .ftc-plot").dblclick(position={"x": 300, "y": 100})
    seen.page.wait_for_function("!location.search.includes('zoom=')")
    assert seen.range()[0] < 0 < 40 < seen.range()[1]


def test_a_curve_hidden_in_the_legend_stays_hidden(visit, run):
    seen = visit(f"?run={run.folder.id}")
    button = seen.page.locator("[data-chart=loss] [data-line='loss.val']")
    button.click()
    hidden = f"{LOSS}.data.find((t) => t.name === 'loss.val').visible === false"
    seen.page.wait_for_function(hidden)
    for _ in range(3):
        run.train(9)
        seen.refresh()
    assert seen.page.evaluate(hidden)
    assert button.get_attribute("aria-pressed") == "false"
    assert "hide=loss.val" in seen.query()


def test_reload_keeps_curves_and_settings(visit, run):
    seen = visit(f"?run={run.folder.id}")
    seen.page.click("[data-axis=epoch]")
    seen.page.click("[data-chart=loss] .ftc-tool >> text=log")
    seen.page.locator(".ftl-slider").fill("55")
    seen.page.click("[data-part=table] > summary")
    seen.drag("loss", 0.2, 0.6)
    seen.page.wait_for_function("location.search.includes('zoom=')")
    seen.refresh()
    before = seen.range(), seen.points(), seen.query()
    seen.page.reload()
    seen.wait(before[2])
    assert (seen.range(), seen.points(), seen.query()) == before
    assert seen.page.evaluate(f"{LOSS}._fullLayout.yaxis.type") == "log"
    assert seen.page.locator(".ftl-slider").input_value() == "55"
    assert seen.page.locator("[data-part=table] tbody tr").count() == 2


def test_the_vertical_axis_moves_only_when_it_must(visit, run):
    seen = visit(f"?run={run.folder.id}&smooth=0")
    ranges = set()
    for _ in range(8):
        run.train(1)
        seen.refresh()
        ranges.add(str(seen.range(axis="yaxis")))
    assert len(ranges) == 1


def test_theme_follows_the_page(visit, run):
    seen = visit(f"?run={run.folder.id}")
    color = f"{LOSS}._fullLayout.xaxis.tickfont.color"
    light = seen.page.evaluate(color)
    seen.page.evaluate("document.body.classList.add('dark')")
    seen.page.wait_for_function(f"{color} !== '{light}'")
    assert seen.page.evaluate(color) == "#a3a9b2"


def test_the_pointer_reads_every_chart(visit, run):
    seen = visit(f"?run={run.folder.id}&smooth=0")
    box = seen.page.locator("[data-chart=loss] .nsewdrag").bounding_box()
    low, high = seen.range()
    step = 16
    seen.page.mouse.move(box["x"] + (step - low) / (high - low) * box["width"], box["y"] + 60)
    seen.page.wait_for_selector("[data-chart=metric] .ftc-cross:not([hidden])")
    assert seen.page.inner_text("[data-chart=loss] .ftc-pill") == "step 16 \u00b7 epoch 1"
    trace = next(t for t in seen.points()["loss"] if t[0] == "loss.train.raw")
    shown = seen.page.inner_text("[data-chart=loss] [data-line='loss.train'] .ftc-value")
    assert float(shown) == pytest.approx(trace[2][step - 1], abs=0.006)


def test_keys_read_zoom_and_reset(visit, run):
    seen = visit(f"?run={run.folder.id}")
    seen.page.focus("[data-chart=loss] .ftc-plot")
    seen.page.keyboard.press("ArrowRight")
    seen.page.wait_for_function(
        "/^step \\d+ . epoch \\d+: train [\\d.]+/.test(document.querySelector('.ftl-charts > .ftl-sr').textContent)"
    )
    seen.page.keyboard.press("+")
    seen.page.wait_for_function("location.search.includes('zoom=')")
    seen.page.keyboard.press("0")
    seen.page.wait_for_function("!location.search.includes('zoom=')")


def test_stop_asks_nothing_and_says_what_happens(visit, run):
    seen = visit(f"?run={run.folder.id}")
    seen.page.click("[data-action=stop]")
    seen.page.wait_for_function("document.querySelector('.ftl-status').textContent.startsWith('Stopping')")
    assert set(control.pending(run.folder)) == {"stop"}
    assert seen.page.locator("[data-action=stop]").is_disabled()
    run.finish("stopped")
    seen.refresh()
    seen.page.wait_for_function("document.querySelector('.ftl-status').textContent === 'Stopped'")
    assert seen.page.locator("[data-action=stop]").is_hidden()


def test_a_failed_run_says_why_and_keeps_its_curve(visit, run):
    run.folder.log.write_text("epoch 1\nTraceback: something deep\n")
    run.finish("failed", "The training loss is nan at step 41. Lower optim.lr.")
    seen = visit(f"?run={run.folder.id}")
    assert seen.page.inner_text(".ftl-failure h3") == "The run failed"
    assert seen.page.inner_text(".ftl-message") == "The training loss is nan at step 41. Lower optim.lr."
    assert seen.page.locator(".ftl-failure pre").is_hidden(), "details are folded"
    seen.page.click(".ftl-failure summary")
    assert "something deep" in seen.page.inner_text(".ftl-failure pre")
    assert seen.count() == 40


def test_a_dead_worker_shows_as_lost_with_its_curve(visit, run):
    seen = visit(f"?run={run.folder.id}")
    run.die()
    seen.refresh()
    seen.page.wait_for_function("document.querySelector('.ftl-status').textContent === 'Lost'")
    assert seen.page.locator(".ftl-failure").is_visible()
    assert seen.count() == 40


def test_the_table_has_a_row_for_each_epoch(visit, run):
    seen = visit(f"?run={run.folder.id}&open=table")
    header, *rows = seen.page.evaluate(
        "[...document.querySelectorAll('[data-part=table] tr')].map((row) => [...row.cells].map((c) => c.textContent))"
    )
    assert header[:6] == ["Epoch", "Step", "Train loss", "Validation loss", "Accuracy", "Macro F1"]
    assert [row[:2] for row in rows] == [["2", "32"], ["1", "16"]]


def test_a_run_that_is_gone_says_so(shared, visit, run):
    seen = visit(f"?run={run.folder.id}")
    seen.page.evaluate("FTLive.go('?run=nothing')")
    seen.page.wait_for_selector("text=This run is not there any more")
    assert all("404" in text for text in seen.complaints)
    seen.complaints.clear()


def test_text_of_a_run_is_never_markup(visit, make_run):
    nasty = "<img src=x onerror=window.isOwned=1>${window.isOwned=1}"
    run = make_run(
        "nasty",
        title=nasty,
        groups={nasty: 1e-3, "b": 1e-4},
        model=nasty,
        notices=[nasty],
    )
    run.begin()
    run.train(20)
    run.say(nasty, "warning")
    run.mark(nasty, nasty)
    run.finish("failed", nasty)
    seen = visit(f"?run={run.folder.id}&open=events,table,more")
    assert seen.page.evaluate("window.isOwned") is None
    assert seen.page.locator(".ftl img").count() == 0
    assert nasty in seen.page.inner_text(".ftl-message")


def test_before_the_first_step_the_work_is_told_with_numbers(visit, make_run):
    run = make_run("new")
    run.writer.write(WorkProgress(what="downloading weights", done=4, total=16, unit="MiB"))
    seen = visit(
        f"?run={run.folder.id}", wait="document.querySelector('.ftl-status')?.textContent.includes('4/16 MiB')"
    )
    assert seen.page.locator(".ftl-bar").get_attribute("aria-valuenow") == "25"
    seen.page.wait_for_function(
        "document.querySelector('[data-chart=loss] .ftc-wait')?.textContent === 'Waiting for the first step'"
    )
    run.begin()
    run.train(1)
    seen.refresh()
    seen.page.wait_for_function("document.querySelector('[data-chart=loss] .ftc-wait').hidden")
    assert seen.count() == 1


def test_connection_lost_is_said_and_mends_itself(context, runs, make_run):
    run = make_run("lonely")
    run.begin()
    run.train(8)
    with serving(build_page(RunStore(runs))) as server:
        page = context.new_page()
        page.goto(f"{server.address}plain?run={run.folder.id}")
        page.wait_for_function(DRAWN, arg=run.folder.id)
        server.stop()
        for _ in range(2):
            page.evaluate("FTLive.refresh()")
        page.wait_for_selector(".ftl-offline:not([hidden])")
        assert re.search(r"The data is .+ old\. Trying again in", page.inner_text(".ftl-offline"))
        run.train(8)
        server.start()
        page.click(".ftl-offline button")
        page.wait_for_selector(".ftl-offline", state="hidden")
        page.wait_for_function(f"{LOSS}.data.find((t) => t.name === 'loss.train').x.length === 16")
        page.close()


def test_another_run_is_shown_and_the_address_follows(visit, run, make_run):
    other = make_run("other", epochs=2)
    other.begin()
    other.train(5)
    seen = visit(f"?run={run.folder.id}&zoom=3~9")
    seen.page.evaluate(f"FTLive.show('{other.folder.id}')")
    seen.page.wait_for_function(f"{LOSS}.data.find((t) => t.name === 'loss.train').x.length === 5")
    assert seen.page.evaluate("FTLive.current()") == other.folder.id
    assert seen.query() == f"?run={other.folder.id}"


def test_showing_a_run_anew_while_an_answer_is_under_way_loses_no_point(visit, run):
    query = f"?run={run.folder.id}"
    seen = visit(query)
    seen.page.evaluate(
        """async (query) => {
            for (let wait = 0; wait < 12; wait++) {
                const answered = FTLive.refresh();
                await new Promise((resolve) => setTimeout(resolve, wait));
                await Promise.all([FTLive.go(query), answered]);
            }
            await FTLive.refresh();
        }""",
        query,
    )
    assert seen.count() == 40


def test_a_phone_needs_no_sideways_scrolling(visit, run):
    run.folder.best_weights.parent.mkdir(parents=True)
    run.folder.best_weights.write_bytes(b"weights")
    seen = visit(f"?run={run.folder.id}&open=events,table,more")
    seen.page.set_viewport_size({"width": 390, "height": 844})
    seen.page.wait_for_function(f"{LOSS}._fullLayout.width < 380")
    width = seen.page.evaluate("document.documentElement.scrollWidth")
    beyond = seen.page.evaluate(
        """[...document.querySelectorAll('.ftl *')].filter((element) => !element.closest('.ftl-scroll, .ftl-sr, svg')
        && element.getBoundingClientRect().right > 390).map((element) => element.className)"""
    )
    seen.page.set_viewport_size(SIZE)
    assert (width, beyond) == (390, [])


def test_csv_has_the_recorded_numbers(visit, run):
    seen = visit(f"?run={run.folder.id}")
    with seen.page.expect_download() as download:
        seen.page.click("[data-chart=loss] .ftc-tool >> text=CSV")
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "step,epoch,seconds,train/loss,val/loss"
    assert [line.split(",")[0] for line in lines[1:]] == [str(step) for step in range(1, 41)]
    assert [bool(line.split(",")[4]) for line in lines[1:]] == [step in (16, 32) for step in range(1, 41)]


def test_png_is_a_picture(visit, run):
    seen = visit(f"?run={run.folder.id}")
    with seen.page.expect_download() as download:
        seen.page.click("[data-chart=lr] .ftc-tool >> text=PNG")
    assert download.value.suggested_filename == f"{run.folder.id}-lr.png"
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_a_long_run_is_thinned_without_hiding_a_spike_and_fine_where_zoomed(visit, make_run):
    run = make_run("long", epochs=10, steps_per_epoch=400)
    run.begin()
    run.train(2000)
    run.spike = 9.0
    run.train(1)
    run.spike = 0.0
    run.train(1999)
    seen = visit(f"?run={run.folder.id}&smooth=0")
    assert seen.count() <= 1500
    assert seen.range(axis="yaxis")[1] > 9, "the spike is seen"
    seen.page.check(".ftl-control input[type=checkbox]")
    seen.page.wait_for_selector("[data-chart=loss] .ftc-hidden-above:not([hidden])")
    assert seen.page.inner_text("[data-chart=loss] .ftc-hidden-above") == "1 point above"
    assert seen.range(axis="yaxis")[1] < 5
    seen.drag("loss", 0.49, 0.53)
    seen.page.wait_for_function(f"{LOSS}.data.find((t) => t.name === 'loss.train.raw').x.includes(2001)")
    x = next(x for name, x, _ in seen.points()["loss"] if name == "loss.train.raw")
    assert set(range(1990, 2011)) <= set(x), "every step where it is zoomed"


@pytest.mark.parametrize("ticks", [120, pytest.param(600, marks=pytest.mark.slow)])
def test_memory_of_the_browser_is_flat(visit, make_run, context, ticks):
    run = make_run("steady", epochs=100, steps_per_epoch=16)
    run.begin()
    run.train(200)
    seen = visit(f"?run={run.folder.id}")
    session = context.new_cdp_session(seen.page)

    def measure() -> tuple[float, float]:
        session.send("HeapProfiler.collectGarbage")
        metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
        return metrics["JSHeapUsedSize"] / 2**20, metrics["Nodes"]

    session.send("Performance.enable")
    for count in (10, ticks):
        before = measure()
        for _ in range(count):
            run.train(2)
            seen.refresh()
    heap, nodes = (after - start for after, start in zip(measure(), before, strict=True))
    assert heap < 3, f"{heap:.1f} MiB more after {ticks} ticks"
    assert nodes < 400, f"{nodes:.0f} nodes more after {ticks} ticks"


def test_inside_gradio_it_looks_and_works_the_same(context, server, run):
    seen = new_page(context, server)
    seen.page.goto(f"{server.address}?run={run.folder.id}")
    seen.page.wait_for_function("window.FTLive")
    seen.wait(f"run={run.folder.id}")
    assert seen.page.evaluate("getComputedStyle(document.querySelector('.ftc-title')).fontWeight") == "600"
    run.train(5)
    seen.refresh()
    assert seen.count() == 45
    seen.page.close()
    assert (seen.complaints, seen.foreign) == ([], [])
