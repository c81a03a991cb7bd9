"""What every task does alike: inputs of all kinds, files of all sizes, seeds, weights, parameters, model files."""

from __future__ import annotations

import inspect
import json
import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from diabolo import AnomalyDetector, Embedder, Imputer, Trainer, load
from diabolo.checks.tasks import made_up
from diabolo.errors import InvalidArtifact, InvalidData, InvalidParameter, SchemaMismatch, UnreadableFile
from diabolo.params import Params
from diabolo.tasks import TASKS, task
from diabolo.tasks.task import Task
from diabolo.tasks.tensors import rebuilt
from diabolo.trainer import Epoch
from diabolo.variants import VAE, Denoising, Linear, Vanilla

SHORT = Trainer(epochs=2, batch_size=64)
FRAMES: dict[str, Callable[[pa.Table], Any]] = {
    "pandas": lambda rows: rows.to_pandas().set_index(np.arange(len(rows)) + 100),
    "polars": pl.from_arrow,
    "arrow": lambda rows: rows,
}


def linear(of: type[Task] = AnomalyDetector, **parameters: Any) -> Any:
    return of("Linear", random_state=0, **parameters)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The same rows as CSV and as Parquet in pieces."""
    rows = made_up(1000)
    places = {"csv": tmp_path / "rows.csv", "parquet": tmp_path / "rows.parquet"}
    pyarrow.csv.write_csv(rows, places["csv"])
    pyarrow.parquet.write_table(rows, places["parquet"], row_group_size=90)
    return places


# -- inputs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FRAMES)
def test_frame_in_frame_out(kind: str) -> None:
    rows = FRAMES[kind](made_up())
    given = rows.copy() if kind == "pandas" else rows
    fitted = linear().fit(rows)
    again = fitted.reconstruct(rows)
    assert type(again) is type(rows)
    assert list(fitted.feature_names_in_) == made_up().column_names
    assert list(again.columns if kind != "arrow" else again.column_names) == made_up().column_names
    assert rows.equals(given)
    if kind == "pandas":
        assert again.index.equals(rows.index) and dict(again.dtypes) == dict(rows.dtypes)
    if kind == "polars":
        assert again.schema == rows.schema


def test_all_kinds_of_frames_score_alike() -> None:
    scores = [linear().fit(make(made_up())).anomaly_score(make(made_up(9, seed=1))) for make in FRAMES.values()]
    assert np.array_equal(scores[0], scores[1]) and np.array_equal(scores[0], scores[2])


def test_array_in_array_out() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    again = linear().fit(rows).reconstruct(rows)
    assert again.dtype == rows.dtype and again.shape == rows.shape
    assert linear().fit(rows).encode(rows).shape == (50, 1)
    assert linear().fit(rows.tolist()).anomaly_score(rows.tolist()).shape == (50,)


def test_frames_keep_the_order_of_their_columns_tables_need_not() -> None:
    rows = made_up()
    fitted = linear().fit(rows.to_pandas())
    turned = rows.select(rows.column_names[::-1])
    assert np.array_equal(fitted.anomaly_score(turned), fitted.anomaly_score(rows))
    with pytest.raises(InvalidData, match="must be in the same order"):
        fitted.anomaly_score(turned.to_pandas())
    with pytest.raises(SchemaMismatch, match="'power' of the fit is missing"):
        fitted.anomaly_score(rows.drop_columns(["power"]))


ODD = {
    "views of text": pa.array(["x", "y"] * 40, pa.string_view()),
    "a null in the dictionary": pa.DictionaryArray.from_arrays(np.arange(80) % 3, pa.array(["x", "y", None])),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("frame", [lambda rows: rows, lambda rows: rows.to_batches()[0]], ids=["table", "batch"])
def test_odd_texts_of_arrow_are_texts(frame: Callable[[pa.Table], Any], name: str) -> None:
    rows = made_up().append_column("c", ODD[name])
    usual = made_up().append_column("c", pa.array(ODD[name].to_pylist()))
    fitted = linear(Imputer).fit(frame(rows))
    assert fitted.preparation_.schema_ == linear(Imputer).fit(usual).preparation_.schema_
    filled = fitted.transform(frame(rows))
    assert filled.schema == rows.schema and filled["c"].to_pylist() == fitted.transform(usual)["c"].to_pylist()


def test_columns_of_one_name_are_refused_later_too() -> None:
    fitted, twins = linear().fit(made_up()), made_up().append_column("flow", made_up()["flow"])
    for use in (linear().fit, fitted.anomaly_score, lambda rows: fitted.run(rows.to_batches()[0])):
        with pytest.raises(InvalidData, match="2 columns are named 'flow'"):
            use(twins)


def test_errors_about_arrays_are_ours() -> None:
    fitted = linear().fit(np.eye(5))
    for rows, told in ((np.eye(4), "4 features"), (np.empty((0, 5)), "0 sample"), (np.zeros(5), "1D array")):
        with pytest.raises(InvalidData, match=told):
            fitted.anomaly_score(rows)
    with pytest.raises(NotFittedError):
        AnomalyDetector().reconstruct(np.eye(3))


@pytest.mark.parametrize("of", [AnomalyDetector, Imputer])
def test_ten_thousand_columns(of: type[Task], tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 10_000))
    rows[3, 7] = np.nan
    fitted = of(Denoising(latent=4, hidden=(8,)), trainer=SHORT, random_state=0).fit(rows)
    fitted.save(tmp_path / "wide.diabolo")
    loaded = load(tmp_path / "wide.diabolo")
    if isinstance(fitted, Imputer):
        assert np.isfinite(loaded.transform(rows)).all()
    else:
        assert np.array_equal(loaded.anomaly_score(rows), fitted.anomaly_score(rows))
        assert fitted.explain(rows[:3]).sum(1) == pytest.approx(fitted.anomaly_score(rows[:3]), rel=1e-9)


def test_enormous_values_in_fit_and_later() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3)) * [1.0, 1e30, 1e-30]
    fitted = AnomalyDetector(trainer=SHORT, random_state=0).fit(rows)
    scores = fitted.anomaly_score(np.vstack([rows[:1], [[1e30, 0, 0]], [[0, -1e300, 0]]]))
    assert np.isfinite(scores).all() and scores[1] > scores[0] and scores[2] > scores[0]
    with pytest.raises(InvalidData, match=r"row 3, column 'x1'.*beyond 1e\+150"):
        fitted.fit(np.vstack([rows[:3], [[0, 1e200, 0]]]))


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [AnomalyDetector, Imputer])
def test_files_are_learned_from_as_tables_are(of: type[Task], files: dict[str, Path]) -> None:
    batch = made_up(20, seed=1).to_batches()[0]
    said = [linear(of).fit(place).run(batch) for place in (made_up(1000), *files.values(), str(files["csv"]))]
    scores = [each.column("anomaly_score" if of is AnomalyDetector else "heat").to_numpy() for each in said]
    assert all(each == pytest.approx(scores[0], rel=1e-6) for each in scores)


@pytest.mark.parametrize("format", ["csv", "parquet"])
@pytest.mark.parametrize("of", [AnomalyDetector, Imputer])
def test_file_larger_than_memory(
    of: type[Task], format: str, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "IN_MEMORY", 10_000)
    fitted = of(trainer=SHORT, random_state=0).fit(files[format])
    data, compared = fitted.card()["data"], fitted.comparison_
    assert data["seen"] == data["rows"] + data["held out"] == 1000 and 140 < data["held out"] < 260
    assert compared["rows"] == data["held out"] and np.isfinite([compared["deep"], compared["linear"]]).all()
    assert len(fitted.history_) == 2 and fitted.history_[0].valid is not None
    if isinstance(fitted, AnomalyDetector):
        false = (fitted.p_value(made_up(1500, seed=5)) <= 0.05).mean()
        assert 0.02 < false < 0.09
        assert len(fitted.reserve_) == data["held out"]


def test_large_file_of_few_rows_holds_none_out(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "IN_MEMORY", 10)
    fitted = linear(validation=0.0).fit(files["parquet"])
    assert fitted.card()["data"] | {"fingerprint": ""} == {
        "seen": 1000, "rows": 1000, "held out": 0, "left out": 0, "fingerprint": "",
    }  # fmt: skip
    assert np.isfinite(fitted.anomaly_score(made_up(5, seed=1))).all()


def test_sorted_file_is_judged_by_rows_from_all_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference and calibration rows are drawn from the whole file, not from its first pieces."""
    level = np.sort(np.random.default_rng(0).uniform(0, 100, 4000))
    rows = pa.table({"level": level, "twice": 2 * level + np.random.default_rng(1).normal(size=4000)})
    pyarrow.parquet.write_table(rows, tmp_path / "sorted.parquet", row_group_size=100)
    monkeypatch.setattr(task, "IN_MEMORY", 1000)
    fitted = linear(neighbours=200).fit(tmp_path / "sorted.parquet")
    for kept in (fitted.memory_.x, fitted.reserve_.x):
        shares = np.histogram(kept[:, 0], np.linspace(-1.75, 1.75, 6))[0] / len(kept)
        assert shares == pytest.approx(np.full(5, 0.2), abs=0.09)


