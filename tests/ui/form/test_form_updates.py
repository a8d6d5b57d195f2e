"""What changes on the page when the form changes, and nothing else."""

from __future__ import annotations

import pytest

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.argv import settings_of_argv
from fine_tuner.config.io import replace
from fine_tuner.config.presets import load_preset
from fine_tuner.config.settings import Settings
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.form.form import values_of
from fine_tuner.ui.form.inputs import INPUTS
from fine_tuner.ui.form.updates import FormChange, answer, first_answer

ALLOWED = Allowed(roots=())
FIRST = first_answer(Settings(), allowed=ALLOWED)


def after(
    previous: FormChange = FIRST, *, typing: str = "", weights_of=lambda _: (), stamp=(), **changes
) -> FormChange:
    """The answer to a change of some inputs of the default form; ``optim_lr`` is ``optim.lr``."""
    values = values_of(Settings()) | {key.replace("_", ".", 1): value for key, value in changes.items()}
    stamped = previous.state | dict(stamp)
    return answer(values, stamped, allowed=ALLOWED, weights_of=weights_of, typing=typing)


def test_nothing_changed_nothing_to_draw():
    result = after()
    assert result.updates == {}
    assert result.state == FIRST.state


def test_an_input_is_hidden_at_first_exactly_if_it_has_no_effect():
    shown = {i.key for i in INPUTS} - set(FIRST.state["hidden"])
    assert {"optim.lr", "optim.betas@AdamW", "optim.backbone_multiplier"} <= shown
    assert {"optim.momentum@SGD", "model.head_epochs", "model.weights#file"} & shown == set()


def test_another_optimizer_shows_its_fields_and_says_what_it_is():
    updates = after(optim_name="SGD").updates
    assert updates["optim.momentum@SGD"] == {"visible": True}
    assert updates["optim.betas@AdamW"] == {"visible": False}
    assert "momentum" in updates["optim.name"]["info"]
    assert "optim.lr" not in updates


def test_a_field_without_effect_disappears_and_comes_back():
    head_only = after(model_trainable="head")
    assert head_only.updates["optim.backbone_multiplier"] == {"visible": False}
    assert after(head_only).updates["optim.backbone_multiplier"] == {"visible": True}


def test_the_state_carries_the_command_and_the_sections_in_words():
    state = after(optim_lr="0.5").state
    assert state["command"].startswith("python -m fine_tuner train ")
    assert "optim.lr=0.5" in state["command"].split()
    assert "0.5" in state["sections"]["optim"]
    assert settings_of_argv(state["argv"]) == replace(Settings(), "optim.lr=0.5")


# ------------------------------------------------------------------ errors: late to come, quick to go
def test_an_error_waits_until_the_field_is_left():
    typing = after(optim_lr="3e-", typing="ft-optim-lr")
    assert typing.state["errors"] == {}
    assert typing.state["command"] is None
    left = after(typing, optim_lr="3e-")
    assert "'3e-' is not a number" in left.state["errors"]["ft-optim-lr"]
    assert left.state["wrong"] == ["optim"]


def test_typing_in_one_field_does_not_keep_back_the_error_of_another():
    result = after(optim_lr="abc", train_epochs="1e", typing="ft-train-epochs")
    assert list(result.state["errors"]) == ["ft-optim-lr"]


def test_an_error_stays_while_it_is_corrected_and_goes_as_soon_as_it_is():
    wrong = after(optim_lr="abc")
    still = after(wrong, optim_lr="abcd", typing="ft-optim-lr")
    assert "'abcd'" in still.state["errors"]["ft-optim-lr"]
    right = after(still, optim_lr="1e-3", typing="ft-optim-lr")
    assert right.state["errors"] == {}


# ------------------------------------------------------------------ task, network, presets
def test_another_task_offers_its_losses():
    result = after(task="regression")
    choices = {tag for _, tag in result.updates["loss.name"]["choices"]}
    assert result.updates["loss.name"]["value"] in choices
    assert "cross_entropy" not in choices
    assert result.reading.settings is not None
    assert after(result, task="regression", loss_name="mse").updates.get("loss.name") is None


