"""Settings from and to trees, YAML text, files and command-line overrides; every failure is a ``ConfigError``."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from fine_tuner.base.errors import ConfigError
from fine_tuner.base.files import read_bounded
from fine_tuner.config.explain import CHOICES, FIELDS, explain, folded, suggest_path
from fine_tuner.config.knobs import Field, lookup
from fine_tuner.config.sections.second_loss import losses_of
from fine_tuner.config.settings import Settings
from fine_tuner.config.tasks import default_loss

__all__ = [
    "CHOICES",
    "FIELDS",
    "apply_overrides",
    "dump_yaml",
    "overrides_between",
    "parse",
    "read_tree",
    "replace",
    "to_tree",
]

_ADAPTER = TypeAdapter(Settings)
_FORMER = {"train.on_nonfinite": {"stop": "pass_over"}}  # values as folders and files from before have them


_MAX_YAML_BYTES = 1 << 18  # fifty times what all settings take
_MAX_YAML_DEPTH = 20


class _Yaml(yaml.SafeLoader):
    """YAML 1.2 scalars: ``3e-4`` is a number, ``no`` and ``on`` are words.

    No aliases, and not deeper than settings are: nine lines of aliases of aliases are gigabytes once they are used.
    """

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As SafeLoader's, within these bounds."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "settings hold no aliases; write the value out", mark)
        if self._depth > _MAX_YAML_DEPTH:
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, f"more than {_MAX_YAML_DEPTH} levels", mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


_Yaml.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in rules
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
    ]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$", re.IGNORECASE), list("tTfF"))
_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|nan))$"),
    list("-+.0123456789"),
)


class _YamlDumper(yaml.SafeDumper):
    """Quotes a word that YAML 1.1 or our reader would take for something else."""


_YamlDumper.yaml_implicit_resolvers = {
    first: _Yaml.yaml_implicit_resolvers.get(first, []) + yaml.SafeDumper.yaml_implicit_resolvers.get(first, [])
    for first in {*_Yaml.yaml_implicit_resolvers, *yaml.SafeDumper.yaml_implicit_resolvers}
}


# ------------------------------------------------------------------ trees
def to_tree(settings: Settings) -> dict[str, Any]:
    """Nested dict of plain values, in the order written."""
    return _ADAPTER.dump_python(settings, mode="json")


def parse(tree: Mapping[str, Any]) -> Settings:
    """Settings from a nested mapping; missing fields take their defaults.

    Raises:
        ConfigError: Naming the dotted path of every bad field and what to do.
    """
    if not isinstance(tree, Mapping):
        raise ConfigError(
            {"config": f"is {type(tree).__name__}, not a mapping of settings. Write lines like 'seed: 1'."}
        )
    try:
        settings = _ADAPTER.validate_python(_with_tags(tree))
    except ValidationError as error:
        raise ConfigError(dict(explain(e, tree) for e in error.errors())) from None
    _check_meaning(settings)
    return settings


def _with_tags(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which every choice has a tag spelled as it is registered (``adamw`` -> ``AdamW``) and its present name.

    Where no loss is named, it is the task's own (``config.tasks.default_loss``).
    """
    out = copy.deepcopy(dict(tree))
    loss = out.setdefault("loss", {})
    if isinstance(loss, dict):
        loss.setdefault("name", default_loss(str(out.get("task"))))
    for path, choice in CHOICES.items():
        node = lookup(out, path)
        if isinstance(node, dict):
            known = {folded(tag): tag for tag in choice.variants}
            default = lookup(_DEFAULT_TREE, path + ".name")
            node["name"] = known.get(folded(node.get("name", default)), node.get("name"))
    for path, former in _FORMER.items():
        section, _, leaf = path.rpartition(".")
        node = lookup(out, section)
        if isinstance(node, dict) and isinstance(node.get(leaf), str):
            node[leaf] = former.get(node[leaf], node[leaf])
    return out


def _check_meaning(settings: Settings) -> None:
    """Checks across fields."""
    for path, loss in losses_of(settings).items():
        if settings.task not in loss.tasks:
            offered = [tag for tag, cls in CHOICES[path].variants.items() if settings.task in cls.tasks]
            raise ConfigError(
                {
                    f"{path}.name": f"{loss.name!r} has no meaning for {settings.task}. "
                    f"Choose one of {', '.join(offered)}."
                }
            )