def test_answers_about_a_file(files: dict[str, Path]) -> None:
    fitted = linear().fit(files["parquet"])
    assert np.array_equal(fitted.anomaly_score(files["parquet"]), fitted.anomaly_score(made_up(1000)))
    assert isinstance(fitted.reconstruct(files["csv"]), pa.Table)
    with pytest.raises(UnreadableFile, match="There is no file"):
        fitted.anomaly_score("nowhere.csv")


def test_error_in_a_file_names_its_row(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n" + "1.5,2\n" * 20 + "inf,2\n" + "0.5,1\n" * 20)
    with pytest.raises(InvalidData, match=r"rows.csv.*2[12].*column 'a'.*NaN"):
        linear().fit(tmp_path / "rows.csv")


# -- seeds and weights -----------------------------------------------------------------------------------------------


def test_seeds_of_every_kind() -> None:
    rows = made_up()
    drawn = [AnomalyDetector("Linear", random_state=seed).fit(rows) for seed in (None, None)]
    assert drawn[0].seed_ != drawn[1].seed_
    state = np.random.RandomState(3)
    seeds = [AnomalyDetector("Linear", random_state=state).fit(rows).seed_ for _ in range(2)]
    assert seeds[0] != seeds[1]
    assert seeds[0] == AnomalyDetector("Linear", random_state=np.random.RandomState(3)).fit(rows).seed_


def test_fit_again_forgets() -> None:
    fitted = AnomalyDetector(Vanilla(latent=2), trainer=SHORT, random_state=0)
    first = fitted.fit(made_up()).anomaly_score(made_up(9, seed=1))
    fitted.fit(made_up(seed=4))
    assert np.array_equal(fitted.fit(made_up()).anomaly_score(made_up(9, seed=1)), first)
    assert len(fitted.history_) == 2


def test_half_weights_weigh_the_loss() -> None:
    """Two kinds of rows; the broken weights take one kind nearly away, and it becomes strange."""
    dice = np.random.default_rng(0)
    rows = np.vstack([dice.normal(0, 1, (200, 2)), dice.normal(8, 1, (200, 2))])
    weight = np.repeat([1.0, 0.003], 200)
    even, uneven = (linear(neighbours=0).fit(rows, sample_weight=each) for each in (np.ones(400) / 2, weight))
    assert uneven.p_value(rows[200:]).mean() < 0.3 * even.p_value(rows[200:]).mean()
    assert uneven.p_value(rows[:200]).mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    "weight, told",
    [
        (-np.ones(80), "Negative"),
        (np.zeros(80), "zero"),
        (np.eye(80)[0], "At least 2"),
        (np.ones(3), r"\(3,\)"),
        (np.full(80, np.nan), "NaN"),
    ],
)
def test_impossible_weights(weight: np.ndarray, told: str) -> None:
    with pytest.raises(InvalidParameter, match=told):
        linear().fit(made_up(), sample_weight=weight)