def test_the_weights_on_offer_follow_the_network():
    entries = {"resnet18": [{"name": "IMAGENET1K_V1", "top1": 69.758, "size_mib": 44.7, "is_cached": True}]}
    result = after(model_name="resnet18", weights_of=lambda name: entries.get(name, ()))
    choices = {value: label for label, value in result.updates["model.weights"]["choices"]}
    assert list(choices) == ["default", "IMAGENET1K_V1", "none", "file"]
    assert choices["IMAGENET1K_V1"] == "IMAGENET1K_V1 · 69.8 % · on this machine"
    assert (
        "model.weights"
        not in after(result, model_name="resnet18", weights_of=lambda name: entries.get(name, ())).updates
    )


def test_the_source_network_is_offered_for_its_network_and_left_with_it():
    first = after(stamp={"load": ["sample"]})
    offered = dict(first.updates["model.weights"]["choices"])
    assert "source" in offered.values()
    values = values_of(load_preset("sample")) | {"model.name": "resnet18"}
    other = answer(values, first.state, allowed=ALLOWED, weights_of=lambda _: ())
    assert other.reading.settings.model.weights == "default"
    assert "source" not in dict(other.updates["model.weights"]["choices"]).values()


def test_weights_that_the_list_does_not_know_stay_chosen():
    result = after(
        model_name="mine", model_weights="IMAGENET1K_V9", weights_of=lambda _: [{"name": "DEFAULT_V1", "size_mib": 1.0}]
    )
    assert ("IMAGENET1K_V9", "IMAGENET1K_V9") in result.updates["model.weights"]["choices"]


@pytest.mark.parametrize("name", ["sample", "sample-pretrained"])
def test_a_preset_fills_the_whole_form(name):
    result = after(optim_lr="abc", stamp={"load": [name, "seed=7"]})
    settings = replace(load_preset(name), "seed=7")
    assert result.reading.settings == settings
    assert {key: update["value"] for key, update in result.updates.items() if "value" in update} == values_of(settings)
    assert result.state["argv"] == [name, "seed=7"]
    assert "load" not in result.state


def test_what_a_preset_leaves_open_is_told_once_something_is_done():
    empty = after(stamp={"load": ["default"]})
    assert (empty.reading.settings, empty.state["errors"]) == (None, {})
    assert empty.state["sections"]["data"].startswith("choose a folder")
    values = values_of(load_preset("default"))
    later = answer(values, empty.state, allowed=ALLOWED, weights_of=lambda _: ())
    assert "is empty" in later.state["errors"]["ft-data-path"]


def test_code_still_to_be_written_is_an_error_from_train_on():
    values = values_of(load_preset("sample")) | {"loss.name": "custom"}
    about = {"allowed": ALLOWED, "weights_of": lambda _: ()}
    chosen = answer(values, FIRST.state, **about)
    assert (chosen.reading.settings, chosen.state["errors"]) == (None, {})
    assert chosen.state["sections"]["loss"] == "your code · still to write or choose"
    pressed = answer(values, chosen.state, is_train=True, **about)
    assert list(pressed.state["errors"]) == ["ft-loss-file-custom"]
    assert "is empty" in answer(values, pressed.state, **about).state["errors"]["ft-loss-file-custom"]  # and stays


def test_settings_of_another_version_leave_the_form_as_it_is_and_say_so():
    result = after(stamp={"load": ["sample", "optim.warmth=3"]})
    assert "optim.warmth: unknown setting" in result.state["notice"]
    assert result.updates == {}


@pytest.mark.parametrize("argv", [[], ["no-such-preset"], ["sample", "seed"]])
def test_an_argv_that_names_nothing_is_an_error(argv):
    with pytest.raises(ConfigError, match=r"preset|section\.key=value"):
        settings_of_argv(argv)


def test_the_place_of_the_data_is_the_path_as_it_was_meant():
    """The page asks what lies at this place, and holds a check's own path to it."""
    assert after(data_path=" 'torchvision:CIFAR10' ").state["place"] == "torchvision:CIFAR10"
