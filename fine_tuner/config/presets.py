"""Whole configurations shipped with the package, one YAML file each, and which is nearest to given settings."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fine_tuner.base.errors import ConfigError
from fine_tuner.base.registry import suggest
from fine_tuner.config.io import overrides_between, parse, read_tree
from fine_tuner.config.settings import Settings

FOLDER = Path(__file__).parent / "presets"


def list_presets() -> tuple[str, ...]:
    """Names of all presets; ``sample`` first, the others in alphabetical order."""
    return tuple(sorted((p.stem for p in FOLDER.glob("*.yaml")), key=lambda name: (name != "sample", name)))


def load_preset(name: str) -> Settings:
    """The settings of a preset.

    Raises:
        ConfigError: If there is none of this name.
    """
    if name not in list_presets():
        known = ", ".join(list_presets())
        hint = suggest(name, list_presets())
        raise ConfigError({"preset": f"{name!r} is neither a file nor a preset.{hint} Presets: {known}."})
    return _read(name)


@cache
def _read(name: str) -> Settings:
    """Settings cannot be changed, and every key that is typed on the page asks for several presets."""
    return parse(read_tree(FOLDER / f"{name}.yaml"))


def describe_preset(name: str) -> str:
    """The comment at the head of the preset's file: what it does and what was measured with it."""
    lines = []
    for line in (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines)


def nearest_preset(settings: Settings) -> tuple[str, list[str]]:
    """The preset from which ``settings`` needs the fewest overrides, and those overrides."""
    distances = {name: overrides_between(load_preset(name), settings) for name in list_presets()}
    name = min(distances, key=lambda n: len(distances[n]))
    return name, distances[name]