def test_large_counts_are_weights() -> None:
    """A million copies of each row are not made."""
    rows = made_up()
    fitted = linear().fit(rows, sample_weight=np.full(len(rows), 10**6))
    assert fitted.rows_seen_ == len(rows)


def test_weights_of_a_file_are_refused(files: dict[str, Path]) -> None:
    with pytest.raises(InvalidParameter, match=r"Read .*rows.csv first"):
        linear().fit(files["csv"], sample_weight=np.ones(1000))


def test_who_watches_is_not_copied_with_the_task() -> None:
    seen: list[Any] = []
    fitted = AnomalyDetector("Vanilla", trainer=Trainer(epochs=2)).watch(lambda epoch: seen.append(epoch))
    assert pickle.dumps(fitted.fit(made_up()))
    again = deepcopy(fitted)
    assert len(seen) == 2 and again.on_epoch is None and fitted.on_epoch is not None
    assert again.anomaly_score(made_up()).tolist() == fitted.anomaly_score(made_up()).tolist()


@pytest.mark.parametrize("share, held_out", [(0.0, 0), (0.5, 40), (1.0, 79)])
def test_share_of_rows_held_out(share: float, held_out: int) -> None:
    data = linear(validation=share).fit(made_up()).card()["data"]
    assert (data["rows"], data["held out"]) == (80 if not held_out else 80 - held_out, held_out)


