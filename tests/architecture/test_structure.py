"""What the tree of files promises: every imported package is declared, no folder is full, imports run in no circle."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = [*(ROOT / "fine_tuner").rglob("*.py"), ROOT / "app.py"]
TESTS = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
MOST_MODULES = 16


# ------------------------------------------------------------ declared packages
def canonical(distribution: str) -> str:
    """As PEP 503 compares names of distributions."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def declared_in(requirements: Path) -> set[str]:
    """Distributions that a file of requirements names, those of the files that it includes too."""
    names: set[str] = set()
    for line in requirements.read_text().splitlines():
        if line.startswith("-r "):
            names |= declared_in(requirements.with_name(line[3:].strip()))
        elif found := re.match(r"[\w.-]+", line):
            names.add(canonical(found[0]))
    return names


def imported_by(tree: ast.AST) -> set[str]:
    """Top-level names of the packages that a module imports anywhere, in functions and for types too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def third_party(files: Iterable[Path]) -> dict[str, Path]:
    """Imported packages that are neither Python's nor ours, each with a file that imports it."""
    ours = {path.stem for path in TESTS} | {"fine_tuner", "app", "tests", "benchmarks"}
    found = {name: path for path in files for name in imported_by(ast.parse(path.read_text()))}
    return {name: path for name, path in found.items() if name not in ours | sys.stdlib_module_names}


@pytest.mark.parametrize(
    ("files", "requirements", "at_least"),
    [(CODE, "requirements.txt", 15), (TESTS, "requirements-dev.txt", 15)],
    ids=["requirements.txt", "requirements-dev.txt"],
)
def test_every_imported_package_is_declared(files, requirements, at_least):
    imported = third_party(files)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].values()
    declared = declared_in(ROOT / requirements) | {canonical(re.match(r"[\w.-]+", e)[0]) for one in extras for e in one}
    assert len(imported) >= at_least, imported
    distributions = packages_distributions()
    missing = {  # an extra that is not installed here is known by the name that it is imported by
        name: str(path.relative_to(ROOT))
        for name, path in imported.items()
        if declared.isdisjoint(map(canonical, distributions.get(name, [name])))
    }
    assert missing == {}, f"imported, but not in {requirements}"


# -------------------------------------------------------------------- folders
@pytest.mark.parametrize("top", ["fine_tuner", "assets"])
def test_no_folder_holds_more_modules_than_a_reader_takes_in(top):
    folders = [ROOT / top, *(path for path in (ROOT / top).rglob("*") if path.is_dir() and path.name != "__pycache__")]
    count = {
        str(folder.relative_to(ROOT)): sum(path.is_file() and path.name != "__init__.py" for path in folder.iterdir())
        for folder in folders
    }
    assert sum(count.values()) > 50, count
    assert {folder: number for folder, number in count.items() if number > MOST_MODULES} == {}


# -------------------------------------------------------------------- circles
def test_no_two_files_import_each_other_by_whatever_way():
    graph = grimp.build_graph("fine_tuner", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert sum(map(len, imports.values())) > 1000
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")
