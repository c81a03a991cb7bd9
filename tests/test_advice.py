"""Advice looks at the data, follows the rules of the field, and gives way to the race."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from sklearn.datasets import load_digits, load_iris

from diabolo import AnomalyDetector, advice, choose
from diabolo.advice import Advice, Candidate, Look, Racer, candidates, race
from diabolo.advice.look import sampled
from diabolo.advice.race import apart, made
from diabolo.catalogue import chosen
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.readers import open_source
from diabolo.variants import Linear, Masked, Vanilla

PLAIN = Look(5000, 5000, "table", (10,), {"numbers": 10}, {}, 0.0, 0, 3, 0.6, 4, -3.0, 3.0)


def bent(rows: int = 600) -> np.ndarray:
    """Six columns on a bent sheet: PCA needs more numbers than the two that made it."""
    a, b = np.random.default_rng(0).uniform(-1.5, 1.5, size=(2, rows))
    sheet = np.c_[np.sin(2 * a), np.cos(2 * a), np.sin(2 * b), np.cos(2 * b), a * b, a**2 - b**2]
    return sheet + 0.02 * np.random.default_rng(1).normal(size=sheet.shape)


def mixed(rows: int = 400) -> pa.Table:
    dice = np.random.default_rng(0)
    return pa.table(
        {
            "id": np.arange(rows),
            "level": np.where(dice.random(rows) < 0.1, np.nan, dice.normal(size=rows)),
            "price": dice.standard_t(1.2, size=rows),
            "visits": dice.negative_binomial(1, 0.2, size=rows).astype(float),
            "on": (dice.random(rows) > 0.5).astype(int),
            "kind": dice.choice(list("abc"), rows),
        }
    )


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "EPOCHS", 3)


# -- the look --------------------------------------------------------------------------------------------------------


def test_what_is_seen_of_a_table() -> None:
    look = Look.of(mixed(), 4000)
    assert look.kinds == {
        "numbers": 1,
        "numbers with heavy tails (Student-t)": 1,
        "counts (negative binomial)": 1,
        "flags": 1,
        "categories": 1,
    }
    assert look.mixed and list(look.aside) == ["id"] and look.gappy == 1
    assert look.gaps == pytest.approx(0.1 / 5, abs=0.005)
    told = dict(look.lines())
    assert told["data"] == "4,000 rows of 5 values (400 of them looked at)"
    assert "set aside: id" in told["columns"] and told["in common"] == "no direction holds more than chance"


def test_the_width_is_that_of_what_columns_share() -> None:
    dice = np.random.default_rng(0)
    rows = dice.normal(size=(500, 3)) @ dice.normal(size=(3, 20)) + 0.1 * dice.normal(size=(500, 20))
    look = Look.of(rows, 500)
    assert look.shared == 3 == look.width and look.common > 0.9 and not look.mixed


def test_a_sample_of_a_file_is_spread_over_it(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table({"row": np.arange(50_000)}), tmp_path / "long.parquet", row_group_size=1000)
    rows, total = sampled(open_source(tmp_path / "long.parquet"), 1000)
    numbers = rows["row"].to_numpy()
    assert total == 50_000 and len(rows) == 1000 and (np.diff(numbers) > 0).all()
    assert np.histogram(numbers, 5)[0] == pytest.approx(200, abs=60)
    held, total = sampled(np.arange(50_000.0)[:, None], 1000)
    assert total == 50_000 and np.array_equal(held[:, 0], numbers)


# -- the rules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "aim, want, first",
    [
        ("detect", None, "Masked"),
        ("impute", None, "Masked"),
        ("denoise", None, "Denoising"),
        ("embed", None, "Residual"),
        ("cluster", None, "Residual"),
        ("synthesize", None, "VAE"),
        ("embed", "interpretable", "Sparse"),
        ("embed", "stable", "Contractive"),
    ],
)
def test_rules_of_the_field(aim: str, want: str | None, first: str) -> None:
    told = candidates(PLAIN, aim, want)
    assert told[0].name == first and told[0].reasons
    assert any(each.linear for each in told) and len(told) <= 5
    assert len({str(each) for each in told}) == len(told)


@pytest.mark.parametrize("aim, first", [("detect", "Vanilla"), ("embed", "IIC"), ("cluster", "IIC")])
def test_images_have_rules_of_their_own(aim: str, first: str) -> None:
    told = candidates(replace(PLAIN, kind="image"), aim)
    assert told[0].name == first and any("image" in reason for reason in told[0].reasons)


def test_rules_that_rest_on_the_data() -> None:
    few, straight = replace(PLAIN, rows=150), replace(PLAIN, common=0.97)
    assert "150 rows are few" in candidates(few, "detect")[0].reasons[0]
    assert candidates(straight, "embed")[0].linear and not candidates(straight, "embed", "stable")[0].linear
    gappy = candidates(replace(PLAIN, gaps=0.05), "embed")[0]
    assert gappy.variant.noise == "hide"
    heavy = replace(PLAIN, kinds={"numbers": 5, "numbers with heavy tails (Student-t)": 5})
    assert "Robust" in [each.name for each in candidates(heavy, "detect")]
    wide = replace(PLAIN, shape=(200,), rows=20_000)
    assert candidates(wide, "embed", "interpretable")[0].name == "TopKDictionary"
    image = replace(PLAIN, kind="image", shape=(1, 28, 28))
    assert "rows are images: hidden layers are convolutions" in candidates(image, "detect")[0].reasons


# -- the race --------------------------------------------------------------------------------------------------------


def racer(variant: object, costs: object, base: object = 1.0) -> Racer:
    own = np.asarray(costs, float).reshape(3, -1)
    return Racer(Candidate(variant), own, *apart(own, np.full(own.shape, base)))


def noisy(level: float, seed: int) -> np.ndarray:
    return level + 0.1 * np.random.default_rng(seed).normal(size=300)


def after(*racers: Racer, want: str | None = None) -> Advice:
    return Advice.of(PLAIN, "embed", want, [each.candidate for each in racers], racers)


def test_the_race_decides() -> None:
    ruled, linear, other = (racer(each, np.ones(300)) for each in (Masked(), Linear(), Vanilla()))
    assert after(ruled, linear, other).variant is linear.candidate.variant
    assert "Nothing beats PCA" in after(ruled, linear, other).said
    slightly = racer(Masked(), noisy(0.995, 0))
    assert not slightly.better and after(slightly, linear, other).variant is linear.candidate.variant
    clearly = racer(Masked(), noisy(0.8, 0))
    assert after(clearly, linear, other).variant is clearly.candidate.variant
    as_good = racer(Vanilla(), noisy(0.799, 1))
    assert after(clearly, linear, as_good).variant is clearly.candidate.variant
    best = racer(Vanilla(), noisy(0.5, 1))
    told = after(clearly, linear, best)
    assert told.variant is best.candidate.variant and "than Masked of the rules" in told.said
    assert after(ruled, linear, best, want="stable").variant is ruled.candidate.variant


def test_bent_rows_are_no_case_for_pca() -> None:
    told = choose(bent(), "embed")
    assert not isinstance(told.variant, Linear) and told.taken.better
    assert told.table()[0][0] == "variant" and "PCA itself" in told.table()[-1]
    fitted = told.task(random_state=0).fit(bent())
    assert fitted.comparison_["better"] == "deep"


def test_straight_rows_are() -> None:
    dice = np.random.default_rng(0)
    rows = dice.normal(size=(300, 3)) @ dice.normal(size=(3, 12)) + 0.1 * dice.normal(size=(300, 12))
    for aim in ("embed", "impute"):
        told = choose(rows, aim)
        assert isinstance(told.variant, Linear)
        assert "Nothing beats PCA beyond two errors" in str(told)


@pytest.mark.parametrize("aim", ["detect", "impute", "denoise", "embed", "cluster", "synthesize"])
@pytest.mark.usefixtures("brief")
def test_every_aim_of_a_small_table(aim: str) -> None:
    steps: list[str] = []
    told = choose(load_iris().data, aim, on_step=steps.append)
    assert 0 < len(steps) <= advice.STEPS
    words = shlex.split(told.command("my data.csv"))
    assert words[:6] == ["diabolo", "fit", aim, "my data.csv", "-o", "my data.diabolo"]
    assert repr(chosen(aim, words[7::2], seed=0).variant) == repr(told.variant)
    assert json.loads(json.dumps(told.to_dict()))["aim"] == aim


@pytest.mark.parametrize("aim, want", [("detect", None), ("impute", None), ("embed", "interpretable")])
@pytest.mark.usefixtures("brief")
def test_the_race_has_the_pca_that_a_fit_is_compared_with(aim: str, want: str | None) -> None:
    told = choose(bent(), aim, want=want)
    shown = made(aim, told.ruled, 0).fit(bent()).comparison_["width"]
    assert shown in [each.candidate.variant.latent for each in told.race if each.candidate.linear]


@pytest.mark.parametrize("aim", ["embed", "cluster"])
def test_codes_that_are_not_to_restore_are_not_raced_by_what_they_restore(aim: str) -> None:
    pictures = load_digits().images[:400, None]
    told = choose(pictures, aim)
    assert told.chosen.name == "IIC" and not told.race and told.taken is None and told.rows_raced == 0
    assert "Nothing was raced: only labels can tell" in told.said and "IIC is for something else" in told.conditions
    assert told.command("d.npy").endswith(f"-p variant=IIC -p variant.latent={told.variant.latent}")
    assert json.loads(json.dumps(told.to_dict()))["race"] == []


@pytest.mark.usefixtures("brief")
def test_the_others_are_raced_without_them() -> None:
    told = choose(load_digits().images[:90, None], "embed", want="stable")
    assert [each.candidate.name for each in told.race][:2] == ["Contractive", "Linear"]
    assert "IIC" not in {each.candidate.name for each in told.race} and "not raced: IIC" in told.conditions


@pytest.mark.usefixtures("brief")
def test_equal_seeds_give_equal_advice() -> None:
    one, two = (choose(load_iris().data, seed=3) for _ in range(2))
    assert one.table() == two.table() and str(one) == str(two)


@pytest.mark.usefixtures("brief")
def test_mixed_tables_can_be_raced() -> None:
    told = choose(mixed(120))
    assert isinstance(told.task(), AnomalyDetector) and len(told.race) >= 3


def test_what_cannot_be_chosen_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"no aim 'detct'. Did you mean 'detect'\?"):
        choose(bent(), "detct")
    with pytest.raises(InvalidParameter, match="no want 'pretty'"):
        choose(bent(), want="pretty")
    (tmp_path / "few.csv").write_text("a,b\n" + "1.5,2\n" * 9)
    with pytest.raises(InvalidData, match=r"few.csv has 9 rows; at least 30"):
        choose(tmp_path / "few.csv")
    (tmp_path / "bad.csv").write_text("a,b\n" + "1.5,x\n" + "".join(f"{i},{i}.5\n" for i in range(60)))
    with pytest.raises(InvalidData, match=r"bad.csv.*'x' is not a number"):
        choose(tmp_path / "bad.csv")
