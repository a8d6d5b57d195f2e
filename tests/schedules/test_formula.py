"""A formula is arithmetic in a few names and nothing else, and says what is wrong with itself."""

from __future__ import annotations

import math
import time

import pytest

from fine_tuner.config.sections.formula import Formula, ScheduleFactor

NAMES = ("step", "total_steps")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 - step / total_steps", 0.75),
        ("0.5 * (1 + cos(pi * step / total_steps))", 0.5 * (1 + math.cos(math.pi / 4))),
        ("0.9 ** (step // 10)", 0.9**2),
        ("-step % 10", 5.0),
        ("1 if step < 10 else 0.1", 0.1),
        ("min(1, step / 50, 3) + max(0, -1)", 0.5),
        ("exp(-e) + sqrt(4) + floor(1.5) + ceil(1.5) + round(2.4)", math.exp(-math.e) + 2 + 1 + 2 + 2),
        ("0 < step < 30 and not step == 3", 1.0),
        ("(step > 5) + (step > 10) + True", 3.0),
        ("  1e-1  ", 0.1),
    ],
)
def test_it_is_python_s_arithmetic(text: str, expected: float) -> None:
    assert Formula(text, NAMES)(step=25, total_steps=100) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a formula"),
        ("1 +", "is not a formula"),
        ("step = 3", "is not a formula"),
        ("import os", "is not a formula"),
        ("__import__('os')", "may not be called"),
        ("().__class__", "Tuple may not be used|Attribute may not be used"),
        ("step.real", "Attribute may not be used"),
        ("(lambda: 1)()", "may not be called"),
        ("[x for x in (1,)]", "may not be used"),
        ("'a' * 3", "'a' in .* is not a number"),
        ("2j", "2j in .* is not a number"),
        ("steps / 2", "unknown name 'steps'.*known are step, total_steps"),
        ("eval('1')", "may not be called"),
        ("cos(x=1)", "may not be called"),
        ("1 << 100", "LShift may not be used"),
        ("step is 3", "Is may not be used"),
        ("f'{step}'", "may not be used"),
        ("(step := 3)", "may not be used"),
        ("1" * 400, "is too large|is not a formula"),
        ("-" * 600 + "1", "too deep|too long"),
        ("+".join(["1"] * 300), "too long"),
    ],
)
def test_what_is_not_arithmetic_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Formula(text, NAMES)


def test_the_name_of_a_function_is_no_number() -> None:
    with pytest.raises(ValueError, match="cannot be computed"):
        Formula("cos", NAMES)(step=1, total_steps=2)


@pytest.mark.parametrize(
    "text", ["10**10**10", "9**9**9**9", "(1 < 2) + 1 if False else ((1<2)+(1<2)) ** 2 ** 2 ** 2 ** 2 ** 2"]
)
def test_no_formula_fills_the_memory_with_digits(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(ValueError, match="cannot be computed"):
        Formula(text, NAMES)(step=1, total_steps=2)
    assert time.process_time() - begun < 0.1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / step", r"cannot be computed \(.*division by zero\) at step=0, total_steps=100"),
        ("log(step)", r"cannot be computed .* at step=0"),
        ("sqrt(-1)", "cannot be computed"),
        ("(-1) ** 0.5", "cannot be computed"),
        ("exp(1000)", "cannot be computed"),
        ("1e308 * 10", "is inf at step=0"),
        ("1e308 * 10 - 1e308 * 10", "is nan at step=0"),
        ("cos(1, 2)", "cannot be computed"),
    ],
)
def test_what_cannot_be_computed_names_the_values(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Formula(text, NAMES)(step=0, total_steps=100)


def test_epoch_counts_whole_epochs_after_the_warm_up() -> None:
    """Steps 12, 13, ... of the run are the schedule's; epochs end after steps 5, 10, 15, ... of the run."""
    factor = ScheduleFactor("epoch", ticks=8, steps_per_epoch=5, warmup_steps=12)
    assert [factor(tick) for tick in range(8)] == [0, 0, 0, 1, 1, 1, 1, 1]


def test_a_negative_rate_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"'1 - step' is -1 at step=2, epoch=0, total_steps=4, but a rate is at least 0"
    ):
        ScheduleFactor("1 - step", ticks=4, steps_per_epoch=4)(2)
