"""The report of a check as text for a terminal; the page draws the same fields itself. No torch here."""

from __future__ import annotations

from typing import Any

ANSWERS = {"right": "all right", "half": "half right", "wrong": "all wrong"}


def describe_report(report: dict[str, Any]) -> str:
    """Lines that say whether the loss passed, what it gave, and what was found."""
    lines = [_verdict(report)]
    if "batch" in report:
        shape = " x ".join(map(str, report["batch"]["output"]))
        lines.append(f"on {report['batch']['origin']}, output {shape}")
    if sentence := report.get("inputs", {}).get("sentence"):
        lines.append(sentence)
    if answers := report.get("answers"):
        lines.append("  " + ", ".join(f"{ANSWERS[name]} {_number(value)}" for name, value in answers.items()))
    for name, values in report.get("values", {}).items():
        lines.append(
            f"  {name:5} value {_number(values['value'])}, gradient norm {_number(values.get('gradient_norm'))}"
        )
    if "parameters" in report:
        lines.append(f"  reaches {report['parameters']['reached']} of {report['parameters']['trainable']} parameters")
    if "cost" in report:
        cost = report["cost"]
        lines.append(f"  {cost['seconds'] * 1000:.2f} ms a call, {cost['ratio']:.1f} x {cost['reference']}")
    lines += [f"{finding['level']}: {finding['text']}" for finding in report["findings"]]
    return "\n".join(lines)


def _verdict(report: dict[str, Any]) -> str:
    name = report["entry"] or report["file"]
    if not report["ok"]:
        return f"{name} failed the check for {report['task']}."
    warnings = sum(f["level"] == "warning" for f in report["findings"])
    return f"{name} passed the check for {report['task']}" + (f", with {warnings} warning(s)." if warnings else ".")


def _number(value: float | str | None) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value or "none")
