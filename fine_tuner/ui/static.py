"""Scripts and styles of the page, and plotly.js out of the plotly wheel: served by the app, compressed once, cached.

Addresses carry a hash of all of them (``page/<hash>/setup/form.js``), so that browsers may keep a file for ever and a
script that imports ``../base/dom.js`` gets the one of its own version.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "assets"
ASSETS = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "assets"  # setup.py moves them for a wheel
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
PLOTLY = "plotly.min.js"
router = APIRouter()


def path_of(name: str) -> Path | None:
    """The file behind ``page/<hash>/<name>``; None if there is none."""
    if name == PLOTLY:
        spec = find_spec("plotly")  # located, not imported
        return Path(spec.origin).parent / "package_data" / PLOTLY if spec and spec.origin else None
    return ASSETS / name if name in _names() else None


@cache
def _names() -> tuple[str, ...]:
    """Every script and style by its path below ``assets/``: only what is listed is served."""
    return tuple(sorted(p.relative_to(ASSETS).as_posix() for p in ASSETS.rglob("*") if p.suffix in MEDIA_TYPES))


def address_of(name: str) -> str:
    """Address of a file relative to the page.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if path_of(name) is None:
        raise FileNotFoundError(f"{name!r} is neither in {ASSETS} nor plotly's script; is the installation complete?")
    return f"page/{_version()}/{name}"


@cache
def _version() -> str:
    digest = hashlib.sha256()
    for name in _names():
        digest.update(name.encode() + (ASSETS / name).read_bytes())
    plotly = path_of(PLOTLY)
    if plotly is not None and plotly.is_file():  # 4 MB: a release is told by its size
        digest.update(str(plotly.stat().st_size).encode())
    return digest.hexdigest()[:12]


@cache
def _compressed(path: Path, mtime_ns: int) -> bytes:
    return gzip.compress(path.read_bytes(), 6, mtime=0)


@router.get("/page/{version}/{name:path}")
def send(version: str, name: str) -> Response:
    """A script or style."""
    path = path_of(name)
    if path is None or not path.is_file():
        return PlainTextResponse("no such file", 404)
    keep = "public, max-age=31536000, immutable" if version == _version() else "no-store"
    return Response(
        _compressed(path, path.stat().st_mtime_ns),
        media_type=MEDIA_TYPES[path.suffix],
        headers={"Content-Encoding": "gzip", "Cache-Control": keep},
    )
