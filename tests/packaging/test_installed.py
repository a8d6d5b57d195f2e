"""What pip installs: wheel and sdist are built, the wheel put into an environment of its own, used far from here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.ui.live_visits import SIZE, new_page

ROOT = Path(__file__).resolve().parents[2]
WRITTEN_HERE = ("fine_tuner", "assets")
TOP = ("app.py", "setup.py", "pyproject.toml", "MANIFEST.in", "requirements.txt", "LICENSE", "README.md", "SECURITY.md",
       "CONTRIBUTING.md")  # fmt: skip
SHARED_LIBRARIES = next(path for path in sys.path if path.endswith("site-packages"))
STATUS = "document.querySelector('.ftl-status')?.textContent"


def run(*command: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command that has to succeed, in an environment that knows nothing of the checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A virtual environment with the wheel, made of the sdist; other libraries are those of this Python."""
    place = tmp_path_factory.mktemp("installed")
    source, made, home = place / "source", place / "dist", place / "venv"
    for name in WRITTEN_HERE:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in TOP:
        shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", made, source, cwd=place)
    wheel, sdist = next(made.glob("*.whl")), next(made.glob("*.tar.gz"))
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=place)
    packages = next((home / "lib").glob("python*/site-packages"))
    (packages / "other_libraries.pth").write_text(SHARED_LIBRARIES + "\n")
    pip = (sys.executable, "-m", "pip", "--python", home / "bin" / "python")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=place)
    cwd = place / "elsewhere"
    cwd.mkdir()
    return SimpleNamespace(wheel=wheel, sdist=sdist, program=home / "bin" / "fine-tuner", pip=pip, cwd=cwd,
                           python=home / "bin" / "python", packages=packages)  # fmt: skip


def test_the_wheel_holds_page_presets_sample_weights_and_licence(installed):
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    served = {f"fine_tuner/{p.relative_to(ROOT)}" for p in (ROOT / "assets").rglob("*") if p.suffix in (".js", ".css")}
    code = {str(p.relative_to(ROOT)) for p in (ROOT / "fine_tuner").rglob("*.py")}
    kinds = ("yaml", "safetensors", "html", "js")
    data = {str(p.relative_to(ROOT)) for kind in kinds for p in (ROOT / "fine_tuner").rglob(f"*.{kind}")}
    assert len(served) > 50
    assert len(data) > 5
    assert names >= served | code | data
    about = {name for name in names if ".dist-info/" in name}
    assert any(name.endswith("licenses/LICENSE") for name in about)
    assert names - about <= served | code | data, "nothing else lies in it"


def test_the_sdist_holds_what_the_wheel_is_made_of(installed):
    with tarfile.open(installed.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert names >= {*TOP, "assets/page.js", "fine_tuner/__main__.py", "fine_tuner/config/presets/sample.yaml"}


def test_every_declared_dependency_is_one_that_is_met_here(installed):
    command = [str(word) for word in (*installed.pip, "check")]  # ends with 1 for whatever other packages miss, too
    found = subprocess.run(command, capture_output=True, text=True, cwd=installed.cwd, check=False).stdout
    assert [line for line in found.splitlines() if line.startswith("fine-tuner")] == []


def test_the_program_finds_its_presets_and_its_own_files(installed):
    listed = json.loads(run(installed.program, "list", "presets", "--json", cwd=installed.cwd).stdout)
    assert {"default", "sample", "sample-masks"} <= {row["name"] for row in listed["presets"]}
    where = "import fine_tuner.ui.static as s; print(s.__file__, s.ASSETS)"
    for path in run(installed.python, "-c", where, cwd=installed.cwd).stdout.split():
        assert Path(path).is_relative_to(installed.packages)
    assert "fine-tuner page" in run(installed.program, "--help", cwd=installed.cwd).stdout
    assert run(installed.python, "-m", "fine_tuner", "--version", cwd=installed.cwd).stdout.startswith("Fine Tuner ")


@pytest.fixture
def page_of_package(installed, tmp_path):
    """``fine-tuner`` without a command, started in a folder that holds nothing."""
    options = ("--port", "0", "--no-browser", "--runs", tmp_path / "runs")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [str(installed.program), *map(str, options)], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env=environment | {"FINE_TUNER_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    address = re.fullmatch(r"Fine Tuner: (http://127\.0\.0\.1:\d+)/\n", process.stdout.readline())
    yield SimpleNamespace(address=address[1])
    process.terminate()
    process.wait(timeout=30)
    process.stdout.close()


@pytest.mark.ui
def test_the_page_comes_out_of_the_package_with_every_script_and_style(browser, page_of_package):
    context = browser.new_context(viewport=SIZE)
    seen = new_page(context, page_of_package)
    failed: list[str] = []
    seen.page.on("response", lambda answer: answer.status >= 400 and failed.append(answer.url))
    seen.page.goto(page_of_package.address)
    seen.page.get_by_role("button", name="Train", exact=True).wait_for(timeout=60_000)
    seen.page.wait_for_function("window.FTPage && window.FTLive")
    assert (failed, seen.complaints, seen.foreign) == ([], [], [])
    context.close()


@pytest.mark.slow
@pytest.mark.ui
def test_the_sample_trains_from_the_installed_page_and_from_its_command_line(browser, page_of_package, installed):
    context = browser.new_context(viewport=SIZE)
    page = new_page(context, page_of_package).page
    page.goto(page_of_package.address)
    page.get_by_role("button", name="Train", exact=True).click(timeout=60_000)
    page.wait_for_function(f"({STATUS})?.includes('Completed')", timeout=300_000)
    context.close()
    done = run(installed.program, "train", "sample", "train.epochs=1", "--json", cwd=installed.cwd)
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "completed"
