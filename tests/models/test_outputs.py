from __future__ import annotations

import pytest
import torch
from torchvision.models import GoogLeNetOutputs, InceptionOutputs

from fine_tuner.models.outputs import split_outputs

LOGITS, FIRST, SECOND = torch.zeros(2, 3), torch.ones(2, 3), torch.full((2, 3), 2.0)


@pytest.mark.parametrize(
    ("output", "auxiliary"),
    [
        (LOGITS, []),
        ({"out": LOGITS}, []),
        ({"out": LOGITS, "aux": FIRST}, [(0.5, FIRST)]),
        (InceptionOutputs(LOGITS, FIRST), [(0.4, FIRST)]),
        (InceptionOutputs(LOGITS, None), []),
        (GoogLeNetOutputs(LOGITS, SECOND, FIRST), [(0.3, FIRST), (0.3, SECOND)]),
    ],
    ids=["tensor", "lraspp", "fcn", "inception", "inception without", "googlenet"],
)
def test_logits_and_weighted_auxiliary_logits_are_told_apart(output, auxiliary):
    logits, found = split_outputs(output)
    assert logits is LOGITS
    assert [(w, a.mean()) for w, a in found] == [(w, a.mean()) for w, a in auxiliary]


def test_another_output_is_an_error():
    with pytest.raises(TypeError, match=r"The network returned list; expected a tensor"):
        split_outputs([LOGITS])
