"""The moving average of the weights: its formula, what it is used for, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fine_tuner.training.loop.ema import EMA

from .conftest import assert_same, make_network


def test_it_is_the_formula_with_a_decay_that_grows() -> None:
    model = make_network()
    ema = EMA(model, 0.5)
    expected = model[0].weight.detach().clone()
    for step in range(1, 20):
        with torch.no_grad():
            model[0].weight += 0.1 * step
            model[1].num_batches_tracked += 1
        ema.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model[0].weight
    trained = {name: t.clone() for name, t in model.state_dict().items()}
    with ema.applied():
        torch.testing.assert_close(model[0].weight, expected, rtol=1e-5, atol=1e-5)
        assert model[1].num_batches_tracked == 19
    torch.testing.assert_close(dict(model.state_dict()), trained, rtol=0, atol=0)


def test_training_is_the_same_with_and_without_it(make_trainer: Any) -> None:
    plain = make_trainer()
    plain.train()
    averaged = make_trainer()
    averaged.learner.ema = EMA(averaged.learner.model, 0.9)
    averaged.train()
    assert_same(plain.learner.model, averaged.learner.model)


def test_the_average_is_what_is_validated_and_saved(make_trainer: Any) -> None:
    seen: list[torch.Tensor] = []
    trainer = make_trainer(epochs=1)
    trainer.learner.ema = EMA(trainer.learner.model, 0.9)
    weight = trainer.learner.model[0].weight
    trainer.validation.evaluate = lambda: seen.append(weight.detach().clone()) or {"accuracy": 0.5}
    trainer.train()
    with trainer.learner.exported():
        torch.testing.assert_close(seen[0], weight, rtol=0, atol=0)
    assert (seen[0] != weight).any()


@pytest.mark.parametrize("decay", [0, 1, 1.5])
def test_a_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="not between 0 and 1"):
        EMA(make_network(), decay)
