"""What a form and the command line need to know about a setting beyond its type, default and bounds.

A setting is a field of a frozen dataclass annotated ``Annotated[type, bounds..., Knob(...)]``. A field whose type is
a union of dataclasses tagged by ``name`` is a choice: each variant brings its own fields. ``walk_fields`` is the one
reader of these annotations; form, ``list settings`` and error messages are made from it.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types as at
from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)
"""Of every section: a setting that is unknown, or no number, is an error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Knob:
    """Presentation of one setting.

    Attributes:
        label: Two or three words; the unit is appended by the reader.
        help: One sentence that says what the setting does.
        unit: For people, such as ``"epochs"`` or ``"px"``.
        advanced: Rarely needed; shown behind "More".
        log_scale: Steps of this number are factors, not sums (a learning rate).
        widget: Special presentation: ``"path"``, ``"model"``, ``"weights"``, ``"formula"``; empty follows
            the type.
        link: Documentation of the underlying torch class.
        when: The field has an effect only while each of these dotted paths holds one of the values given.
        unless: It has no effect while any of these dotted paths holds one of the values given.
    """

    label: str
    help: str
    unit: str = ""
    advanced: bool = False
    log_scale: bool = False
    widget: str = ""
    link: str = ""
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    unless: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def applies(self, tree: Mapping[str, Any]) -> bool:
        """Whether the field has an effect in the settings ``tree``."""
        return all(lookup(tree, path) in values for path, values in self.when) and not any(
            lookup(tree, path) in values for path, values in self.unless
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One setting as found in the tree of dataclasses.

    Attributes:
        path: Dotted, such as ``"optim.lr"``.
        variant: Tag of the choice that this field belongs to, or None for a field that is always there.
        type: The bare type: ``bool``, ``int``, ``float``, ``str``, or ``tuple`` (of ``item_type``).
        optional: None is allowed and means "decide from the run".
        choices: Allowed values of a Literal, else empty.
        bounds: ``gt``/``ge``/``lt``/``le`` to number; of each item where the type is ``tuple``.
        shared: True if the variants of the choice inherit the field, so that it survives a change of variant.
    """

    path: str
    variant: str | None
    type: type
    item_type: type | None
    optional: bool
    choices: tuple[Any, ...]
    bounds: Mapping[str, float]
    default: Any
    knob: Knob
    shared: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A setting that is one of several variants, each a dataclass with its own fields.

    Attributes:
        path: Dotted path of the union, such as ``"loss"``; its tag lives at ``<path>.name``.
        variants: Tag to dataclass, in the order in which they are offered.
        shared: Names of the fields that all variants inherit from their common base.
    """

    path: str
    variants: Mapping[str, type]
    shared: frozenset[str]


def lookup(tree: Mapping[str, Any], path: str) -> Any:
    """Value at a dotted path of a nested mapping; None where a part is missing."""
    node: Any = tree
    for key in path.split("."):
        if not isinstance(node, Mapping) or key not in node:
            return None
        node = node[key]
    return node


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _bare(hint: Any) -> tuple[Any, list[Any]]:
    """The type below ``Annotated`` and the annotations."""
    if get_origin(hint) is Annotated:
        base, *meta = get_args(hint)
        return base, meta
    return hint, []


def variants_of(hint: Any) -> dict[str, type] | None:
    """Tag to dataclass if ``hint`` is a union of dataclasses tagged by ``name``, else None."""
    base, _ = _bare(hint)
    if not _is_union(base):
        return None
    members = get_args(base)
    if not all(dataclasses.is_dataclass(m) for m in members):
        return None
    return {tag_of(m): m for m in members}


def tag_of(variant: type) -> str:
    """The value of ``name`` that selects this dataclass."""
    (tag,) = get_args(get_type_hints(variant)["name"])
    return tag


@cache
def hints_of(cls: type) -> dict[str, Any]:
    """Resolved annotations of a dataclass, with ``Annotated`` kept."""
    return get_type_hints(cls, include_extras=True)


def _shared_fields(variants: Mapping[str, type]) -> frozenset[str]:
    """Fields that every variant inherits from a common base class (those a variant redefines included)."""
    classes = list(variants.values())
    common = [
        b for b in classes[0].__mro__[1:] if dataclasses.is_dataclass(b) and all(issubclass(c, b) for c in classes)
    ]
    return frozenset(f.name for b in common for f in dataclasses.fields(b))


def walk_choices(cls: type, prefix: str = "") -> Iterator[Choice]:
    """Yield every choice of the tree, outermost first."""
    for f in dataclasses.fields(cls):
        hint, path = hints_of(cls)[f.name], prefix + f.name
        variants = variants_of(hint)
        if variants:
            yield Choice(path=path, variants=variants, shared=_shared_fields(variants))
        elif dataclasses.is_dataclass(_bare(hint)[0]):
            yield from walk_choices(_bare(hint)[0], path + ".")


def walk_fields(
    cls: type, prefix: str = "", variant: str | None = None, shared: frozenset[str] = frozenset()
) -> Iterator[Field]:
    """Yield every setting of a tree of dataclasses in the order written. Fields without a Knob (tags) are left out."""
    for f in dataclasses.fields(cls):
        hint, path = hints_of(cls)[f.name], prefix + f.name
        variants = variants_of(hint)
        if variants:
            inherited = _shared_fields(variants)
            for tag, member in variants.items():
                yield from walk_fields(member, path + ".", tag, inherited)
            continue
        base, meta = _bare(hint)
        if dataclasses.is_dataclass(base):
            yield from walk_fields(base, path + ".")
            continue
        knob = next((m for m in meta if isinstance(m, Knob)), None)
        if knob is not None:
            yield _field(f, path, variant, base, meta, knob, f.name in shared)


def _field(
    f: dataclasses.Field[Any], path: str, variant: str | None, base: Any, meta: list[Any], knob: Knob, shared: bool
) -> Field:
    optional = False
    if _is_union(base) and type(None) in get_args(base):
        optional = True
        rest = tuple(a for a in get_args(base) if a is not type(None))
        base = rest[0] if len(rest) == 1 else Union[rest]  # noqa: UP007 - built at run time
    choices: tuple[Any, ...] = ()
    item_type = None
    if get_origin(base) is Literal:
        choices, base = get_args(base), type(get_args(base)[0])
    elif get_origin(base) is tuple:
        item_type, item_meta = _bare(get_args(base)[0])
        base, meta = tuple, [*meta, *item_meta]
    elif _is_union(base):  # words or a number, such as "head" | "all" | 3: written as text
        base = str
    names = {at.Gt: "gt", at.Ge: "ge", at.Lt: "lt", at.Le: "le"}
    bounds = {names[type(m)]: getattr(m, names[type(m)]) for m in meta if type(m) in names}
    default = f.default_factory() if f.default is dataclasses.MISSING else f.default
    return Field(
        path=path, variant=variant, type=base, item_type=item_type, optional=optional, choices=choices,
        bounds=bounds, default=default, knob=knob, shared=shared,
    )  # fmt: skip
