"""What to do about what went wrong in a user's loss: remedies for exceptions and for operations without a gradient."""

from __future__ import annotations

import errno
import re

import torch
from torch import Tensor

from fine_tuner.losses.code import first_sentence
from fine_tuner.losses.custom import NO_GPU, asks_for_gpu, defines
from fine_tuner.losses.trials.tracing import Step

NO_NUMPY = "Use torch operations instead of NumPy: a gradient passes only through torch."
_NO_GRADIENT = {
    "item": "Return the tensor itself, without .item().",
    "__float__": "Return the tensor itself, without float().",
    "__int__": "Return the tensor itself, without int().",
    "detach": "Remove .detach(): the loss needs the gradient.",
    "data": "Remove .data: the loss needs the gradient.",
    "numpy": NO_NUMPY,
    "__array__": NO_NUMPY,
    "tolist": "Use torch operations on the tensor instead of a list.",
    "tensor": "Use the tensor as it is: torch.tensor(...) makes a copy without a gradient.",
    "argmax": "argmax has no gradient: compare probabilities, as in output.softmax(1), with the target.",
}


def cut_remedy(step: Step) -> str:
    """What to do about an operation that lost the gradient."""
    if not step.is_grad_enabled:
        return "Remove torch.no_grad() around it."
    default = f"{step.name} has no gradient: use probabilities, as in output.softmax(1), instead of hard decisions."
    return _NO_GRADIENT.get(step.name, default)


def exception_remedy(error: BaseException, output: Tensor, target: Tensor) -> tuple[str, str, str]:
    """Kind, what and remedy for an exception raised by the user's code."""
    shapes = f"output is {_shape(output)}, target is {_shape(target)}"
    if isinstance(error, SystemExit):
        return "exits", f"the loss ends Python ({first_sentence(error)})", "Remove the exit; raise an error instead."
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        asked = re.search(r"tried to allocate (\d+) bytes", str(error))
        amount = f" for {int(asked[1]) / 2**30:.1f} GiB at once" if asked else ""
        return "memory", f"the loss asks{amount} beyond the memory limit of the check", "Build smaller tensors."
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return "prints", "the loss prints or writes more than the check allows", "Remove the printing."
    if isinstance(error, NameError) and error.name:
        return "raises", f"the loss fails, {first_sentence(error)}", f"Define it above: {defines(error.name)}"
    if asks_for_gpu(error):
        return "no_gpu", "the code asks for a GPU, and none is used here", NO_GPU
    if isinstance(error, RecursionError):
        return "raises", "the loss calls itself without end", "Give the recursion an end."
    return (
        "raises",
        f"the loss fails, {first_sentence(error)} ({shapes})",
        (_remedy_of_kind(str(error), target) or _remedy(str(error), output, target)),
    )


def _remedy_of_kind(message: str, target: Tensor) -> str | None:
    """For code that was written for another kind of target; None for any other mistake."""
    if "elements of target should be between 0 and 1" in message:
        return "Compare numbers as they are, as in (output - target) ** 2: a binary cross entropy takes 0 and 1 alone."
    if "one_hot" in message and target.is_floating_point():
        return "The target holds no class numbers: compare it as it is, without one_hot."
    return None


def _remedy(message: str, output: Tensor, target: Tensor) -> str:
    indices = target.dtype == torch.int64
    one_hot = "torch.nn.functional.one_hot(target, output.shape[1])" + (".movedim(-1, 1)" if output.ndim > 2 else "")
    if "between 0 and 1" in message:
        return "Turn the output into probabilities first: output.sigmoid(), or use binary_cross_entropy_with_logits."
    if "leaf Variable" in message or "inplace" in message or "in-place" in message:
        return "Use an operation without '_' at its end."
    if "same device" in message:
        return (
            "Create tensors beside the output: torch.tensor(..., device=output.device), or register_buffer in a class."
        )
    if "forward() call" in message or "super().__init__" in message or "before Module.__init__" in message:
        return "Start __init__ with super().__init__()."
    if "one_hot" in message or "Class values must be" in message:
        return "Masks may hold 255 for 'ignore': leave these pixels out first (valid = target != 255)."
    mismatch = ("size of tensor", "must match", "same as input", "same size", "expected scalar type", "found dtype")
    if indices and (any(m in message for m in mismatch) or "Long" in message):
        return f"The target holds class numbers: make them one-hot, {one_hot}.float()."
    if "Long" in message or "expected scalar type" in message:
        return "Convert the target: target.float()."
    if len(output) == 1 and any(m in message for m in mismatch):
        return "Write squeeze(1) where there is squeeze(), which takes the axis of a batch of one image too."
    if any(m in message for m in mismatch) or "shape" in message:
        return "Make the shapes agree with these."
    return "Correct the line with these shapes in mind."


def _shape(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