# ------------------------------------------------------------------- YAML
def dump_yaml(settings: Settings) -> str:
    """YAML text of every setting; ``load_yaml`` gives the same settings back."""
    return yaml.dump(to_tree(settings), Dumper=_YamlDumper, sort_keys=False, allow_unicode=True)


def read_tree(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: If the file cannot be read or is not YAML.
    """
    try:
        tree = yaml.load(read_bounded(path, _MAX_YAML_BYTES).decode("utf-8"), Loader=_Yaml)
    except OSError as error:
        raise ConfigError(
            {str(path): f"cannot be read ({error.strerror}). Give a YAML file, or a preset's name."}
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, a number of 5,000 digits
        raise ConfigError(
            {str(path): f"is not YAML: {' '.join(str(error).split())}. Correct the file there."}
        ) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError({str(path): f"holds {type(tree).__name__}, not settings. Write lines like 'seed: 1'."})
    return tree


# -------------------------------------------------------------- overrides
def apply_overrides(tree: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of ``tree`` with ``section.key=value`` items applied, values read as YAML scalars.

    Choosing another variant (``optim.name=SGD``) keeps the fields that all variants share and drops the others; it is
    applied before the other items, whatever their order.

    Raises:
        ConfigError: If an item is not of this form, or goes below a plain value.
    """
    out = copy.deepcopy(dict(tree))
    items = [_split_override(item) for item in overrides]
    items.sort(key=lambda item: not _is_tag(item[0]))
    for path, value in items:
        if _is_tag(path):
            _switch_variant(out, path.removesuffix(".name"), value)
        *parents, leaf = path.split(".")
        node = out
        for key in parents:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise ConfigError({path: f"unknown setting: {key!r} holds a value, not settings.{suggest_path(path)}"})
        node[leaf] = value
    return out


def _is_tag(path: str) -> bool:
    return path.endswith(".name") and path.removesuffix(".name") in CHOICES


def _split_override(item: str) -> tuple[str, Any]:
    path, sep, text = item.partition("=")
    if not sep or not path:
        raise ConfigError({item: "is not of the form section.key=value, such as optim.lr=3e-4."})
    try:
        value = yaml.load(text, Loader=_Yaml) if text else ""
    except (yaml.YAMLError, ValueError, RecursionError):
        value = text  # such as a path with a colon: plain text
    spec = next((f for f in FIELDS if f.path == path), None)
    if spec is not None and spec.type is str and not (spec.optional and value is None):
        value = text if not text.startswith(("'", '"')) else value
    return path.strip(), value


def _switch_variant(tree: dict[str, Any], path: str, name: Any) -> None:
    node = lookup(tree, path)
    if isinstance(node, dict) and folded(node.get("name")) != folded(name):
        for key in [k for k in node if k not in CHOICES[path].shared]:
            del node[key]


def overrides_between(base: Settings, settings: Settings) -> list[str]:
    """The ``section.key=value`` items that turn ``base`` into ``settings``; inverse of ``apply_overrides``."""
    items: list[str] = []
    old, new = to_tree(base), to_tree(settings)
    for path in CHOICES:
        if lookup(old, path + ".name") != lookup(new, path + ".name"):
            name = lookup(new, path + ".name")
            items.append(f"{path}.name={name}")
            _switch_variant(old, path, name)
            node = lookup(old, path)
            node["name"] = name
    reference = to_tree(_ADAPTER.validate_python(old))  # without meaning: the new loss may not suit the old task
    for spec in FIELDS:
        if spec.variant is not None and lookup(new, spec.path.rpartition(".")[0] + ".name") != spec.variant:
            continue
        value = lookup(new, spec.path)
        if value != lookup(reference, spec.path):
            items.append(f"{spec.path}={_scalar(value, spec)}")
    return items


def _scalar(value: Any, spec: Field) -> str:
    """Text that ``_split_override`` reads back as ``value``."""
    if spec.type is str:
        text = "" if value is None else str(value)
        return "'" + text.replace("'", "''") + "'" if text.startswith(("'", '"')) else text
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n").removesuffix("\n...").strip()


def replace(settings: Settings, *overrides: str) -> Settings:
    """Settings with overrides applied: ``replace(s, "optim.lr=0.1")``."""
    return parse(apply_overrides(to_tree(settings), overrides))


_DEFAULT_TREE = to_tree(Settings())
