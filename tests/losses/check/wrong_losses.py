"""Losses that are wrong, each in one way, and what the check must say of it."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """One wrong loss.

    Attributes:
        kind: Of the finding that must be there.
        line: Line that it must name; None for none.
        says: What its text must contain.
        inputs: What the code is given; and ``ignored`` of pixels to ignore.
        is_lethal: The process would not survive: only for the sandbox.
    """

    name: str
    code: str
    kind: str
    says: str
    line: int | None = None
    task: str = "classification"
    level: str = "error"
    entry: str = ""
    inputs: str = "auto"
    ignored: str = "auto"
    is_lethal: bool = False

    @property
    def text(self) -> str:
        return dedent(self.code).lstrip("\n")


WRONG = (
    # ------------------------------------------------------------ cannot be loaded
    Wrong(name="syntax error", kind="syntax", line=2, says="Python cannot read this", code="""
        def my_loss(output, target):
            return (output.mean()
        """),
    Wrong(name="wrong class name", entry="DiceLos", kind="no_entry", says="Did you mean 'DiceLoss'?", code="""
        from torch import nn
        class DiceLoss(nn.Module):
            def forward(self, output, target):
                return output.mean()
        """),
    Wrong(name="several and none named", kind="several", says="dice, focal", code="""
        def dice(output, target):
            return output.mean()
        def focal(output, target):
            return output.mean()
        """),
    Wrong(name="one argument", kind="no_loss", says="my_loss(output)", code="""
        def my_loss(output):
            return output.mean()
        """),
    Wrong(name="class that is no module", kind="not_module", line=1, says="class MyLoss is not an nn.Module", code="""
        class MyLoss:
            def forward(self, output, target):
                return output.mean()
        """),
    Wrong(name="constructor with arguments", kind="needs_arguments", line=2, says="MyLoss() needs gamma", code="""
        from torch import nn
        class MyLoss(nn.Module):
            def __init__(self, gamma):
                super().__init__()
            def forward(self, output, target):
                return output.mean()
        """),
    Wrong(name="no super().__init__()", kind="raises", line=4, says="super().__init__()", code="""
        from torch import nn
        class MyLoss(nn.Module):
            def __init__(self):
                self.part = nn.MSELoss()
            def forward(self, output, target):
                return output.mean()
        """),
    Wrong(name="module not installed", kind="no_module", line=1, says="no module 'monay'", code="""
        import monay
        def my_loss(output, target):
            return output.mean()
        """),
    Wrong(name="exit while read", kind="exits", line=2, says="ends Python", code="""
        import sys
        sys.exit("done")
        """),
    # ------------------------------------------------------------ fails when called
    Wrong(name="name not defined", kind="raises", line=2, says="above: functional = ...", code="""
        def my_loss(output, target):
            return functional.cross_entropy(output, target)
        """),
    Wrong(name="sys.exit", kind="exits", line=3, says="Remove the exit", code="""
        import sys
        def my_loss(output, target):
            sys.exit(1)
        """),
    Wrong(name="one-hot missing", inputs="as_is", kind="raises", line=3, says="one_hot(target, output.shape[1])",
          code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            return F.binary_cross_entropy_with_logits(output, target)
        """),
    Wrong(name="sigmoid missing", task="multilabel", inputs="as_is", kind="raises", line=3, says="output.sigmoid()",
          code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            return F.binary_cross_entropy(output, target)
        """),
    # ------------------------------------------------------------ no usable value
    Wrong(name="no number", task="regression", kind="not_scalar", line=2, says="shape (0, 1)", code="""
        def my_loss(output, target):
            return (output - target)[:0]
        """),
    Wrong(name="not reduced", task="regression", kind="averaged", level="note", line=2, says="shape (8, 1)", code="""
        def my_loss(output, target):
            return (output - target) ** 2
        """),
    Wrong(name="nothing returned", task="regression", kind="no_value", line=1, says="returns nothing", code="""
        def my_loss(output, target):
            loss = (output - target).square().mean()
        """),
    Wrong(name="integer output", kind="not_float", line=2, says="torch.int64", code="""
        def my_loss(output, target):
            wrong = output.argmax(1) != target
            return wrong.sum()
        """),
    Wrong(name="accuracy as a loss", kind="detached", line=2, says="argmax has no gradient", code="""
        def my_loss(output, target):
            predictions = output.argmax(1)
            return (predictions != target).float().mean()
        """),
    Wrong(name=".item()", task="regression", kind="not_tensor", line=3, says="without .item()", code="""
        def my_loss(output, target):
            loss = (output - target).square().mean()
            return loss.item()
        """),
    Wrong(name="detached", task="regression", kind="detached", line=2, says="Remove .detach()", code="""
        def my_loss(output, target):
            error = output.detach() - target
            return error.square().mean()
        """),
    Wrong(name="numpy", task="regression", kind="not_tensor", line=3, says="torch operations instead of NumPy", code="""
        import numpy as np
        def my_loss(output, target):
            return np.mean((output.detach().numpy() - target.numpy()) ** 2)
        """),
    Wrong(name="torch.tensor of a tensor", task="regression", kind="detached", line=4, says="makes a copy", code="""
        import torch
        def my_loss(output, target):
            loss = (output - target).square().mean()
            return torch.tensor(loss)
        """),
    Wrong(name="no_grad", task="regression", kind="detached", line=4, says="Remove torch.no_grad()", code="""
        import torch
        def my_loss(output, target):
            with torch.no_grad():
                return (output - target).square().mean()
        """),
    Wrong(name="constant", kind="constant", line=3, says="does not depend on output", code="""
        import torch
        def my_loss(output, target):
            return torch.zeros(())
        """),
    Wrong(name="in-place on the output", task="multilabel", kind="in_place", line=2, says="writes over output", code="""
        def my_loss(output, target):
            probs = output.sigmoid_()
            return (probs - target).square().mean()
        """),
    Wrong(name="in-place on the target", task="segmentation", inputs="as_is", kind="in_place", line=3,
          says="writes over target", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            target[target == 255] = 0
            return F.cross_entropy(output, target)
        """),
    # ------------------------------------------------------------ NaN and overflow
    Wrong(name="NaN when right", task="regression", kind="corner_gradient_not_finite", level="warning", line=2,
          says="right and sure", code="""
        def my_loss(output, target):
            return (output - target).square().mean().sqrt()
        """),
    Wrong(name="log of 0", task="multilabel", kind="corner_not_finite", line=4, says="log_softmax", code="""
        import torch
        def my_loss(output, target):
            p = output.sigmoid()
            return -(target * p.log() + (1 - target) * torch.log(1 - p)).mean()
        """),
    Wrong(name="division by 0", task="regression", kind="corner_not_finite", line=3, says="all targets equal", code="""
        def my_loss(output, target):
            o, t = output - output.mean(), target - target.mean()
            return 1 - (o * t).sum() / (o.norm() * t.norm())
        """),
    Wrong(name="Dice that overflows in half precision", task="segmentation", kind="half_overflow", level="note",
          line=5, says="at 512 x 512", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            probs = output.softmax(1)
            truth = F.one_hot(target.clamp(max=output.shape[1] - 1), output.shape[1]).movedim(-1, 1).to(output.dtype)
            overlap = (probs * truth).sum()
            size = probs.sum() + truth.sum()
            return 1 - 2 * overlap / size
        """),
    # ------------------------------------------------------------ means something else
    Wrong(name="score instead of loss", kind="upside_down", line=7, says="return 1 - score", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            probs = output.softmax(1)
            truth = F.one_hot(target, output.shape[1])
            overlap = (probs * truth).sum()

            return 2 * overlap / (probs + truth).sum()
        """),
    Wrong(name="target not used", kind="ignores_target", line=2, says="does not depend on target", code="""
        def my_loss(output, target):
            return output.square().mean()
        """),
    Wrong(name="cross entropy of numbers", task="regression", kind="least_elsewhere", line=3,
          says="neither a logit", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            return F.binary_cross_entropy_with_logits(output, target)
        """),
    Wrong(name="counts of which the logarithm is learned", task="regression", kind="least_elsewhere", line=None,
          says="nor a logarithm", code="""
        from torch import nn
        criterion = nn.PoissonNLLLoss()
        """),
    Wrong(name="errors to one side", task="regression", kind="one_sided", line=3, says="4 too large", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            return F.relu(target - output).mean()
        """),
    Wrong(name="hard decisions by round", task="multilabel", kind="zero_gradient", line=3, says="round has none",
          code="""
        import torch
        def my_loss(output, target):
            predictions = torch.round(output.sigmoid())
            return (predictions - target).square().mean()
        """),
    Wrong(name="the same for all answers", kind="blind", line=3, says="for right and for wrong", code="""
        def my_loss(output, target):
            probs = output.softmax(1) + 0.001
            return probs.sum(1).mean()
        """),
    Wrong(name="MSE on class numbers", kind="class_numbers", line=2, says="one-hot", code="""
        def my_loss(output, target):
            return (output.softmax(1) - target.unsqueeze(1)).square().mean()
        """),
    Wrong(name="softmax missing", task="segmentation", inputs="as_is", kind="raw_output", level="warning",
          line=4, says="output.softmax(1)", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            truth = F.one_hot(target.clamp(max=output.shape[1] - 1), output.shape[1]).movedim(-1, 1)
            overlap = (output * truth).sum((0, 2, 3))
            size = (output + truth).sum((0, 2, 3))
            return (1 - 2 * overlap / size).mean()
        """),
    Wrong(name="softmax twice", kind="twice", line=3, says="given probabilities", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            return F.cross_entropy(output.softmax(1), target)
        """),
    Wrong(name="sigmoid twice on one-hot targets", kind="twice", line=4, says="given probabilities", code="""
        from torch.nn import functional as F
        def my_loss(inputs, targets):
            probs = F.sigmoid(inputs).view(-1)
            return F.binary_cross_entropy_with_logits(probs, targets.view(-1))
        """),
    Wrong(name="probabilities where logits are wanted", inputs="probs_one_hot", task="segmentation", kind="twice",
          line=3, says="probabilities already", code="""
        import torch
        def my_loss(inputs, targets):
            probs = torch.sigmoid(inputs).view(-1)
            targets = targets.view(-1)
            return 1 - (2 * (probs * targets).sum() + 1) / (probs.sum() + targets.sum() + 1)
        """),
    Wrong(name="target first by name", kind="swapped", line=1, says="(y_pred, y_true)", code="""
        def my_loss(y_true, y_pred):
            return ((y_pred - y_true) ** 2).mean()
        """),
    Wrong(name="target first in the call", task="segmentation", kind="swapped", line=4, says="the output first",
          code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            probs = output.softmax(1)
            return F.binary_cross_entropy(target, probs)
        """),
    Wrong(name="softmax over the images", kind="wrong_axis", line=3, says="dim=1", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            probs = F.softmax(output, dim=0)
            return ((probs - F.one_hot(target, output.shape[1])) ** 2).mean()
        """),
    Wrong(name="softmax over a row of pixels", task="segmentation", kind="wrong_axis", line=2, says="dim=1", code="""
        def my_loss(output, target):
            probs = output.softmax(dim=-1)
            return ((probs - target) ** 2).mean()
        """),
    Wrong(name="softmax by hand over the images", kind="wrong_axis", line=2, says="dim=1", code="""
        def my_loss(output, target):
            probs = torch.exp(output) / torch.exp(output).sum(0)
            return ((probs - target) ** 2).mean()
        """),
    Wrong(name="softmax by hand over a row of pixels", task="segmentation", kind="wrong_axis", line=3, says="dim=1",
          code="""
        def my_loss(output, target):
            grown = (output - output.max()).exp()
            probs = grown / grown.sum(-1, keepdim=True)
            return ((probs - target) ** 2).mean()
        """),
    Wrong(name="log-softmax by hand over the images", kind="wrong_axis", line=2, says="dim=1", code="""
        def my_loss(output, target):
            logp = output - output.logsumexp(0, keepdim=True)
            return -logp.gather(1, target.unsqueeze(1)).mean()
        """),
    Wrong(name="softmax by hand over labels", task="multilabel", kind="softmax_of_labels", line=2, says="two classes",
          code="""
        def my_loss(output, target):
            probs = output.exp() / output.exp().sum(0)
            return ((probs - target) ** 2).mean()
        """),
    Wrong(name="view that mixes classes and pixels", task="segmentation", kind="wrong_axis", line=3,
          says="bring them last", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            return F.cross_entropy(output.view(-1, output.shape[1]), target.view(-1))
        """),
    Wrong(name="nll_loss of raw output", inputs="as_is", kind="nll", line=3, says="log_softmax(1)", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            return F.nll_loss(output, target)
        """),
    Wrong(name="nll_loss of probabilities", kind="nll", line=3, says="log_softmax(1)", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            return F.nll_loss(output.softmax(1), target)
        """),
    Wrong(name="overlap of raw outputs as a loss", task="multilabel", kind="no_meaning", line=2,
          says="choose what the code is given", code="""
        def my_loss(output, target):
            return (2 * (output * target).sum(1) / ((output + target).sum(1) + 1e-4)).mean()
        """),
    Wrong(name="softmax of labels", task="multilabel", inputs="as_is", kind="softmax_of_labels", line=2,
          says="an image may have several", code="""
        def my_loss(output, target):
            return (output.softmax(1) - target).square().mean()
        """),
    Wrong(name="labels of -1 and 1 expected", task="multilabel", kind="one_sided", line=2,
          says="every label is answered", code="""
        def my_loss(output, target):
            return (1 - target * output).clamp(min=0).mean()
        """),
    Wrong(name="logarithm of what may be negative", task="regression", kind="corner_not_finite", line=3,
          says="output.clamp(min=1e-3)", code="""
        import torch
        def my_loss(output, target):
            return torch.nn.functional.mse_loss(torch.log(output + 1), torch.log(target + 1)).sqrt()
        """),
    Wrong(name="Poisson of what may be negative", task="regression", kind="corner_not_finite",
          says="may answer any number", code="""
        import torch
        my_loss = torch.nn.PoissonNLLLoss(log_input=False)
        """),
    Wrong(name="another number of classes", kind="raises", line=7, says="Set num_classes=3", code="""
        from torch import nn
        class MyLoss(nn.Module):
            def __init__(self, num_classes=10):
                super().__init__()
                self.num_classes = num_classes
            def forward(self, output, target):
                return (output.softmax(1) - nn.functional.one_hot(target, self.num_classes)).square().mean()
        """),
    Wrong(name="class numbers as targets of a sigmoid", kind="class_numbers", line=3, says="0, 1, ... 2", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            return F.binary_cross_entropy_with_logits(output[:, 1] - output[:, 0], target.float())
        """),
    Wrong(name="shapes that broadcast", task="regression", kind="broadcast", line=2,
          says="(8, 1) and (8,)", code="""
        def my_loss(output, target):
            return (output - target.squeeze(1)).square().mean()
        """),
    # ------------------------------------------------------------ has side effects
    Wrong(name="fails on one image", kind="corner_raises", line=3, says="a batch of one image", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            return F.cross_entropy(output.view(2, -1, output.shape[1]).flatten(0, 1), target)
        """),
    Wrong(name="ignored pixels not expected", task="segmentation", ignored="given", kind="corner_raises",
          level="warning", line=3, says="valid = target != 255", code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            truth = F.one_hot(target, output.shape[1]).movedim(-1, 1).float()
            return (output.softmax(1) - truth).square().mean()
        """),
    Wrong(name="seeds the random numbers", task="regression", kind="random_state", level="warning", line=3,
          says="exact resume", code="""
        import torch
        def my_loss(output, target):
            torch.manual_seed(0)
            return (output - target).square().mean()
        """),
    Wrong(name="chance", task="regression", kind="not_repeatable", level="warning", says="for the same output", code="""
        import torch
        def my_loss(output, target):
            return (output - target + 0.1 * torch.randn_like(output)).square().mean()
        """),
    Wrong(name="changes torch's defaults", task="regression", kind="defaults", line=2, says="for everything after it",
          code="""
        import torch
        torch.set_default_dtype(torch.float64)
        def my_loss(output, target):
            return (output - target).square().mean()
        """),
    Wrong(name="tensor on the processor", kind="cpu_tensor", level="warning", line=4, says="device=output.device",
          code="""
        import torch
        from torch.nn import functional as F
        def my_loss(output, target):
            weight = torch.tensor([1.0, 2.0, 3.0])
            return F.cross_entropy(output, target, weight)
        """),
    Wrong(name="plain tensor in a class", kind="plain_tensor", level="warning", line=7, says="register_buffer('weight'",
          code="""
        import torch
        from torch import nn
        from torch.nn import functional as F
        class MyLoss(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = torch.tensor([1.0, 2.0, 3.0])
            def forward(self, output, target):
                return F.cross_entropy(output, target, self.weight)
        """),
    Wrong(name="parameters of its own", kind="own_parameters", level="note", says="trained in a group named loss",
          code="""
        import torch
        from torch import nn
        from torch.nn import functional as F
        class MyLoss(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(torch.ones(()))
            def forward(self, output, target):
                return F.cross_entropy(self.scale * output, target)
        """),
    Wrong(name="waits for the GPU", task="regression", kind="waits", level="note", line=3, says="at every step",
          code="""
        def my_loss(output, target):
            loss = (output - target).square().mean()
            if loss.item() > 1e9:
                return loss * 2
            return loss
        """),
    Wrong(name="loop over images and rows", task="segmentation", kind="costly", level="warning", says="Python loops",
          code="""
        from torch.nn import functional as F
        def my_loss(output, target):
            total = 0
            for image, mask in zip(output, target):
                for y in range(0, image.shape[1], 2):
                    part, classes = image[None, :, y : y + 2], mask[None, y : y + 2]
                    total = total + F.cross_entropy(part, classes, ignore_index=255, reduction="sum")
            return total / target.numel()
        """),
    Wrong(name="float64", task="regression", kind="float64", level="warning", line=2, says="twice the memory", code="""
        def my_loss(output, target):
            return (output.double() - target).square().mean()
        """),
    # ------------------------------------------------------------ ends or blocks the process
    Wrong(name="endless loop", kind="time", line=2, says="did not end within", is_lethal=True, code="""
        def my_loss(output, target):
            while True: pass
        """),
    Wrong(name="os._exit", kind="exits", line=4, says="exit code 7", is_lethal=True, code="""
        import os, subprocess
        def my_loss(output, target):
            print("CHILD", subprocess.Popen(["sleep", "1000"]).pid)
            os._exit(7)
        """),
    Wrong(name="segmentation fault", kind="crash", line=3, says="SIGSEGV", is_lethal=True, code="""
        import ctypes
        def my_loss(output, target):
            ctypes.string_at(0)
        """),
    Wrong(name="10 GB", kind="memory", line=3, says="10.0 GiB", is_lethal=True, code="""
        import torch
        def my_loss(output, target):
            table = torch.ones(10 * 2**28)
            return output.mean() + table.mean()
        """),
    Wrong(name="flood of text", kind="prints", line=3, says="prints or writes more", is_lethal=True, code="""
        def my_loss(output, target):
            while True:
                print("x" * 10_000)
        """),
    Wrong(name="threads", task="regression", kind="threads", level="warning", line=4, says="leaves threads running",
          is_lethal=True, code="""
        import threading, time
        def my_loss(output, target):
            if threading.active_count() < 3:
                threading.Thread(target=time.sleep, args=(1000,)).start()
            return (output - target).square().mean()
        """),
    Wrong(name="processes", task="regression", kind="processes", says="more than 16 processes", is_lethal=True, code="""
        import subprocess, sys
        def my_loss(output, target):
            [subprocess.Popen(["sleep", "1000"]) for _ in range(20)][0].wait()
            return (output - target).square().mean()
        """),
)  # fmt: skip