# -- parameters ------------------------------------------------------------------------------------------------------


def test_grid_search_over_a_variant_given_by_name() -> None:
    dice = np.random.default_rng(0)
    code = dice.normal(size=(200, 3))
    rows = code @ dice.normal(size=(3, 8)) + 0.05 * dice.normal(size=(200, 8))

    def score(fitted: AnomalyDetector, X: np.ndarray, y: None = None) -> float:
        return -float(np.square(fitted.reconstruct(X) - X).mean())

    search = GridSearchCV(AnomalyDetector("Linear", random_state=0), {"variant__latent": [1, 3]}, scoring=score, cv=2)
    assert search.fit(rows).best_params_ == {"variant__latent": 3}
    assert search.best_estimator_.variant.latent == 3


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    """As those of a grid search over ``np.arange``: in training, in the model file and in the checkpoint."""
    numbers = {"epochs": np.arange(1, 3)[1], "batch_size": np.int32(32), "patience": np.int8(2)}
    rates = {"lr": np.float32(2**-10), "weight_decay": np.float64(0.5), "clip": np.float32(1)}
    made = []
    for of in (lambda number: number, lambda number: number.item()):
        told = {name: of(number) for name, number in (numbers | rates).items()}
        trainer = Trainer(**told, checkpoint=str(tmp_path / f"{len(made)}.training"))
        task = AnomalyDetector(VAE(latent=of(np.int64(2))), trainer=trainer, random_state=of(np.int64(3)))
        made.append(task.fit(made_up()))
        made[-1].save(tmp_path / "numbers.diabolo")
        assert json.dumps(made[-1].card()) and load(tmp_path / "numbers.diabolo").history_ == made[-1].history_
    assert np.array_equal(*(each.anomaly_score(made_up(9, seed=1)) for each in made))


@pytest.mark.parametrize("verb", TASKS)
def test_seeds_below_zero_are_refused(verb: str) -> None:
    with pytest.raises(InvalidParameter, match=r"'random_state' parameter of .* must be an int >= 0 .* Got -1"):
        TASKS[verb]("Linear", random_state=-1).fit(made_up())


def test_inner_parameters_of_what_was_not_given() -> None:
    made = AnomalyDetector().set_params(variant__latent=3, trainer__epochs=7, validation=0.3)
    assert (made.variant, made.trainer.epochs, made.validation) == ({"latent": 3}, 7, 0.3)
    assert AnomalyDetector().set_params(variant="VAE", variant__latent=3).variant.latent == 3
    assert made.set_params(variant__hidden=(9,)).variant == {"latent": 3, "hidden": (9,)}
    assert repr(AnomalyDetector().set_params(trainer=Trainer(lr=1.0), trainer__epochs=7).trainer) == (
        "Trainer(epochs=7, lr=1.0)"
    )


