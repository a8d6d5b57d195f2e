"""Wrong labels are found as cleanlab finds them; what is decided of images changes the next run and no file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from PIL import Image

from fine_tuner.base.errors import DataError
from fine_tuner.data.decisions import Decision, name_in, read_decisions, with_decisions, write_decisions
from fine_tuner.data.records import DataSplits, Record
from fine_tuner.evaluation.suspects import out_of_fold, outliers, suspected, tells_the_class, unusual
from fine_tuner.evaluation.suspects_of_run import copies_with_other_labels


def flipped(count: int = 400, share: float = 0.1, seed: int = 0, spread: float = 2.2) -> tuple:
    """Features of four clouds, labels of which some are wrong, and which."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 4, count)
    features = rng.normal(size=(count, 12)) + spread * np.eye(4, 12)[true]
    wrong = rng.random(count) < share
    return features, np.where(wrong, (true + rng.integers(1, 4, count)) % 4, true), wrong


@pytest.mark.parametrize("seed", range(3))
def test_suspects_are_those_of_cleanlab_in_its_order(seed: int) -> None:
    features, targets, _ = flipped(seed=seed)
    probs = out_of_fold(features, targets, 4)
    found, seems = suspected(probs, targets)
    expected = find_label_issues(
        targets, probs, filter_by="confident_learning", return_indices_ranked_by="normalized_margin", n_jobs=1
    )
    assert sorted(found) == sorted(expected)
    assert found.tolist() == expected.tolist()
    assert (seems != targets[found]).all()


def test_most_flipped_labels_are_among_the_first_suspects() -> None:
    features, targets, wrong = flipped(spread=4.0)
    found, _ = suspected(out_of_fold(features, targets, 4), targets)
    first = found[: wrong.sum()]
    assert wrong[first].mean() > 0.9
    assert wrong[found].sum() / wrong.sum() > 0.6


def test_no_image_is_predicted_by_a_model_that_has_seen_it() -> None:
    rng = np.random.default_rng(1)  # noise: whoever has seen an image knows it, who has not guesses
    features, targets = rng.normal(size=(60, 200)), rng.integers(0, 2, 60)
    right = (out_of_fold(features, targets, 2).argmax(1) == targets).mean()
    assert 0.25 < right < 0.75


@pytest.mark.parametrize("targets", [[0] * 10, [0, 1], [0, 0, 0, 1]])
def test_too_few_of_a_class_are_left_out_instead_of_guessed(targets: list[int]) -> None:
    probs = out_of_fold(np.random.default_rng(0).normal(size=(len(targets), 3)), np.array(targets), 3)
    assert np.isnan(probs).all()
    assert len(suspected(probs, np.array(targets))[0]) == 0


def test_what_stands_out_is_found_and_what_does_not_is_not() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 16))
    features[17] += 30
    assert outliers(features).tolist() == [17]
    values = rng.normal(size=200)
    values[3], values[5], values[8] = -40, 30, 60
    low, high = unusual(values)
    assert (low.tolist(), high.tolist()) == ([3], [8, 5])
    assert [len(part) for part in unusual(np.ones(50))] == [0, 0]


def test_brightness_that_tells_the_class_is_said_so_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 300)
    assert tells_the_class(targets + 0.1 * rng.normal(size=300), targets, 2) > 0.9
    assert tells_the_class(rng.normal(size=300), targets, 2) < 0.3


def test_copies_with_other_labels_are_found_whether_equal_or_nearly_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8)).resize((96, 96)) for _ in range(3)]
    for name, picture in (("a", pictures[0]), ("b", pictures[0]), ("c", pictures[1]), ("d", pictures[2])):
        picture.save(tmp_path / f"{name}.png")
    pictures[1].save(tmp_path / "e.jpg", quality=90)
    files = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png", "d.png", "e.jpg")]
    assert copies_with_other_labels(files, np.array([0, 1, 2, 0, 1])).tolist() == [0, 1, 2, 4]
    assert copies_with_other_labels(files, np.array([0, 0, 2, 0, 1])).tolist() == [2, 4]
    assert copies_with_other_labels(files, np.array([0, 0, 1, 0, 1])).tolist() == []


@pytest.fixture
def data(tmp_path: Path) -> DataSplits:
    def records(split: str) -> tuple[Record, ...]:
        return tuple(Record(tmp_path / split / f"{k}.png", k % 2) for k in range(4))

    return DataSplits(
        task="classification", classes=("ant", "bee"), splits={s: records(s) for s in ("train", "val")}, kind="folders",
        root=tmp_path,
    )  # fmt: skip


def test_decisions_leave_out_and_relabel_and_nothing_else(data: DataSplits, tmp_path: Path) -> None:
    chosen = {
        "train/1.png": Decision("leave_out"), "train/2.png": Decision("relabel", "bee"), "val/0.png": Decision("keep"),
        "not/there.png": Decision("leave_out"),
    }  # fmt: skip
    table = tmp_path / "decisions.csv"
    write_decisions(table, chosen)
    assert read_decisions(table) == chosen
    decided = with_decisions(data, str(table))
    assert [(r.image.name, r.target) for r in decided.splits["train"]] == [("0.png", 0), ("2.png", 1), ("3.png", 1)]
    assert decided.splits["val"] == data.splits["val"]
    assert "1 image left out and 1 relabelled" in str(decided.notices[-1])
    assert with_decisions(data, "") is data
    assert name_in(tmp_path, Path("/else/where.png")) == "/else/where.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("a,b\n", "does not begin with file,decision,label"),
        ("file,decision,label\nx.png,maybe,\n", "line 2 of .* is 'x.png,maybe,'"),
        ("file,decision,label\ntrain/0.png,relabel,wasp\n", "names the class 'wasp'; the data has ant, bee"),
        ("file,decision,label\n" + "".join(f"train/{k}.png,leave_out,\n" for k in range(4)), "every training image"),
    ],
)
def test_a_wrong_table_is_said(data: DataSplits, tmp_path: Path, text: str | None, message: str) -> None:
    table = tmp_path / "decisions.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(DataError, match=message):
        with_decisions(data, str(table))
