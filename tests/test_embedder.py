"""Embedder: codes in the class of the input, their names, and the way back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from diabolo import Embedder, Trainer, load
from diabolo.checks.tasks import made_up
from diabolo.errors import InvalidParameter, SchemaMismatch
from diabolo.variants import Linear, Vanilla

ONE = Linear(latent=1)


def line(count: int = 300) -> np.ndarray:
    """Rows on a line, as far as rounding goes."""
    return np.outer(np.random.default_rng(0).normal(size=count), [1.0, 2.0, -1.0, 3.0]) + 5


@pytest.mark.parametrize("variant", [ONE, Vanilla(latent=1, hidden=(16,))])
def test_rows_on_a_line_come_back_from_one_number(variant) -> None:
    rows = line()
    embedder = Embedder(variant, trainer=Trainer(epochs=60, batch_size=16), random_state=0).fit(rows)
    codes = embedder.transform(rows)
    assert codes.shape == (300, 1) and codes.dtype == np.float64
    back = embedder.inverse_transform(codes)
    assert np.square((back - rows) / rows.std(0)).mean() < 0.05
    assert embedder.inverse_transform(codes[:0]).shape == (0, 4)


def test_tables_give_tables_of_their_class() -> None:
    frame = made_up().to_pandas().set_index(np.arange(80) + 1000)
    embedder = Embedder(Linear(latent=2), random_state=0).fit(frame)
    names = ["embedder0", "embedder1"]
    assert list(embedder.get_feature_names_out()) == names
    codes = embedder.transform(frame)
    assert list(codes.columns) == names and codes.index.equals(frame.index)
    assert isinstance(embedder.transform(pl.from_arrow(made_up())), pl.DataFrame)
    assert embedder.transform(made_up()).column_names == names
    assert list(embedder.inverse_transform(codes).columns) == list(frame.columns)
    assert embedder.inverse_transform(codes).dtypes.equals(
        frame.drop(columns="heat").dtypes.reindex(frame.columns, fill_value=float)
    )


def test_run_adds_the_codes_in_place_of_older_ones() -> None:
    batch = made_up(9).to_batches()[0]
    embedder = Embedder(Linear(latent=2), random_state=0).fit(made_up())
    once = embedder.run(batch)
    assert once.schema.names == [*batch.schema.names, "embedder0", "embedder1"]
    assert embedder.run(once).equals(once)


def test_in_a_pipeline_and_loaded(tmp_path: Path) -> None:
    rows = line()
    truth = rows[:, 0] > 5
    model = make_pipeline(Embedder(ONE, random_state=0), LogisticRegression()).set_output(transform="pandas")
    assert model.fit(rows, truth).score(rows, truth) > 0.95
    model[0].save(tmp_path / "m.diabolo")
    again = load(tmp_path / "m.diabolo")
    assert np.array_equal(again.transform(rows), np.asarray(model[0].transform(rows)))
    assert np.array_equal(again.inverse_transform([[0.5]]), model[0].inverse_transform([[0.5]]))


def test_an_ensemble_has_no_way_back() -> None:
    embedder = Embedder(Vanilla(latent=1, members=2), trainer=Trainer(epochs=1), random_state=0).fit(line())
    assert embedder.transform(line()).shape == (300, 2)
    with pytest.raises(InvalidParameter, match="members=1"):
        embedder.inverse_transform(np.zeros((1, 2)))


def test_codes_of_another_width_are_refused() -> None:
    embedder = Embedder(ONE, random_state=0).fit(line())
    for codes in (np.zeros((3, 2)), np.zeros(1)):
        with pytest.raises(SchemaMismatch, match="has 1 numbers"):
            embedder.inverse_transform(codes)


def test_codes_that_may_not_be_written_to_are_copied(torch_warns: None) -> None:
    embedder = Embedder(ONE, random_state=0).fit(line())
    codes = np.ones((3, 1), np.float32)
    codes.flags.writeable = False
    assert embedder.inverse_transform(codes).shape == (3, 4)


def test_restored_rows_have_the_types_of_the_fit() -> None:
    rows = pa.table(
        {
            "age": pa.array(np.random.default_rng(0).integers(20, 60, 80), pa.int16()),
            "kind": pa.array(["a", "b"] * 40).dictionary_encode(),
            "id": [f"no {each}" for each in range(80)],
        }
    )
    back = Embedder("Linear", random_state=0).fit(rows)
    made = back.inverse_transform(back.transform(rows))
    assert made.schema.names == rows.schema.names and made.schema.field("age").type == pa.int16()
    assert pa.types.is_dictionary(made.schema.field("kind").type) and made["id"].null_count == 80


def test_defaults_are_as_good_as_principal_components() -> None:
    """Of digits, to nearest neighbours: not on rows alone that the components were taken from."""
    images, digits = load_digits(return_X_y=True)
    reached = []
    for embedder in (Embedder(random_state=0), PCA(16, random_state=0)):
        codes = embedder.fit_transform(images[:1200])
        probe = KNeighborsClassifier().fit(codes, digits[:1200])
        reached.append(probe.score(embedder.transform(images[1200:]), digits[1200:]))
    assert reached[0] > reached[1] - 0.01 and reached[0] > 0.93
