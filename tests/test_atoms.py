from __future__ import annotations

import numpy as np
import pytest
import torch

from diabolo.batches import Rows
from diabolo.checks import MIXED
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.evaluate import atoms, fidelity, mean_max_cosine, sparse_probing
from diabolo.preparation import Preparation
from diabolo.schema import Schema, numbers
from diabolo.variants import Dictionary, TopKDictionary, Vanilla


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_figures_are_those_of_the_whole_set() -> None:
    """Against one look at all rows, more of them than are looked at together."""
    x = torch.randn(9000, 5) + 3
    autoencoder = Dictionary(latent=16).build(numbers(5)).eval()
    with torch.no_grad():
        autoencoder.encoder.get_parameter("layers.0.bias")[0] = -1e3  # an atom that is never used
        trip = autoencoder(x)
    found = fidelity(autoencoder.train(), Rows(x))
    z, told = trip.code.z, trip.output
    assert found.l0 == pytest.approx(float((z > 0).sum(1).double().mean()))
    assert found.explained_variance == pytest.approx(
        float(1 - (x - told).square().sum() / (9000 * x.var(0, False).sum())), rel=1e-4
    )
    assert found.dead == pytest.approx(float((z > 0).sum(0).eq(0).double().mean())) and found.dead >= 1 / 16


def test_missing_values_are_left_out() -> None:
    x = torch.randn(200, 5)
    x[::3, 2] = torch.nan
    autoencoder = TopKDictionary(latent=16, k=3).build(numbers(5)).eval()
    with torch.no_grad():
        told = autoencoder(x).output
    seen = ~x.isnan()
    away = (x - told)[seen].square().sum()
    spread = sum(float((column[~column.isnan()] - column.nanmean()).square().sum()) for column in x.T)
    assert fidelity(autoencoder, Rows(x)).explained_variance == pytest.approx(1 - float(away) / spread, rel=1e-4)


def test_rows_that_tell_nothing() -> None:
    autoencoder = TopKDictionary(latent=16, k=3).build(numbers(5))
    with pytest.raises(InvalidData, match="Got none"):
        fidelity(autoencoder, Rows(torch.zeros(0, 5)))
    with pytest.raises(InvalidData, match="do not vary"):
        fidelity(autoencoder, Rows(torch.ones(4, 5)))


def test_atoms_in_the_users_units() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3)) * [1.0, 10.0, 0.1]
    preparation = Preparation().fit(x)
    autoencoder = TopKDictionary(latent=8, k=2).build(preparation.schema_)
    found = atoms(autoencoder, preparation.schema_)
    assert np.allclose(np.linalg.norm(found, axis=1), 1)
    same = atoms(autoencoder) * x.std(0)
    assert np.allclose(found, same / np.linalg.norm(same, axis=1, keepdims=True), atol=1e-5)


def test_atoms_of_a_grid_have_the_scale_of_their_channel() -> None:
    schema = Schema(numbers(2, "series", (3,)).columns, "series", (3,))
    autoencoder = TopKDictionary(latent=8, k=2).build(schema)
    assert np.allclose(atoms(autoencoder, schema), atoms(autoencoder), atol=1e-6)


def test_what_has_no_atoms_or_no_units() -> None:
    with pytest.raises(InvalidParameter, match="has no atoms"):
        atoms(Vanilla().build(numbers(5)))
    autoencoder = TopKDictionary(latent=8, k=2).build(MIXED)
    assert atoms(autoencoder).shape[0] == 8
    with pytest.raises(InvalidParameter, match="Leave out the schema"):
        atoms(autoencoder, MIXED)


def test_cosines_do_not_depend_on_length_or_order() -> None:
    truth = np.random.default_rng(0).normal(size=(20, 6))
    found = (truth * np.arange(1, 21)[:, None])[::-1]
    assert mean_max_cosine(truth, found) == pytest.approx(1)
    assert mean_max_cosine(truth, -found) < 0.95
    assert mean_max_cosine(truth, np.zeros((2, 6))) == 0
    with pytest.raises(InvalidData, match="one width"):
        mean_max_cosine(truth, found[:, :3])


def test_probing_needs_as_many_numbers_as_tell_the_label() -> None:
    """A label that is one code number, and one that only two together tell."""
    dice = np.random.default_rng(0)
    codes = (1 + dice.exponential(size=(800, 10))) * (dice.random((800, 10)) < 0.3)
    one = codes[:, 4] > 0
    assert sparse_probing(codes, one)[1] > 0.95
    two = (codes[:, 2] > 0) | (codes[:, 7] > 0)
    accuracy = sparse_probing(codes, two)
    assert accuracy[1] < 0.85 < 0.95 < accuracy[2]
    assert abs(sparse_probing(codes, dice.random(800) < 0.5)[5] - 0.5) < 0.1


def test_probing_of_several_labels_is_the_mean_of_each_against_the_rest() -> None:
    labels = np.array(["a", "b", "c"])[np.arange(90) % 3]
    codes = np.eye(3)[np.arange(90) % 3]
    assert sparse_probing(codes, labels, k=(1, 3)) == {1: 1.0, 3: 1.0}


def test_probing_refuses_what_it_cannot_learn_from() -> None:
    codes = np.zeros((10, 3))
    for labels in ([0] * 10, [0, 1], [0] * 9 + [1]):
        with pytest.raises(InvalidData, match="one label per code"):
            sparse_probing(codes, labels, k=(1,))
    with pytest.raises(InvalidParameter, match="1 to 3"):
        sparse_probing(codes, [0, 1] * 5)
