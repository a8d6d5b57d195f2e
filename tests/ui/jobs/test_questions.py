"""Questions to the assistant: one at a time, the overtaken not at all, the answers remembered and understood."""

from __future__ import annotations

import json
import threading

import pytest

from fine_tuner.launch.assistant import Reply
from fine_tuner.ui.jobs.networks import Networks, checkpoints_folder
from fine_tuner.ui.jobs.previews import Previews
from fine_tuner.ui.jobs.questions import KEPT, Questions, read_reply


def good(value: object) -> Reply:
    return Reply(0, f"some words first\n{json.dumps(value)}\n", "")


# ------------------------------------------------------------------ replies
def test_the_answer_is_the_last_line_that_is_json():
    assert read_reply(good({"a": 1})).value == {"a": 1}


def wrong(kind: str, message: str, **fields: str) -> Reply:
    """As ``--json`` reports wrong input; ``optim__lr`` is ``optim.lr``."""
    error = {"kind": kind, "message": message, "fields": {k.replace("__", "."): v for k, v in fields.items()}}
    return Reply(2, json.dumps({"error": error}) + "\n", message + "\n")


def test_wrong_settings_are_told_by_path():
    answer = read_reply(wrong("ConfigError", "two are wrong", optim__lr="is no number.", seed="is negative."))
    assert answer.value is None
    assert answer.is_wrong_input
    assert answer.errors == {"optim.lr": "is no number.", "seed": "is negative."}


@pytest.mark.parametrize(
    ("kind", "path"), [("DataError", "data.path"), ("WeightsError", "model.weights"), ("RunError", "")]
)
def test_an_error_of_data_or_weights_belongs_to_the_field_that_names_them(kind, path):
    assert read_reply(wrong(kind, "It is empty.\nFill it.")).errors == {path: "It is empty.\nFill it."}


def test_a_message_for_people_only_is_kept_whole():
    assert read_reply(Reply(2, "", "usage: x\nno such option\n")).errors == {"": "usage: x\nno such option"}


@pytest.mark.parametrize(
    "reply", [Reply(0, "no json here", ""), Reply(1, "", "Traceback\nKeyError: 'x'"), Reply(137, "", "")]
)
def test_an_accident_of_the_machinery_is_not_held_against_the_user(reply):
    answer = read_reply(reply)
    assert answer.value is None
    assert not answer.is_wrong_input
    assert "could not be made" in answer.errors[""]
    assert "Traceback" not in answer.errors[""]


# ------------------------------------------------------------------ asking
def test_the_same_question_is_asked_once():
    asked = []
    questions = Questions(lambda argv: asked.append(list(argv)) or good({"n": len(asked)}))
    first, second = questions.answer(["plan", "sample"]), questions.answer(["plan", "sample"])
    assert (first.value, second.value, asked) == ({"n": 1}, {"n": 1}, [["plan", "sample"]])


def test_an_answer_does_not_hold_for_ever(monkeypatch):
    asked = []
    questions = Questions(lambda argv: asked.append(argv) or good({}))
    monkeypatch.setattr("fine_tuner.ui.jobs.questions.KEPT_SECONDS", 0.0)
    for _ in range(2):
        questions.answer(["plan", "sample"])
    assert len(asked) == 2


def test_what_may_change_by_itself_and_what_failed_are_asked_again():
    asked = []
    questions = Questions(lambda argv: asked.append(argv) or (good({}) if argv[0] == "predict" else Reply(2, "", "x")))
    for _ in range(2):
        questions.answer(["predict", "run", "picture"], keep=False)
        questions.answer(["plan", "sample"])
    assert len(asked) == 4


def test_no_more_answers_are_kept_than_needed():
    asked = []
    questions = Questions(lambda argv: asked.append(argv[1]) or good({}))
    for i in range(KEPT + 1):
        questions.answer(["plan", str(i)])
    questions.answer(["plan", "0"])
    questions.answer(["plan", str(KEPT)])
    assert asked[-2:] == [str(KEPT), "0"]


