"""Groups of neighbours: shapes that means cannot find, the information by hand, votes, and the state."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import gammaln
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, mutual_info_score

from diabolo.batches import Batch
from diabolo.errors import InvalidData
from diabolo.tasks.groups import Groups, Links, information, joined, moved, neighbours


def rings(count: int = 150, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """Two rings, one in the other, of which means make halves."""
    dice = np.random.default_rng(seed)
    angle, inner = dice.uniform(0, 2 * math.pi, 2 * count), np.arange(2 * count) < count
    radius = np.where(inner, 1.0, 3.0) + dice.normal(0, 0.1, 2 * count)
    places = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    return torch.from_numpy(places).float(), inner.astype(int)


def test_groups_of_any_shape_are_found() -> None:
    z, truth = rings()
    groups = Groups.of_neighbours(Batch(z), 2, seed=0)
    assert adjusted_rand_score(truth, groups.labels.numpy()) == 1
    assert adjusted_rand_score(truth, KMeans(2, n_init=3, random_state=0).fit_predict(z.numpy())) < 0.1
    new, known = rings(seed=1)
    assert adjusted_rand_score(known, groups.shares(new).argmax(1).numpy()) == 1


def test_a_seed_gives_the_same_groups() -> None:
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(200, 3))).float()
    one, same = (Groups.of_neighbours(Batch(z), 4, seed=3) for _ in range(2))
    assert torch.equal(one.labels, same.labels) and one.count == 4


def test_information_is_that_of_two_labels() -> None:
    dice = np.random.default_rng(0)
    one = dice.integers(0, 3, 5000)
    other = np.where(dice.random(5000) < 0.6, one, dice.integers(0, 3, 5000))
    table = np.zeros((3, 3))
    np.add.at(table, (one, other), 1 / 5000)
    assert information(table) == pytest.approx(mutual_info_score(one, other))


def test_links_lead_to_the_nearest_both_ways() -> None:
    z = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    links = Links.between(Batch(z))
    # 0 and 1 name each other, 2 names 1, 3 names 2
    expected = np.array([[0, 2, 0, 0], [2, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]])
    assert links.weight.toarray() == pytest.approx(expected)
    assert links.chance.toarray() == pytest.approx(expected / expected.sum(1, keepdims=True))
    labels = np.array([0, 0, 1, 1])
    assert links.towards(labels, 2).sum(0) / links.weight.sum() == pytest.approx(links.shares(labels, 2).sum(0))
    assert links.shares(labels, 2) == pytest.approx(np.array([[23, 7], [7, 11]]) / 48)  # of walks over two links


def test_shares_are_those_of_walks_over_two_links() -> None:
    z, truth = rings(20)
    links = Links.between(Batch(z))
    reached = links.weight.toarray() @ links.chance.toarray()
    expected = np.array([[reached[truth == a][:, truth == b].sum() for b in (0, 1)] for a in (0, 1)])
    assert links.shares(truth, 2) == pytest.approx(expected / reached.sum())
    assert reached == pytest.approx(reached.T)


def test_pieces_are_joined_where_they_are_linked_and_codes_move_to_their_neighbours() -> None:
    z, truth = rings()
    links = Links.between(Batch(z))
    pieces = 8 * truth + KMeans(8, n_init=1, random_state=0).fit_predict(z.numpy())
    whole = joined(links, np.unique(pieces, return_inverse=True)[1], 2)
    assert adjusted_rand_score(truth, whole) == 1
    spoilt = truth.copy()
    spoilt[:15] = 1 - spoilt[:15]
    after = moved(links, spoilt, 2)
    assert adjusted_rand_score(truth, after) > adjusted_rand_score(truth, spoilt)
    assert information(links.shares(after, 2)) > information(links.shares(spoilt, 2))


def test_a_weight_is_so_many_rows() -> None:
    z, truth = rings()
    weight = torch.from_numpy(np.where(truth, 5.0, 1.0)).float()
    links = Links.between(Batch(z, weight))
    inner = links.shares(truth, 2)[1, 1]
    assert inner > 0.9 > Links.between(Batch(z)).shares(truth, 2)[1, 1]


def test_shares_are_ones_and_near_codes_weigh_more() -> None:
    z = torch.arange(40.0).view(-1, 1)
    groups = Groups(z, (torch.arange(40) >= 20).long())
    shares = groups.shares(torch.tensor([[0.0], [19.4], [19.6], [39.0]]))
    assert shares.sum(1).tolist() == pytest.approx([1, 1, 1, 1])
    assert shares[0].tolist() == pytest.approx([1, 0]) and shares[3].tolist() == pytest.approx([0, 1])
    assert shares[1, 0] > 0.5 > shares[2, 0]


def test_a_code_gets_the_same_share_alone_and_among_others() -> None:
    z, _ = rings()
    groups = Groups.of_neighbours(Batch(z), 2, seed=0)
    alone = torch.cat([groups.shares(each[None]) for each in z[:20]])
    assert torch.allclose(alone, groups.shares(z)[:20], atol=1e-9)


def test_density_is_that_of_the_ball_around() -> None:
    z = torch.from_numpy(np.random.default_rng(0).uniform(size=(4000, 2))).float()
    groups = Groups(z, torch.zeros(4000, dtype=torch.int64))
    middle = torch.from_numpy(np.random.default_rng(1).uniform(0.2, 0.8, size=(500, 2))).float()
    assert float(groups.log_density(middle).mean()) == pytest.approx(0, abs=0.1)  # of a density of 1
    far = float(groups.log_density(torch.tensor([[1000.0, 0.0]])))
    ball = math.log(math.pi) - float(gammaln(2.0)) + 2 * math.log(999.5)
    assert far == pytest.approx(math.log(15 / 4000) - ball, abs=0.01)


def test_few_codes_make_few_groups() -> None:
    z = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    groups = Groups.of_neighbours(Batch(z), 5, seed=0)
    assert groups.count <= 2 and torch.isfinite(groups.log_density(z)).all()
    assert Groups.of_neighbours(Batch(z[:2]), 5, seed=0).count == 1
    repeated = torch.arange(20.0).repeat(3).view(-1, 1)
    assert Groups.of_neighbours(Batch(repeated), 12, seed=0).count <= 12
    assert [neighbours(each) for each in (1, 2, 100, 10_000)] == [1, 1, 10, 15]


def test_state_is_everything_and_is_checked() -> None:
    z, _ = rings()
    groups = Groups.of_neighbours(Batch(z), 2, seed=0)
    again = Groups.restored(groups.state(), 2)
    assert torch.equal(again.shares(z), groups.shares(z))
    for spoilt in ({"codes": z[:, :1]}, {"labels": groups.labels[:9]}, {"labels": groups.labels - 1}, {"codes": z[:0]}):
        with pytest.raises(InvalidData, match="codes of 2 numbers"):
            Groups.restored(groups.state() | spoilt, 2)


def test_many_groups_are_as_many_as_were_asked_for() -> None:
    codes = torch.tensor(np.random.default_rng(0).normal(scale=50, size=(180, 2)).repeat(6, 0), dtype=torch.float32)
    codes += 0.1 * torch.randn(codes.shape, generator=torch.Generator().manual_seed(0))
    assert Groups.of_neighbours(Batch(codes), 180, seed=0, starts=1).count == 180
