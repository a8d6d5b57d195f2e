"""Losses as people bring them, from notes and notebooks, told in our own words; each as a function and as a class.

``SIGMOID`` ones apply a sigmoid and flatten, so they were written for one foreground; ``PLAIN`` ones compare what they
get with the target; the others follow a convention of torch's.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent, indent

CLASSES = (("classification", 2), ("classification", 5), ("segmentation", 2), ("segmentation", 4))
LABELS = (("multilabel", 3),)
NUMBERS = (("regression", 1), ("regression", 2))
SIGMOID = {
    ("classification", 2): "foreground_logit", ("classification", 5): "margins_one_hot",
    ("segmentation", 2): "foreground_logit", ("segmentation", 4): "margins_one_hot", ("multilabel", 3): "as_is",
}  # fmt: skip
TWO_CLASSES = (("classification", 2), ("segmentation", 2))
SQUEEZED = dict.fromkeys(TWO_CLASSES, "foreground_logit_squeezed")
SQUEEZED_PROBS = dict.fromkeys(TWO_CLASSES, "foreground_prob_squeezed")
PROBS = dict.fromkeys((*CLASSES, *LABELS), "probs_one_hot")
PLAIN = PROBS | dict.fromkeys(NUMBERS, "as_is")
ONE_HOT = dict.fromkeys(CLASSES, "logits_one_hot") | dict.fromkeys(LABELS, "two_classes_one_hot")
NUMBERED = dict.fromkeys(CLASSES, "as_is") | dict.fromkeys(LABELS, "two_classes")
OF_PROBS = dict.fromkeys(CLASSES, "probs")
OF_LOG_PROBS = dict.fromkeys(CLASSES, "log_probs")
CHANNELLED = dict.fromkeys(CLASSES, "as_is_unsqueezed")
OF_ROWS = dict.fromkeys(CLASSES[:2], "as_is") | dict.fromkeys(CLASSES[2:], "pixels")
EMBEDDED = {("classification", 2): "as_is", ("classification", 5): "as_is"}


@dataclass(frozen=True, kw_only=True)
class Brought:
    """One loss.

    Attributes:
        body: Of ``(inputs, targets)``, with the names of ``extra``.
        extra: Arguments with defaults.
        chosen: (task, outputs) to the form that ``auto`` must come to.
        twin: Our own loss of the same purpose, by task, whose value training must lower.
    """

    name: str
    body: str
    chosen: dict[tuple[str, int], str]
    twin: dict[str, str]
    extra: str = ""

    def text(self, style: str) -> str:
        """The file that a person brings."""
        body = dedent(self.body).strip("\n")
        imports = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n"
        extra = f", {self.extra}" if self.extra else ""
        if style == "function":
            return f"{imports}def my_loss(inputs, targets{extra}):\n{indent(body, '    ')}\n"
        made = "def __init__(self, weight=None, size_average=True):\n    super().__init__()\n\n"
        forward = f"def forward(self, inputs, targets{extra}):\n{indent(body, '    ')}"
        return f"{imports}class MyLoss(nn.Module):\n{indent(made + forward, '    ')}\n"


OVERLAP = dict.fromkeys(("classification", "segmentation", "multilabel"), "dice")
ENTROPY = {"classification": "cross_entropy", "segmentation": "cross_entropy"}
ANY_ENTROPY = ENTROPY | {"multilabel": "binary_cross_entropy"}
BROUGHT = (
    Brought(name="MSE", chosen=PLAIN, twin=dict.fromkeys(("classification", "segmentation", "multilabel", "regression"),
            "mse"), body="""
        return torch.mean((inputs - targets) ** 2)
        """),
    Brought(name="MAE", chosen=PLAIN, twin=dict.fromkeys(("classification", "segmentation", "multilabel"), "mse")
            | {"regression": "l1"}, body="""
        return torch.mean(torch.abs(inputs - targets))
        """),
    Brought(name="Dice", chosen=SIGMOID, twin=OVERLAP, extra="smooth=1", body="""
        inputs = F.sigmoid(inputs).view(-1)
        targets = targets.view(-1)
        intersection = (inputs * targets).sum()
        return 1 - (2.0 * intersection + smooth) / (inputs.sum() + targets.sum() + smooth)
        """),
    Brought(name="Dice without smoothing", chosen=SIGMOID, twin=OVERLAP, body="""
        p = torch.sigmoid(inputs).reshape(-1)
        t = targets.reshape(-1)
        return 1 - 2 * (p * t).sum() / (p.sum() + t.sum())
        """),
    Brought(name="Dice of probabilities", chosen=PROBS, twin=OVERLAP, extra="eps=1e-6", body="""
        inter = torch.sum(inputs * targets)
        return 1 - (2 * inter + eps) / (torch.sum(inputs) + torch.sum(targets) + eps)
        """),
    Brought(name="Dice an image", chosen=SIGMOID, twin=OVERLAP, extra="smooth=1.0", body="""
        p = torch.sigmoid(inputs).flatten(1)
        t = targets.flatten(1)
        score = (2 * (p * t).sum(1) + smooth) / (p.sum(1) + t.sum(1) + smooth)
        return 1 - score.mean()
        """),
    Brought(name="IoU", chosen=SIGMOID, twin=dict.fromkeys(OVERLAP, "jaccard"), extra="smooth=1", body="""
        inputs = torch.sigmoid(inputs).view(-1)
        targets = targets.view(-1)
        both = (inputs * targets).sum()
        either = (inputs + targets).sum() - both
        return 1 - (both + smooth) / (either + smooth)
        """),
    Brought(name="BCE and Dice", chosen=SIGMOID, twin=OVERLAP, extra="smooth=1", body="""
        inputs = torch.sigmoid(inputs).view(-1)
        targets = targets.view(-1)
        overlap = (inputs * targets).sum()
        dice = 1 - (2.0 * overlap + smooth) / (inputs.sum() + targets.sum() + smooth)
        return F.binary_cross_entropy(inputs, targets, reduction="mean") + dice
        """),
    Brought(name="focal", chosen=SIGMOID, twin=dict.fromkeys(OVERLAP, "focal"), extra="alpha=0.8, gamma=2", body="""
        inputs = torch.sigmoid(inputs).view(-1)
        targets = targets.view(-1)
        bce = F.binary_cross_entropy(inputs, targets, reduction="mean")
        return alpha * (1 - torch.exp(-bce)) ** gamma * bce
        """),
    Brought(name="focal an element", chosen=SIGMOID, twin=dict.fromkeys(OVERLAP, "focal"), extra="gamma=2.0", body="""
        bce = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
        p_t = torch.exp(-bce)
        return (1 - p_t) ** gamma * bce
        """),
    Brought(name="Tversky", chosen=SIGMOID, twin=dict.fromkeys(OVERLAP, "tversky"),
            extra="smooth=1, alpha=0.5, beta=0.5", body="""
        inputs = torch.sigmoid(inputs).view(-1)
        targets = targets.view(-1)
        hits = (inputs * targets).sum()
        alarms = ((1 - targets) * inputs).sum()
        misses = (targets * (1 - inputs)).sum()
        return 1 - (hits + smooth) / (hits + alpha * alarms + beta * misses + smooth)
        """),
    Brought(name="focal Tversky", chosen=SIGMOID, twin=dict.fromkeys(OVERLAP, "tversky"),
            extra="smooth=1, alpha=0.5, beta=0.5, gamma=1.5", body="""
        inputs = torch.sigmoid(inputs).view(-1)
        targets = targets.view(-1)
        hits = (inputs * targets).sum()
        index = (hits + smooth) / (hits + alpha * ((1 - targets) * inputs).sum()
                                   + beta * (targets * (1 - inputs)).sum() + smooth)
        return (1 - index) ** gamma
        """),
    Brought(name="combo", chosen=SIGMOID, twin=OVERLAP, extra="smooth=1, alpha=0.5, ratio=0.5, eps=1e-7", body="""
        inputs = torch.sigmoid(inputs).view(-1)
        targets = targets.view(-1)
        both = (inputs * targets).sum()
        dice = (2.0 * both + smooth) / (inputs.sum() + targets.sum() + smooth)
        inputs = torch.clamp(inputs, eps, 1.0 - eps)
        out = -(alpha * (targets * torch.log(inputs)) + (1 - alpha) * (1.0 - targets) * torch.log(1.0 - inputs))
        return ratio * out.mean(-1) - (1 - ratio) * dice
        """),
    Brought(name="Lovasz hinge", chosen=SIGMOID, twin=dict.fromkeys(OVERLAP, "lovasz"), body="""
        logits, labels = inputs.view(-1), targets.view(-1)
        signs = 2.0 * labels - 1.0
        errors, order = torch.sort(1.0 - logits * signs, descending=True)
        truth = labels[order]
        total = truth.sum()
        iou = 1.0 - (total - truth.cumsum(0)) / (total + (1.0 - truth).cumsum(0))
        steps = torch.cat([iou[:1], iou[1:] - iou[:-1]])
        return torch.dot(F.relu(errors), steps)
        """),
    Brought(name="binary cross entropy", chosen=SIGMOID, twin=ANY_ENTROPY, body="""
        return F.binary_cross_entropy_with_logits(inputs, targets)
        """),
    Brought(name="binary cross entropy, mask given a channel", chosen=SQUEEZED, twin=ENTROPY, body="""
        return F.binary_cross_entropy_with_logits(inputs, targets.unsqueeze(1).float())
        """),
    Brought(name="binary cross entropy, output without channel", chosen=SQUEEZED, twin=ENTROPY, body="""
        return F.binary_cross_entropy_with_logits(inputs.squeeze(1), targets.float())
        """),
    Brought(name="Dice, mask given a channel", chosen=SQUEEZED, twin=OVERLAP, extra="smooth=1.0", body="""
        p, t = torch.sigmoid(inputs), targets.unsqueeze(1).float()
        return 1 - (2.0 * (p * t).sum() + smooth) / (p.sum() + t.sum() + smooth)
        """),
    Brought(name="focal, mask given a channel", chosen=SQUEEZED, twin=dict.fromkeys(OVERLAP, "focal"),
            extra="gamma=2.0", body="""
        targets = targets.unsqueeze(1).type_as(inputs)
        bce = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
        return ((1 - torch.exp(-bce)) ** gamma * bce).mean()
        """),
    Brought(name="MSE, mask given a channel", chosen=SQUEEZED_PROBS | {("regression", 1): "squeezed"},
            twin=dict.fromkeys(("classification", "segmentation", "regression"), "mse"), body="""
        return ((inputs - targets.unsqueeze(1).float()) ** 2).mean()
        """),
    Brought(name="label smoothing", chosen=NUMBERED, twin=ANY_ENTROPY, extra="smoothing=0.1", body="""
        logp = F.log_softmax(inputs, dim=1)
        nll = -logp.gather(1, targets.unsqueeze(1)).squeeze(1)
        return ((1.0 - smoothing) * nll - smoothing * logp.mean(1)).mean()
        """),
    Brought(name="soft cross entropy", chosen=ONE_HOT, twin=ANY_ENTROPY, body="""
        return torch.mean(torch.sum(-targets * F.log_softmax(inputs, dim=1), dim=1))
        """),
    Brought(name="smoothed soft cross entropy", chosen=ONE_HOT, twin=ANY_ENTROPY, extra="eps=0.1", body="""
        soft = targets * (1 - eps) + eps / inputs.shape[1]
        return -(soft * F.log_softmax(inputs, dim=1)).sum(dim=1).mean()
        """),
    Brought(name="one-hot made of a mask with a channel", chosen=CHANNELLED, twin=OVERLAP, extra="eps=1e-6", body="""
        truth = torch.zeros_like(inputs).scatter_(1, targets, 1.0)
        p = F.softmax(inputs, dim=1)
        return 1 - (2 * (p * truth).sum() + eps) / (p.sum() + truth.sum() + eps)
        """),
    Brought(name="cross entropy, channel taken off the mask", chosen=CHANNELLED, twin=ENTROPY, body="""
        return F.cross_entropy(inputs, targets[:, 0].long())
        """),
    Brought(name="label smoothing over the last dimension", chosen=OF_ROWS, twin=ENTROPY, extra="smoothing=0.1",
            body="""
        logp = F.log_softmax(inputs, dim=-1)
        nll = -logp.gather(dim=-1, index=targets.unsqueeze(1)).squeeze(1)
        return ((1.0 - smoothing) * nll - smoothing * logp.mean(dim=-1)).mean()
        """),
    Brought(name="Dice of images without a channel", chosen={("segmentation", 2): "foreground_prob_both_squeezed"},
            twin={"segmentation": "dice"}, extra="eps=1e-6", body="""
        assert inputs.size() == targets.size() and inputs.dim() == 3
        both = 2 * (inputs * targets).sum(dim=(-1, -2, -3))
        either = inputs.sum(dim=(-1, -2, -3)) + targets.sum(dim=(-1, -2, -3))
        return 1 - (both + eps) / (either + eps)
        """),
    Brought(name="likelihood of log-probabilities", chosen=OF_LOG_PROBS, twin=ENTROPY, body="""
        return F.nll_loss(inputs, targets)
        """),
    Brought(name="likelihood of log-probabilities by hand", chosen=OF_LOG_PROBS, twin=ENTROPY, body="""
        return -inputs.gather(1, targets[:, None]).mean()
        """),
    Brought(name="logarithm of probabilities", chosen=OF_PROBS, twin=ENTROPY, extra="eps=1e-8", body="""
        return F.nll_loss(torch.log(inputs + eps), targets)
        """),
    # a pixel costs at most 1, however sure the network is of what is wrong: with masks the cross entropy may grow
    Brought(name="one less the right probability", chosen=OF_PROBS, twin=ENTROPY | {"segmentation": ""}, body="""
        return (1 - inputs.gather(1, targets.unsqueeze(1))).mean()
        """),
    Brought(name="Lovász-softmax", chosen=OF_PROBS, twin={"classification": "cross_entropy", "segmentation": "lovasz"},
            body="""
        flat, labels = inputs.movedim(1, -1).reshape(-1, inputs.shape[1]), targets.reshape(-1)
        losses = []
        for label in labels.unique():
            mine = (labels == label).float()
            errors, order = (mine - flat[:, label]).abs().sort(descending=True)
            hits = mine[order].cumsum(0)
            union = mine.sum() + (1 - mine[order]).cumsum(0)
            grown = 1 - (mine.sum() - hits) / union
            losses.append(torch.dot(errors, torch.cat([grown[:1], grown[1:] - grown[:-1]])))
        return torch.stack(losses).mean()
        """),
    Brought(name="distance to the class mean", chosen=EMBEDDED, twin={"classification": ""}, extra="margin=2.0",
            body="""
        total = inputs.new_zeros(())
        means = []
        for label in targets.unique():
            mine = inputs[targets == label]
            means.append(mine.mean(0))
            total = total + (mine - means[-1]).pow(2).sum(1).mean()
        gaps = torch.pdist(torch.stack(means)) if len(means) > 1 else inputs.new_zeros(1)
        return total / len(means) + F.relu(margin - gaps).pow(2).mean()
        """),
)  # fmt: skip
BY_NAME = {one.name: one for one in BROUGHT}
