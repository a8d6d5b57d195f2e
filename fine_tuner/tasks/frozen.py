"""What settings mean for the frozen part of a network: whether it runs once, and for how many views of an image."""

from __future__ import annotations

from fine_tuner.config.settings import Settings
from fine_tuner.data.records import DataSplits
from fine_tuner.features.plan import FeaturePlan, Splits, plan_features, split_in_both_modes
from fine_tuner.models.build import BuiltModel
from fine_tuner.models.freezing import Freezing
from fine_tuner.models.stages import HEAD

_KNOWN: dict[tuple[object, ...], tuple[int, int]] = {}  # numbers of features by network and what trains
_MOST_KNOWN = 64


def plan_frozen(
    settings: Settings, data: DataSplits, built: BuiltModel, freezing: Freezing, *, outline: bool
) -> tuple[FeaturePlan, Splits | None]:
    """What a run does about its frozen part, and the network in two if that part runs once.

    Args:
        settings: Of the run.
        data: Its splits.
        built: The network, on its device unless ``outline``.
        freezing: Of it, as for the first epoch.
        outline: The network has no weights and will not run.
    """
    trained = [stage.name for stage in freezing.trained_after(0)]
    frozen = [stage.name for stage in built.stages if stage.name not in trained]
    if settings.train.features == "off" or not frozen:
        return FeaturePlan(), None
    found: list[Splits] = []

    def numbers() -> tuple[int, int]:
        key = (built.name, built.num_outputs, *built.options.items(), *trained, built.preprocessing.image_size)
        if not outline or key not in _KNOWN:
            found.append(
                split_in_both_modes(built.model, built.preprocessing.image_size, set_train_mode=freezing.set_train_mode)
            )
            while len(_KNOWN) >= _MOST_KNOWN:
                _KNOWN.pop(next(iter(_KNOWN)))
            _KNOWN[key] = found[0].training.numbers, found[0].evaluation.numbers
        return _KNOWN[key]

    is_gradual = settings.model.trainable == "gradual"
    epochs = min(settings.model.head_epochs, settings.train.epochs) if is_gradual else settings.train.epochs
    plan = plan_features(
        numbers,
        views=settings.train.views if settings.augment.name != "none" else 1,
        epochs=epochs,
        is_for_a_time=is_gradual,
        train_images=len(data.splits["train"]),
        val_images=len(data.splits.get("val", ())),
        is_mixed=settings.augment.mix != "none",
        frozen=f"all but the {HEAD}" if trained == [HEAD] else f"{frozen[0]} to {frozen[-1]}",
    )
    return plan, found[0] if found and plan.is_used else None