def test_a_question_overtaken_by_a_newer_one_is_not_asked():
    asked, begun, go_on = [], threading.Event(), threading.Event()

    def ask(argv):
        asked.append(argv[1])
        begun.set()
        assert go_on.wait(5)
        return good({"argv": argv[1]})

    questions = Questions(ask)
    answers = {}

    def put(number: int, visitor: str = "tab") -> threading.Thread:
        key = (visitor, number)
        thread = threading.Thread(
            target=lambda: answers.update(
                {key: questions.answer(["plan", f"{visitor}{number}"], visitor=visitor, number=number)}
            )
        )
        thread.start()
        return thread

    threads = [put(1)]
    assert begun.wait(5)
    threads += [put(2), put(3), put(1, "other")]
    while len(questions._wanted) < 2 or questions._wanted[("tab", "plan")] < 3:
        pass
    go_on.set()
    for thread in threads:
        thread.join(5)
    assert sorted(asked) == ["other1", "tab1", "tab3"]
    assert answers["tab", 2].is_overtaken
    assert answers["tab", 3].value == {"argv": "tab3"}
    assert answers["other", 1].value == {"argv": "other1"}


# ------------------------------------------------------------------ networks
ROW = {"name": "resnet18", "weights": [{"name": "IMAGENET1K_V1", "file_name": "resnet18-f37072fd.pth"}]}


def wait_until_ready(networks: Networks, task: str) -> dict:
    for _ in range(500):
        state = networks.state(task)
        if state["state"] != "loading":
            return state
        threading.Event().wait(0.01)
    raise AssertionError("the list never came")


def test_the_list_of_networks_is_asked_once_and_then_read_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    asked = []
    questions = Questions(lambda argv: asked.append(list(argv)) or good({"models": [ROW]}))
    networks = Networks(questions, tmp_path)
    assert networks.state("classification")["state"] == "loading"
    state = wait_until_ready(networks, "classification")
    assert [row["name"] for row in state["networks"]] == ["resnet18"]
    assert asked == [["list", "models", "--task", "classification", "--json"]]
    again = Networks(Questions(lambda argv: pytest.fail("asked again")), tmp_path)
    assert again.state("classification") == state


def test_whether_weights_are_here_is_looked_up_each_time(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    networks = Networks(Questions(lambda _: good({"models": [ROW]})), tmp_path)
    assert wait_until_ready(networks, "classification")["networks"][0]["is_cached"] is False
    checkpoints_folder().mkdir(parents=True)
    (checkpoints_folder() / "resnet18-f37072fd.pth").touch()
    assert networks.state("classification")["networks"][0]["is_cached"] is True
    assert networks.weights_of("resnet18")[0]["is_cached"] is True
    assert networks.weights_of("unknown") == ()


def test_tasks_that_share_their_networks_share_the_list(tmp_path):
    asked = []
    networks = Networks(Questions(lambda argv: asked.append(argv[3]) or good({"models": [ROW]})), tmp_path)
    for task in ("regression", "multilabel", "classification", "segmentation"):
        assert wait_until_ready(networks, task)["state"] == "ready"
    assert asked == ["classification", "segmentation"]


def test_the_entries_of_a_network_are_known_from_the_cache_alone(tmp_path):
    wait_until_ready(Networks(Questions(lambda _: good({"models": [ROW]})), tmp_path), "classification")
    fresh = Networks(Questions(lambda _: pytest.fail("asked again")), tmp_path)
    assert [entry["name"] for entry in fresh.weights_of("resnet18")] == ["IMAGENET1K_V1"]


def test_a_list_that_could_not_be_read_says_so_once_and_is_tried_again(tmp_path):
    replies = [Reply(137, "", "killed"), good({"models": []})]
    networks = Networks(Questions(lambda _: replies.pop(0)), tmp_path)
    assert wait_until_ready(networks, "segmentation")["state"] == "failed"
    assert wait_until_ready(networks, "segmentation")["state"] == "ready"


# ------------------------------------------------------------------ previews
def test_pictures_are_served_by_name_and_nothing_else_is(tmp_path):
    def ask(argv):
        folder = argv[argv.index("--out") + 1]
        from pathlib import Path

        Path(folder).mkdir()
        (Path(folder) / "0.png").write_bytes(b"png")
        (Path(folder) / "notes.txt").touch()
        return good({"images": [{"file": f"{folder}/0.png", "label": "ants"}]})

    previews = Previews(Questions(ask))
    (image,) = previews.make(["sample"], draw=0, visitor="", number=0).value["images"]
    assert image["label"] == "ants"
    api, preview, key, name = image["url"].split("/")
    assert (api, preview, name) == ("api", "preview", "0.png")
    assert previews.path(key, name).read_bytes() == b"png"
    for bad_key, bad_name in (
        (key, "1.png"),
        (key, "notes.txt"),
        ("none", name),
        ("..", "0.png"),
        (key, "../../0.png"),
    ):
        assert previews.path(bad_key, bad_name) in (None, previews.path(key, "0.png")), bad_name
    assert previews.path(key, "..") is None
    path = previews.path(key, name)
    previews.close()
    assert not path.exists()
