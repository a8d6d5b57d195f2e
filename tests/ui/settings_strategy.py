"""Random settings for property tests, drawn from the knobs: every variant, values within the bounds."""

from __future__ import annotations

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.io import CHOICES, FIELDS, parse
from fine_tuner.config.knobs import Field
from fine_tuner.config.sections.data import SAMPLE_DATA
from fine_tuner.config.settings import Settings

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=12)


def _number(field: Field) -> st.SearchStrategy[Any]:
    low = field.bounds.get("ge", field.bounds.get("gt", 0))
    high = field.bounds.get("le", field.bounds.get("lt", 1000))
    if field.type is int:
        return st.integers(int(low) + ("gt" in field.bounds), int(high) - ("lt" in field.bounds))
    return st.floats(
        float(low), float(high), exclude_min="gt" in field.bounds, exclude_max="lt" in field.bounds, allow_nan=False,
        allow_subnormal=False,
    )  # fmt: skip


def _value(field: Field) -> st.SearchStrategy[Any]:
    special = {
        "data.path": st.just(SAMPLE_DATA),
        "model.weights": st.sampled_from(["default", "none", "IMAGENET1K_V2"]),
        "model.trainable": st.sampled_from(["head", "all", "gradual", 1, 2, 7]),
        "title": TEXT,
    }
    if field.path in special:
        return special[field.path]
    if field.choices:
        drawn: st.SearchStrategy[Any] = st.sampled_from(field.choices)
    elif field.type is bool:
        drawn = st.booleans()
    elif field.type in (int, float):
        drawn = _number(field)
    else:  # lists and free text have rules of their own: as by default
        return st.just(field.default)
    return st.none() | drawn if field.optional else drawn


@st.composite
def settings(draw: st.DrawFn) -> Settings:
    """Valid settings; those that break a rule between fields are drawn again."""
    tree: dict[str, Any] = {}
    for path, choice in CHOICES.items():
        tags = [tag for tag in choice.variants if tag != "custom"]
        tree[path] = {"name": draw(st.sampled_from(tags))}
    for field in FIELDS:
        *parents, leaf = field.path.split(".")
        if field.variant is not None and tree[parents[0]]["name"] != field.variant:
            continue
        node = tree
        for key in parents:
            node = node.setdefault(key, {})
        node[leaf] = draw(_value(field)) if draw(st.booleans()) else field.default
    try:
        return parse(tree)
    except ConfigError:
        assume(False)
        raise
