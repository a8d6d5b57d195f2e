"""Everything that a run needs for training on features, put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from torch import nn

from fine_tuner.data.loading.batches import EvalBatches, TrainBatches
from fine_tuner.distributed.ranks import Ranks
from fine_tuner.features.batches import FeatureBatches, FeatureEvalBatches, OnComputed
from fine_tuner.features.network import FeatureNetwork
from fine_tuner.features.plan import FeaturePlan, Splits
from fine_tuner.precision import Precision


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """In place of a network and its batches of images."""

    network: FeatureNetwork
    train_batches: FeatureBatches
    val_batches: FeatureEvalBatches | None

    @classmethod
    def of(
        cls,
        model: nn.Module,
        splits: Splits,
        *,
        plan: FeaturePlan,
        precision: Precision,
        train_batches: TrainBatches,
        val_batches: EvalBatches | None,
        set_train_mode: Callable[[], None],
        should_stop: Callable[[], bool],
        on_computed: OnComputed,
        ranks: Ranks,
    ) -> Self:
        """See ``FeatureNetwork`` and ``FeatureBatches``."""
        network = FeatureNetwork(model, training=splits.training, evaluation=splits.evaluation, precision=precision)
        return cls(
            network=network,
            train_batches=FeatureBatches(
                train_batches,
                network,
                views=plan.views,
                epochs=plan.epochs,
                set_train_mode=set_train_mode,
                should_stop=should_stop,
                on_computed=on_computed,
                ranks=ranks,
            ),
            val_batches=FeatureEvalBatches(val_batches, network) if val_batches is not None else None,
        )
