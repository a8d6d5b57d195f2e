"""Rooms of the page's scripts: who may import whom, and that no two files import each other."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ASSETS = Path(__file__).resolve().parents[2] / "assets"
SCRIPTS = sorted(path.relative_to(ASSETS).as_posix() for path in ASSETS.rglob("*.js"))
# A room imports from those of the lines above it; rooms of one line do not know each other.
LAYERS = [
    ["base"], ["words"], ["charts"], ["live", "setup", "results"], ["runs", "share", "loss"], ["page"], ["page.js"],
]  # fmt: skip
FROM = re.compile(r'^(?:import|export)\b[^;]*?"(\.[^"]+)";', re.MULTILINE)


def imports_of(script: str) -> list[str]:
    """Paths below ``assets/`` of all that a script imports."""
    found = [(ASSETS / script).parent / name for name in FROM.findall((ASSETS / script).read_text())]
    return [path.resolve().relative_to(ASSETS).as_posix() for path in found]


GRAPH = {script: imports_of(script) for script in SCRIPTS}
LAYER = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}


def room_of(script: str) -> str:
    return script.split("/")[0]


def test_every_import_is_read_and_leads_to_a_file():
    assert len(SCRIPTS) > 50
    told = sum((ASSETS / script).read_text().count(' from "') for script in SCRIPTS)
    assert sum(map(len, GRAPH.values())) == told + 1  # and page.js imports live/live.js for what it does
    assert {path for imports in GRAPH.values() for path in imports} <= set(SCRIPTS)


def test_no_scripts_import_each_other():
    TopologicalSorter(GRAPH).prepare()  # raises a CycleError that names them


@pytest.mark.parametrize("script", SCRIPTS)
def test_rooms_import_only_downwards(script):
    room = room_of(script)
    wrong = [path for path in GRAPH[script] if room_of(path) != room and not LAYER[room_of(path)] < LAYER[room]]
    assert not wrong, f"{script} of {room} imports {wrong}"


def test_a_room_holds_at_most_sixteen_files():
    folders = [folder for folder in ASSETS.iterdir() if folder.is_dir()]
    assert {f.name for f in folders} == {*LAYER, "styles"} - {"page.js"}
    assert {f.name: n for f in folders if (n := len(list(f.iterdir()))) > 16} == {}