def test_the_rows_decide_on_the_variant_that_was_not_named() -> None:
    images = np.random.default_rng(0).normal(size=(40, 1, 6, 6))
    short = Trainer(epochs=1)
    for rows, usual in ((images, "Vanilla()"), (images[:, 0], "Vanilla()"), (images[:, 0, 0], "Masked()")):
        assert AnomalyDetector(trainer=short, random_state=0).fit(rows).card()["variant"] == usual
    for rows, usual in ((images, "IIC()"), (images[:, 0, 0], "Residual()")):
        assert Embedder(trainer=short, random_state=0).fit(rows).card()["variant"] == usual


def test_unknown_variant_is_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidParameter, match=r"There is no variant 'Varaint'\..*Denoising"):
        AnomalyDetector("Varaint").fit(made_up())
    with pytest.raises(InvalidParameter, match="'validation' parameter of Imputer"):
        Imputer(validation=2.0).fit(made_up())


def test_watching_a_fit() -> None:
    seen: list[Epoch] = []
    fitted = AnomalyDetector(Vanilla(latent=2), trainer=SHORT).watch(seen.append).fit(made_up())
    assert [epoch.number for epoch in seen] == [1, 2] and seen == fitted.history_


# -- model files -----------------------------------------------------------------------------------------------------


class Mine(Vanilla):
    """A variant of somebody else's."""


def test_variants_of_ones_own_are_loaded_when_named(tmp_path: Path) -> None:
    AnomalyDetector(Mine(latent=2), trainer=SHORT, random_state=0).fit(made_up()).save(tmp_path / "mine.diabolo")
    assert isinstance(load(tmp_path / "mine.diabolo", custom=[Mine]).variant, Mine)
    with pytest.raises(InvalidArtifact, match="Mine"):
        load(tmp_path / "mine.diabolo")


@pytest.mark.parametrize("verb", TASKS)
def test_saved_and_loaded(verb: str, tmp_path: Path) -> None:
    fitted = TASKS[verb](VAE(latent=2), trainer=SHORT, random_state=0).fit(made_up())
    fitted.save(tmp_path / "model.diabolo")
    loaded = load(tmp_path / "model.diabolo")
    batch = made_up(30, seed=1).to_batches()[0]
    assert type(loaded) is TASKS[verb] and loaded.run(batch).equals(fitted.run(batch))
    assert loaded.history_ == fitted.history_ and loaded.comparison_ == fitted.comparison_
    assert list(loaded.feature_names_in_) == made_up().column_names and loaded.n_features_in_ == 6


def test_nothing_to_save_before_a_fit(tmp_path: Path) -> None:
    for use in (lambda: AnomalyDetector().save(tmp_path / "none.diabolo"), AnomalyDetector().card):
        with pytest.raises(NotFittedError):
            use()


UNFITTED = {"adds", "fit", "fit_predict", "fit_transform", "load", "partial_fit", "watch"}
TOLD = {"sample": [3], "batches": [3], "save": ["none.diabolo"], "run": [made_up().to_batches()[0]]}


def of_a_fit(task: type[Task]) -> list[str]:
    """The methods and properties that speak of what was learned."""
    names = {name for name in set(dir(task)) - set(dir(Params)) - UNFITTED if not name.startswith(("_", "set_"))}
    return sorted(name for name in names if isinstance(part := getattr(task, name), property) or callable(part))


@pytest.mark.parametrize(("verb", "name"), [(verb, name) for verb, each in TASKS.items() for name in of_a_fit(each)])
def test_nothing_is_said_before_a_fit(verb: str, name: str) -> None:
    with pytest.raises(NotFittedError):
        use = getattr(TASKS[verb](), name)
        needed = [each for each in inspect.signature(use).parameters.values() if each.default is each.empty]
        list(use(*TOLD.get(name, [np.ones((5, 3))] * len(needed))))


def test_weights_of_another_variant_are_refused() -> None:
    fitted = AnomalyDetector(Vanilla(latent=2), trainer=SHORT, random_state=0).fit(made_up())
    with pytest.raises(InvalidArtifact, match="not those of the variant"):
        rebuilt(VAE(latent=2), fitted.preparation_.schema_, fitted.autoencoder_.state_dict())


