"""Starting points for a loss of one's own, as text: MSE and Dice in both styles, for each task. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent
from typing import Literal

from fine_tuner.config.tasks import TASK_SPECS, TargetKind, target_kind

Style = Literal["function", "class"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """Text of a Python file that defines a working loss.

    Attributes:
        label: For a list of templates.
    """

    label: str
    example: str
    style: Style
    task: str
    text: str


_ABOUT = {
    TargetKind.CLASS: ("(B, K) raw scores of K classes, float32", "(B,) number of the true class, int64"),
    TargetKind.MASK: ("(B, K, H, W) raw scores of K classes, float32", "(B, H, W) classes, int64; 255: ignore"),
    TargetKind.LABELS: ("(B, K) raw scores of K labels, float32", "(B, K) 1 where the label is there, else 0, float32"),
    TargetKind.NUMBERS: ("(B, D) predicted numbers, float32", "(B, D) true numbers, float32"),
}  # fmt: skip
_MSE = {
    TargetKind.CLASS: """\
probs = output.softmax(1)
truth = F.one_hot(target, output.shape[1]).float()
return (probs - truth).square().mean()""",
    TargetKind.MASK: """\
valid = target != 255
probs = output.softmax(1)
truth = F.one_hot(target * valid, output.shape[1]).movedim(-1, 1).float()
per_pixel = (probs - truth).square().mean(1)
return (per_pixel * valid).sum() / valid.sum().clamp(min=1)""",
    TargetKind.LABELS: "return (output.sigmoid() - target).square().mean()",
    TargetKind.NUMBERS: "return (output - target).square().mean()",
}
_DICE = {
    TargetKind.CLASS: """\
probs = output.float().softmax(1)
truth = F.one_hot(target, output.shape[1]).float()
overlap = (probs * truth).sum(0)
size = (probs + truth).sum(0)
return 1 - (2 * overlap / size.clamp(min=1e-6)).mean()""",
    TargetKind.MASK: """\
valid = (target != 255).unsqueeze(1)
probs = output.float().softmax(1) * valid  # float(): sums over a mask overflow float16
truth = F.one_hot(target * valid.squeeze(1), output.shape[1]).movedim(-1, 1) * valid
overlap = (probs * truth).sum((0, 2, 3))
size = (probs + truth).sum((0, 2, 3))
return 1 - (2 * overlap / size.clamp(min=1e-6)).mean()""",
    TargetKind.LABELS: """\
probs = output.float().sigmoid()
overlap = (probs * target).sum(0)
size = (probs + target).sum(0)
return 1 - (2 * overlap / size.clamp(min=1e-6)).mean()""",
}
_EXAMPLES = {"mse": ("MSE", _MSE), "dice": ("Dice", _DICE)}


def _text(example: str, style: Style, task: str) -> str:
    name, bodies = _EXAMPLES[example]
    output, target = _ABOUT[target_kind(task)]
    body = bodies[target_kind(task)]
    functional = "from torch.nn import functional as F\n" if "F." in body else ""
    about = f'"""{name} for {task}.\n\noutput: {output}\ntarget: {target}\n"""'
    if style == "function":
        imports = f"import torch\n{functional}"
        code = f"def my_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:\n{indent(body, ' ' * 4)}\n"
    else:
        imports = f"import torch\nfrom torch import nn\n{functional}"
        forward = "def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:\n"
        code = f"class MyLoss(nn.Module):\n{indent(forward + indent(body, ' ' * 4), ' ' * 4)}\n"
    return f"{about}\n\n{imports}\n\n{code}"


TEMPLATES: tuple[Template, ...] = tuple(
    Template(
        label=f"{_EXAMPLES[example][0]}, as a {style}", example=example, style=style, task=task,
        text=_text(example, style, task),
    )
    for task in TASK_SPECS
    for example in _EXAMPLES
    if target_kind(task) in _EXAMPLES[example][1]
    for style in ("function", "class")
)  # fmt: skip


def templates_for(task: str) -> tuple[Template, ...]:
    """The templates of a task, the simplest first."""
    return tuple(t for t in TEMPLATES if t.task == task)
