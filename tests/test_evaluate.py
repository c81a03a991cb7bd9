"""Figures of detection, clusterings and codes against scikit-learn and against intervals that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.metrics import (
    adjusted_rand_score,
    average_precision_score,
    f1_score,
    normalized_mutual_info_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from diabolo import Denoiser, Synthesizer
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.evaluate import anomalies, clustering, copying, detection, embedding, importance_bound, read
from diabolo.grids import grid_column
from diabolo.schema import Schema, numbers
from diabolo.variants import VAE, Vanilla, Variant


def rows(seed: int, n: int = 400, decimals: int = 1, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < share
    truth[:2] = [True, False]
    return truth, np.round(rng.normal(size=n) + truth, decimals)


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("seed", range(5))
def test_ranking_equals_scikit_learn_with_and_without_ties(seed: int, decimals: int) -> None:
    truth, scores = rows(seed, decimals=decimals)
    figures = detection(truth, scores, samples=2)
    assert figures["auroc"].value == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert figures["average_precision"].value == pytest.approx(average_precision_score(truth, scores), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_decisions_equal_scikit_learn(seed: int) -> None:
    truth, scores = rows(seed)
    predicted = scores > 1
    figures = detection(truth, scores, predicted, samples=2)
    assert figures["f1"].value == pytest.approx(f1_score(truth, predicted))
    assert figures["precision"].value == pytest.approx(precision_score(truth, predicted))
    assert figures["recall"].value == pytest.approx(recall_score(truth, predicted))
    assert figures["false_positive_rate"].value == pytest.approx(1 - recall_score(~truth, ~predicted))


def test_all_scores_the_same_is_a_coin() -> None:
    truth, _ = rows(0)
    figures = detection(truth, np.zeros(len(truth)))
    assert figures["auroc"] == (0.5, 0.5, 0.5)
    assert figures["average_precision"].value == pytest.approx(truth.mean())


def test_no_alarm_gives_zeros_not_nan() -> None:
    truth, scores = rows(0)
    figures = detection(truth, scores, np.zeros(len(truth), dtype=bool))
    assert [figures[name].value for name in ("f1", "precision", "recall", "false_positive_rate")] == [0, 0, 0, 0]


def test_infinite_scores_are_ranks() -> None:
    assert detection([0, 0, 1], [-np.inf, 0.0, np.inf])["auroc"].value == 1


def test_intervals_repeat_for_a_seed_and_hold_the_value() -> None:
    truth, scores = rows(1)
    first, again, other = (detection(truth, scores, scores > 1, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert all(figure.low <= figure.value <= figure.high for figure in first.values())


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    """Putting neighbouring normal rows together must leave the distribution of the samples as it was."""
    truth, scores = rows(2, n=150, decimals=8)
    rng = np.random.default_rng(0)
    hits, others = np.flatnonzero(truth), np.flatnonzero(~truth)
    drawn = []
    for _ in range(600):
        sample = np.concatenate([rng.choice(hits, len(hits)), rng.choice(others, len(others))])
        drawn.append([score(truth[sample], scores[sample]) for score in (roc_auc_score, average_precision_score)])
    figures = detection(truth, scores, samples=4000, level=0.9)
    for figure, drawn_ends in zip(figures.values(), np.quantile(drawn, [0.05, 0.95], axis=0).T, strict=True):
        assert figure[1:] == pytest.approx(drawn_ends, abs=0.015)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """AUROC of two normal distributions one apart is Phi(1 / sqrt 2) = 0.760."""
    covered = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        truth = np.arange(300) < 100
        figure = detection(truth, rng.normal(size=300) + truth, samples=300)["auroc"]
        covered += figure.low <= 0.7602 <= figure.high
    assert 0.88 <= covered / 150 <= 0.99


def test_more_rows_narrow_the_interval() -> None:
    few, many = (detection(*rows(0, n=n))["auroc"] for n in (200, 20_000))
    assert many.high - many.low < (few.high - few.low) / 4


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 0],
        [0.0, 1.0, 0.0],
        ["0", "1", "0"],
        [False, True, False],
        ["False", "TRUE", "false"],
        ["normal", " Anomaly", "normal"],
        [1, -1, 1],
        ["1", "-1", "1"],
        np.array([0, 1, 0]),
        np.array(["normal", "anomaly", "normal"]),
        np.array([False, True, False]),
        pd.Series([0, 1, 0], index=[7, 8, 9]),
        pl.Series([1, -1, 1]),
        pa.array(["normal", "anomaly", "normal"]),
        pa.chunked_array([[0], [1, 0]]),
        pa.chunked_array([pa.array([each]).dictionary_encode() for each in ("normal", "anomaly", "normal")]),
        pa.array(["normal", "anomaly", "normal"]).dictionary_encode(),
        pa.array(["normal", "anomaly", "normal"], pa.string_view()).dictionary_encode(),
        pd.Series(pd.Categorical(["0", "1", "0"], categories=["0", "1", "unknown"])),
        pl.Series(["0", "1", "0"], dtype=pl.Enum(["0", "1", "unknown"])),
    ],
    ids=str,
)
def test_labels_as_people_write_them(labels: object) -> None:
    assert anomalies(labels).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 0, 0], "Every label is 0"),
        ([1, 1], "Every label is 1"),
        ([], "Every label is absent"),
        (["normal"], "Every label is normal"),
        ([0, 1, 2], "The labels are 0, 1, 2. Allowed: 0/1"),
        (grid_column(np.zeros((3, 2, 2))), "The labels are images or series"),
        ([-1, 0, 1], "The labels are -1, 0, 1"),
        (["good", "bad"], "The labels are bad, good"),
        (["normal", "1"], "The labels are 1, normal"),
        ([0.5, 1.0], "The labels are 0.5, 1"),
        ([0, None, 1], "The label of row 1 is missing"),
        (pa.DictionaryArray.from_arrays([0, 2, 1], ["0", "1", None]), "The label of row 1 is missing"),
        (pd.Categorical(["0", "0"], categories=["0", "1"]), "Every label is 0"),
        (list("abcdefg"), "a, b, c, d, e, ..."),
    ],
)
def test_other_labels_are_refused(labels: object, said: str) -> None:
    with pytest.raises(InvalidData, match=said.replace(".", r"\.")):
        anomalies(labels)


def test_nan_label_is_refused() -> None:
    with pytest.raises(InvalidData, match="row 1"):
        anomalies(np.array([0.0, np.nan, 1.0]))


@pytest.mark.parametrize(
    ("scores", "said"), [([0.1], "2 labels"), ([[0.1], [0.2]], "2 labels"), ([0.1, np.nan], "row 1 is NaN")]
)
def test_scores_that_cannot_be_ranked_are_refused(scores: list[object], said: str) -> None:
    with pytest.raises(InvalidData, match=said):
        detection([0, 1], scores)


@pytest.mark.parametrize("predicted", [[1, -1], [True], ["yes", "no"]])
def test_decisions_must_be_booleans(predicted: list[object]) -> None:
    with pytest.raises(InvalidParameter, match="predict"):
        detection([0, 1], [0.0, 1.0], predicted)


def test_importance_bound_of_a_row_alone_is_that_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    autoencoder, x = VAE(latent=2).build(numbers(5)).train(), torch.randn(6, 5)
    x[2, 1] = torch.nan
    state = torch.get_rng_state()
    together = importance_bound(autoencoder, x, 30)
    alone = torch.cat([importance_bound(autoencoder, x[i : i + 1], 30) for i in range(6)])
    torch.testing.assert_close(together, alone)
    assert autoencoder.training and torch.equal(torch.get_rng_state(), state)
    assert not torch.allclose(together, importance_bound(autoencoder, x, 30, seed=1))
    monkeypatch.setattr("diabolo.evaluate.bound.CELLS", 50)
    assert ((importance_bound(autoencoder, x, 3000) - together).abs() < 1).all()


def test_importance_bound_of_a_row_without_values_is_nothing() -> None:
    """The mean of the bound is that of log q - log p of draws of q = q(z | nothing); p of nothing is 1."""
    autoencoder = VAE(latent=2).build(numbers(5))
    bound = importance_bound(autoencoder, torch.full((1, 5), torch.nan), 4000)
    assert bound.abs() < 0.2


def test_importance_bound_reads_conditions() -> None:
    torch.manual_seed(0)
    autoencoder = VAE(latent=2).build(Schema(numbers(5).columns, given=2))
    x = torch.zeros(2, 5)
    first, second = importance_bound(autoencoder, x, 50, given=torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert first != second


@pytest.mark.parametrize("wrong", [VAE(members=2), Vanilla()])
def test_importance_bound_needs_one_autoencoder_whose_code_is_drawn(wrong: Variant) -> None:
    with pytest.raises(InvalidParameter, match="not drawn"):
        importance_bound(wrong.build(numbers(5)), torch.zeros(1, 5))
    with pytest.raises(InvalidParameter, match="samples"):
        importance_bound(VAE().build(numbers(5)), torch.zeros(1, 5), 0)


@pytest.mark.parametrize("kinds, clusters", [(2, 2), (3, 5), (5, 3), (1, 4), (4, 1), (1, 1)])
def test_clusterings_equal_scikit_learn(kinds: int, clusters: int) -> None:
    rng = np.random.default_rng(kinds)
    truth = rng.integers(kinds, size=300)
    found = np.where(rng.random(300) < 0.5, truth % clusters, rng.integers(clusters, size=300))
    figures = clustering(truth, found)
    assert figures["nmi"].value == pytest.approx(normalized_mutual_info_score(truth, found), abs=1e-9)
    assert figures["ari"].value == pytest.approx(adjusted_rand_score(truth, found), abs=1e-9)
    assert all(each.low <= each.value + 0.05 and each.value - 0.05 <= each.high for each in figures.values())


@pytest.mark.parametrize("kinds, clusters, told, rows", [(10, 10, 0.0, 100), (10, 20, 0.3, 300), (4, 4, 0.8, 200)])
def test_intervals_of_clusterings_cover_what_as_many_rows_say(
    kinds: int, clusters: int, told: float, rows: int
) -> None:
    """Percentiles of a bootstrap hold neither the figure nor what it stands for where clusters are many."""
    rng = np.random.default_rng(0)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        truth = rng.integers(kinds, size=rows)
        return truth, np.where(rng.random(rows) < told, truth, rng.integers(clusters, size=rows))

    figures = [clustering(*draw(), seed=seed) for seed in range(100)]
    for name in figures[0]:
        usual = np.mean([clustering(*draw(), samples=1)[name].value for _ in range(500)])
        assert all(each[name].low <= each[name].value <= each[name].high for each in figures)
        assert np.mean([each[name].low <= usual <= each[name].high for each in figures]) >= 0.8


def test_accuracy_is_that_of_the_best_matching() -> None:
    """Against every matching there is."""
    from itertools import permutations

    rng = np.random.default_rng(0)
    truth, found = rng.integers(4, size=(2, 50))
    best = max(np.mean(np.array(order)[found] == truth) for order in permutations(range(4)))
    assert clustering(truth, found)["accuracy"].value == pytest.approx(best)
    assert clustering(list("abcd" * 5), [3, 2, 0, 1] * 5)["accuracy"].value == 1


def test_interval_of_a_clustering_is_as_wide_as_a_share_says() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=1000)
    figure = clustering(truth, np.where(rng.random(1000) < 0.8, truth, 1 - truth), samples=1000)["accuracy"]
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * (0.16 / 1000) ** 0.5, rel=0.15)


def test_codes_that_tell_and_codes_that_do_not() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b", "c"], 300)
    codes = rng.normal(size=(300, 4))
    nothing = embedding(labels, codes)
    told = embedding(labels, codes + 5 * (labels[:, None] == np.array(["a", "b", "c", "a"])))
    assert all(0.2 < each.value < 0.47 for each in nothing.values())
    assert all(each.value > 0.97 and each.low <= each.value <= each.high for each in told.values())


def test_only_labels_that_occur_count() -> None:
    labels = ["a"] * 20 + ["c"] * 20
    declared = pd.Series(pd.Categorical(labels, categories=["a", "b", "c"]))
    codes = np.random.default_rng(0).normal(size=(40, 2))
    assert embedding(declared, codes) == embedding(labels, codes)
    assert clustering(declared, declared) == clustering(labels, labels)


@pytest.mark.parametrize("labels", [["a"] * 20, ["a"] * 17 + ["b"] * 3, [None, "b"] * 10, []])
def test_labels_that_codes_cannot_be_compared_with(labels: list[str]) -> None:
    with pytest.raises(InvalidData, match="label"):
        embedding(labels, np.zeros((len(labels), 2)))


def test_clusters_and_labels_are_of_the_same_rows() -> None:
    with pytest.raises(InvalidData, match="3 labels and 2 clusters"):
        clustering([1, 2, 3], [1, 2])


def test_copies_are_found() -> None:
    rows = np.random.default_rng(0).normal(size=(600, 4))
    train, others = rows[:300], rows[300:]
    synthesizer = Synthesizer("Linear", random_state=0).fit(train)
    honest = copying(synthesizer, synthesizer.sample(500), train, others)
    copied = copying(synthesizer, train[:200] + 0.01, train, others)
    assert honest["closer_to_training"].low < 0.5 < honest["closer_to_training"].high
    assert copied["closer_to_training"].value > 0.95
    assert copied["distance_to_training"].value < 0.1 < copied["distance_to_others"].value
    with pytest.raises(InvalidData, match="At least 2"):
        copying(synthesizer, rows, train[:1], others)


def test_nothing_is_said_of_a_task_before_its_fit() -> None:
    with pytest.raises(NotFittedError):
        copying(Synthesizer(), np.ones((3, 2)), np.ones((3, 2)), np.ones((3, 2)))


def test_tasks_without_a_say_in_labels_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="of the task Denoiser"):
        read(Denoiser("Linear").fit(np.random.default_rng(0).normal(size=(30, 3))))


def test_nan_is_no_label_in_arrow_either() -> None:
    codes = np.random.default_rng(0).normal(size=(100, 2))
    for labels in (np.r_[np.ones(50), np.full(50, np.nan)], pa.array([1.0] * 50 + [float("nan")] * 50)):
        with pytest.raises(InvalidData, match="row 50 is missing"):
            embedding(labels, codes)


def test_labels_that_are_ids_take_little_memory() -> None:
    figures = clustering(np.arange(4000), np.arange(4000) % 1500, samples=3)
    assert figures["accuracy"].value == 1500 / 4000


@pytest.mark.parametrize("codes", [np.ones(20), np.full((20, 2), np.nan)])
def test_codes_of_another_shape_are_refused(codes: np.ndarray) -> None:
    with pytest.raises(InvalidData, match="finite numbers of the shape"):
        embedding([0] * 10 + [1] * 10, codes)


@pytest.mark.parametrize("labels", [[1, "normal", 0], [{}, {}], [[1], [2]]], ids=str)
def test_labels_of_no_one_type_are_refused(labels: list[object]) -> None:
    with pytest.raises(InvalidData, match="Labels are"):
        anomalies(labels)