def test_a_file_whose_parts_do_not_fit_each_other_is_no_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one of a version that compared the pixels of large images, not their cells."""
    images = np.random.default_rng(0).normal(size=(60, 1, 20, 20))
    AnomalyDetector("Linear", random_state=0).fit(images).save(tmp_path / "old.diabolo")
    monkeypatch.setattr("diabolo.pixels.MOST", 20)
    with pytest.raises(InvalidArtifact, match=r"can rebuild: .*\nFit again"):
        load(tmp_path / "old.diabolo")


def test_card_says_what_the_model_is() -> None:
    card = linear().fit(made_up().append_column("id", pa.array([f"pump {i}" for i in range(80)]))).card()
    assert card["task"] == "AnomalyDetector" and card["seed"] == 0
    assert card["variant"] == repr(Linear())
    assert "id" in card["set aside"] and "flow" in card["columns"]
    assert card["versions"]["torch"] == torch.__version__


def test_comparison_with_a_linear_autoencoder() -> None:
    """A product of two columns is beyond any linear autoencoder, and the comparison says so."""
    dice = np.random.default_rng(0)
    a, b = dice.normal(size=(2, 3000))
    rows = np.c_[a, b, 2 * a * b]
    rows[dice.random(rows.shape) < 0.02] = np.nan
    deep = Imputer(trainer=Trainer(epochs=40, batch_size=128), random_state=0).fit(rows).comparison_
    assert deep["better"] == "deep" and deep["difference"] < -2 * deep["error"] < 0
    assert linear(Imputer).fit(rows).comparison_["better"] != "deep"


# -- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape, size", [((200, 6), 128), ((200, 1, 8), 32), ((200, 1, 4, 4), 32)])
def test_images_and_series_come_in_smaller_batches(
    shape: tuple[int, ...], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int | None] = []

    def seen(trainer: Trainer, *rest: Any, **named: Any) -> list[Epoch]:
        sizes.append(trainer.batch_size)
        return []

    monkeypatch.setattr(Trainer, "fit", seen)
    Embedder(Vanilla(latent=2), random_state=0).fit(np.random.default_rng(0).normal(size=shape))
    assert sizes == [size]


def stopped(epoch: Epoch) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("verb", TASKS)
def test_a_fit_that_is_stopped_leaves_the_task_as_it_was(verb: str) -> None:
    new = TASKS[verb](Vanilla(latent=2), trainer=SHORT, random_state=0).watch(stopped)
    with pytest.raises(KeyboardInterrupt):
        new.fit(made_up())
    with pytest.raises(NotFittedError):
        new.encode(made_up())
    fitted = TASKS[verb](Vanilla(latent=2), trainer=SHORT, random_state=0).fit(made_up())
    before = fitted.costs(made_up())
    with pytest.raises(KeyboardInterrupt):
        fitted.watch(stopped).fit(made_up(50, seed=3).drop_columns(["power"]))
    assert np.array_equal(fitted.costs(made_up()), before) and fitted.rows_seen_ == len(made_up())


def test_further_rows_that_are_stopped_leave_the_detector_as_it_was() -> None:
    detector = AnomalyDetector(Vanilla(latent=2), trainer=SHORT, random_state=0).fit(made_up())
    twin = AnomalyDetector(Vanilla(latent=2), trainer=SHORT, random_state=0).fit(made_up())
    with pytest.raises(KeyboardInterrupt):
        detector.watch(stopped).partial_fit(made_up(seed=1))
    del detector.on_epoch
    for each in (detector, twin):
        each.partial_fit(made_up(seed=1))
    assert np.array_equal(detector.anomaly_score(made_up()), twin.anomaly_score(made_up()))


def test_gradients_that_are_off_outside_are_on_in_a_fit() -> None:
    with torch.no_grad():
        assert len(AnomalyDetector(Vanilla(latent=2), trainer=SHORT).fit(made_up()).history_) == 2
        assert not torch.is_grad_enabled()


def test_weights_of_64_bits_are_refused() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(InvalidParameter, match="32 bits"):
            AnomalyDetector().fit(made_up())
    finally:
        torch.set_default_dtype(torch.float32)
