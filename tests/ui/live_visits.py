"""How the browser tests see the live panel: a page, its points, what it complained of."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.ui.rig import Server

SIZE = {"width": 1280, "height": 900}
NUMBERS = itertools.count(100000)
LOSS = "document.querySelector('[data-chart=loss] .ftc-canvas')"
DRAWN = """(run) => FTLive.current() === run && FTLive.state() !== null && ['loss', 'metric', 'lr', 'memory'].every(
    (id) => document.querySelector(`[data-chart=${id}] .ftc-canvas`)?.data?.length)"""
POINTS = """() => Object.fromEntries([...document.querySelectorAll('.ftc')]
    .map((chart) => [chart.dataset.chart, chart.querySelector('.ftc-canvas').data]).filter(([, data]) => data)
    .map(([id, data]) => [id, data.map((trace) => [trace.name, [...trace.x], [...trace.y]])]))"""


@dataclass
class Seen:
    """A page, what it complained of, and where it went."""

    page: Any
    server: Server
    complaints: list[str]
    foreign: list[str]

    def wait(self, query: str, condition: str = DRAWN) -> None:
        run = re.search(r"run=([^&]+)", query)[1]
        self.page.wait_for_function(condition, arg=run)
        self.page.evaluate("FTLive.refresh()")

    def refresh(self) -> None:
        self.page.evaluate("FTLive.refresh()")

    def range(self, chart: str = "loss", axis: str = "xaxis") -> list[float]:
        return self.page.evaluate(
            f"[...document.querySelector('[data-chart={chart}] .ftc-canvas')._fullLayout.{axis}.range]"
        )

    def points(self) -> dict[str, list]:
        return self.page.evaluate(POINTS)

    def count(self, chart: str = "loss", trace: str = "loss.train.raw") -> int:
        return next(len(x) for name, x, _ in self.points()[chart] if name == trace)

    def query(self) -> str:
        return self.page.evaluate("new Promise((done) => setTimeout(() => done(location.search), 300))")

    def drag(self, chart: str, start: float, end: float) -> None:
        """Drag the mouse over a chart, in shares of its width."""
        box = self.page.locator(f"[data-chart={chart}] .nsewdrag").bounding_box()
        y = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + start * box["width"], y)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + (start + end) / 2 * box["width"], y + 1, steps=3)
        self.page.mouse.move(box["x"] + end * box["width"], y + 2, steps=3)
        self.page.mouse.up()


def new_page(context: Any, server: Server) -> Seen:
    """A page that remembers what it complained of and which other hosts it asked."""
    page = context.new_page()
    seen = Seen(page, server, [], [])
    page.on("console", lambda m: m.type in ("error", "warning") and seen.complaints.append(m.text))
    page.on("pageerror", lambda error: seen.complaints.append(error.stack))
    page.on(
        "request", lambda r: not r.url.startswith((server.address, "data:", "blob:")) and seen.foreign.append(r.url)
    )
    return seen
