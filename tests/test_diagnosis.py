"""Every finding speaks up for a model that was made to fail in its way, and all are silent for sound ones."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn import datasets

from diabolo import AnomalyDetector, Clusterer, Denoiser, Embedder, Imputer, Synthesizer, Trainer, diagnosis, load
from diabolo.diagnosis import Finding
from diabolo.diagnosis.data import _are_pressed
from diabolo.diagnosis.spectrum import Spectrum
from diabolo.errors import InvalidParameter
from diabolo.networks import Features
from diabolo.preparation import Preparation
from diabolo.tasks.task import Task
from diabolo.variants import FSQ, LFQ, VAE, Denoising, DiscreteVAE, Linear, Masked, SimVQ, TopKDictionary, Vanilla

BRIEF = Trainer(epochs=30, batch_size=64)


def factors(rows: int = 600, columns: int = 12, count: int = 5, noise: float = 0.2, seed: int = 0) -> np.ndarray:
    """Rows that ``count`` hidden numbers make, bent a little, with noise."""
    dice = np.random.default_rng(seed)
    hidden = dice.normal(size=(rows, count)) @ np.random.default_rng(1).normal(size=(count, columns))
    return np.tanh(hidden / 3) * 3 + noise * dice.normal(size=(rows, columns))


def names(fitted: Task) -> list[str]:
    return [finding.name for finding in fitted.diagnose()]


def said(fitted: Task, name: str) -> str:
    return next(finding.seen for finding in fitted.diagnose() if finding.name == name)


# -- sound fits ------------------------------------------------------------------------------------------------------

SOUND = {
    "iris": lambda: datasets.load_iris().data,
    "wine": lambda: datasets.load_wine().data,
    "breast cancer": lambda: datasets.load_breast_cancer().data,
    "diabetes": lambda: datasets.load_diabetes().data,
    "digits": lambda: datasets.load_digits().data[:600],
}


@pytest.mark.parametrize("rows", SOUND)
@pytest.mark.parametrize("variant", ["Masked", "Denoising", "Vanilla", "Linear", "VAE", "VQVAE", "FSQ", "Sparse"])
def test_sound_fits_raise_no_alarm(rows: str, variant: str) -> None:
    assert names(Embedder(variant, random_state=0).fit(SOUND[rows]())) == []


@pytest.mark.parametrize("name", ["30_satellite", "6_cardio", "40_vowels", "29_Pima", "45_wine", "12_fault"])
@pytest.mark.parametrize("task", [AnomalyDetector, Imputer, Denoiser, Synthesizer])
def test_sound_fits_of_real_tables_raise_no_alarm(data_dir: Path, name: str, task: type[Task]) -> None:
    with np.load(data_dir / "adbench" / f"{name}.npz") as file:
        rows = file["X"][file["y"] == 0][:1000].astype(float)
    assert names(task(random_state=0).fit(rows)) == []


def test_made_up_rows_are_sound() -> None:
    for variant in ("Masked", "Denoising", "Vanilla", "Linear", "VAE"):
        assert names(Embedder(variant, random_state=0).fit(factors())) == []


@pytest.mark.parametrize("variant", ["Masked", "Vanilla", "Linear", "VAE"])
def test_rows_that_are_all_equal_raise_no_alarm(variant: str) -> None:
    rows = np.tile([1.0, 5.0, 0.0], (100, 1))
    assert names(AnomalyDetector(variant, trainer=BRIEF, random_state=0).fit(rows)) == []


# -- the code --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", [Denoising(latent=1), Masked(latent=1), Vanilla(latent=2), Linear(latent=1)])
def test_a_code_that_is_too_narrow(variant: Vanilla) -> None:
    fitted = Embedder(variant, trainer=BRIEF, random_state=0).fit(factors(columns=20, count=4))
    assert "narrow code" in names(fitted)
    assert f"A code of {variant.latent} " in said(fitted, "narrow code")
    assert "latent=4" in fitted.diagnose()[0].change


def test_a_code_that_copies() -> None:
    variant = Vanilla(latent=32, hidden=(64,), overcomplete=True)
    fitted = Embedder(variant, trainer=Trainer(epochs=60, lr=5e-3), random_state=0).fit(factors(2000))
    assert names(fitted) == ["copying"]
    assert "copying" not in names(Embedder(Masked(latent=32), trainer=BRIEF, random_state=0).fit(factors()))


@pytest.mark.parametrize("name", ["29_Pima", "4_breastw", "38_thyroid"])
def test_wide_codes_of_clusterers_are_no_copies(data_dir: Path, name: str) -> None:
    with np.load(data_dir / "adbench" / f"{name}.npz") as file:
        rows = file["X"][:800].astype(float)
    assert names(Clusterer(random_state=0).fit(rows)) == []


def test_a_posterior_that_collapsed() -> None:
    fitted = Synthesizer(VAE(beta=50.0), trainer=BRIEF, random_state=0).fit(factors())
    assert "posterior collapse" in names(fitted)
    assert said(fitted, "posterior collapse").startswith("0 of 8 parts")
    fitted = Embedder(DiscreteVAE(beta=50.0), trainer=BRIEF, random_state=0).fit(factors())
    assert said(fitted, "posterior collapse").startswith("0 of 4 parts")


def test_numbers_of_the_code_that_died() -> None:
    fitted = Embedder(TopKDictionary(latent=2048, k=4), trainer=BRIEF, random_state=0).fit(factors())
    assert "dead numbers" in names(fitted)


def test_hidden_units_that_died() -> None:
    variant = Vanilla(latent=4, hidden=(64, 32), activation="relu")
    trainer = Trainer(epochs=30, batch_size=64, lr=3.0, clip=None, patience=None)
    assert "dead units" in names(Embedder(variant, trainer=trainer, random_state=0).fit(factors()))
    assert "dead units" not in names(Embedder(variant, trainer=BRIEF, random_state=0).fit(factors()))


@pytest.mark.parametrize("variant", [LFQ(weight=0.0), SimVQ(heads=1, codes=256), DiscreteVAE(), FSQ()])
def test_a_codebook_that_collapsed(variant: LFQ) -> None:
    trainer = Trainer(epochs=10, batch_size=64, lr=0.3)
    fitted = Denoiser(variant, trainer=trainer, random_state=0).fit(factors())
    assert "codebook collapse" in names(fitted)


# -- the rows --------------------------------------------------------------------------------------------------------


def mixed(rows: int = 500) -> pa.Table:
    dice = np.random.default_rng(0)
    level = dice.normal(size=rows)
    return pa.table(
        {
            "level": level,
            "twice": 2 * level + 0.1 * dice.normal(size=rows),
            "flag": (level > 0).astype(float),
            "visits": dice.negative_binomial(1, 0.2, size=rows).astype(float),
            "price": dice.standard_t(1.5, size=rows),
        }
    )


def test_likelihoods_that_do_not_suit() -> None:
    plain = AnomalyDetector("Linear", random_state=0).fit(mixed())
    assert "wrong likelihood" not in names(plain)
    asked = dict.fromkeys(["flag", "visits", "price"], "Normal")
    fitted = AnomalyDetector("Linear", likelihoods=asked, random_state=0).fit(mixed())
    finding = next(each for each in fitted.diagnose() if each.name == "wrong likelihood")
    assert finding.seen.startswith("3 of 5 columns: 'flag' is Normal, its values are 0 and 1; 'visits'")
    for advice in ("'flag': 'Bernoulli'", "'visits': 'NegativeBinomial'", "'price': 'StudentT'"):
        assert advice in finding.change
    told = dict.fromkeys(["level", "price"], "StudentT") | {"flag": "Bernoulli", "visits": "NegativeBinomial"}
    assert "wrong likelihood" not in names(AnomalyDetector("Linear", likelihoods=told, random_state=0).fit(mixed()))


@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_pixels_of_two_values_are_no_normal_numbers(grey: float) -> None:
    dice = np.random.default_rng(0)
    pixels = (dice.normal(size=(100, 1, 6, 6)) > 0) + grey * dice.uniform(size=(100, 1, 6, 6))
    preparation = Preparation().fit(pixels)
    schema, x = preparation.schema_, preparation.transform(pixels)
    with torch.inference_mode():
        found = diagnosis.examined(diagnosis.Case(schema, Vanilla(latent=2).build(schema).eval(), x, None))
    assert ("wrong likelihood" in [each.name for each in found]) == (not grey)


def test_numbers_told_as_categories() -> None:
    rows = mixed()
    fitted = AnomalyDetector("Linear", likelihoods={"level": "Categorical"}, random_state=0).fit(rows)
    assert "'level' is Categorical, its values are numbers" in said(fitted, "wrong likelihood")


def test_one_wild_value_presses_its_column() -> None:
    rows = factors()
    rows[7, 3] = 1e9
    fitted = Embedder("Vanilla", trainer=BRIEF, random_state=0, likelihoods={"x3": "Normal"}).fit(rows)
    assert "'x3'" in said(fitted, "pressed columns")
    assert "pressed columns" not in names(Embedder("Vanilla", trainer=BRIEF, random_state=0).fit(rows))


def test_a_column_of_gaps_and_few_values_is_not_pressed() -> None:
    x = torch.full((1000, 1), torch.nan)
    x[:300, 0] = torch.arange(300) % 3 * 0.001
    assert _are_pressed(x) == [False]


@pytest.mark.parametrize("variant", ["VAE", "Denoising"])
def test_anomalies_among_the_training_rows(variant: str) -> None:
    rows, dice = factors(1000), np.random.default_rng(5)
    rows[:30] = rows[:30] + dice.choice([-1, 1], (30, 12)) * dice.uniform(6, 12, (30, 12))
    fitted = Embedder(variant, random_state=0).fit(rows)
    assert "anomalies in the training rows" in names(fitted)


# -- the training ----------------------------------------------------------------------------------------------------


def test_rows_learned_by_heart() -> None:
    dice = np.random.default_rng(0)
    rows = dice.normal(size=(60, 40))
    variant = Vanilla(latent=20, hidden=(256, 256))
    trainer = Trainer(epochs=400, patience=None, lr=3e-3, weight_decay=0.0)
    fitted = Embedder(variant, trainer=trainer, validation=0.5, random_state=0).fit(rows)
    assert "over-fitting" in names(fitted)


def test_training_that_jumps() -> None:
    trainer = Trainer(epochs=30, batch_size=64, lr=0.1, schedule="constant", clip=None, patience=None)
    assert "unstable training" in names(Embedder("Vanilla", trainer=trainer, random_state=0).fit(factors()))


def test_training_that_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = factors()
    rows[5, 2] = 1e9
    trainer = Trainer(epochs=10, batch_size=64, lr=30.0, clip=None, patience=None)
    with pytest.warns(UserWarning, match="left the finite numbers"):
        fitted = Embedder("Vanilla", trainer=trainer, random_state=0).fit(rows)
    assert "set back" in said(fitted, "unstable training")


def test_training_that_was_stopped_too_soon() -> None:
    trainer = Trainer(epochs=6, batch_size=64, schedule="constant")
    fitted = Embedder("Vanilla", trainer=trainer, random_state=0).fit(factors())
    assert "unfinished training" in names(fitted)
    assert "trainer.epochs=12" in fitted.diagnose()[-1].change


@pytest.mark.parametrize("epochs", [5, 10, 20])
def test_a_short_training_that_has_little_left_to_learn(data_dir: Path, epochs: int) -> None:
    with np.load(data_dir / "adbench" / "45_wine.npz") as file:
        rows = file["X"].astype(float)
    assert names(Embedder(trainer=Trainer(epochs=epochs), random_state=0).fit(rows)) == []


@pytest.mark.parametrize("task", [Imputer, Denoiser, Synthesizer])
def test_a_network_that_loses_to_pca(task: type[Task]) -> None:
    rows = factors(1500, 20, 3, noise=0.05)
    fitted = task(trainer=Trainer(epochs=1, lr=1e-5), random_state=0).fit(rows)
    assert "behind PCA" in names(fitted)
    told = fitted.comparison_
    assert f"PCA of {told['width']} numbers costs {told['linear']:.3g}, this model {told['deep']:.3g}" in said(
        fitted, "behind PCA"
    )
    assert "behind PCA" not in names(task("Linear", random_state=0).fit(rows))


def test_seeds_that_disagree() -> None:
    noise = np.random.default_rng(0).normal(size=(80, 6))
    wild = Embedder(Vanilla(latent=1), trainer=Trainer(epochs=40, lr=0.05), random_state=0).fit(noise)
    assert [each.name for each in wild.diagnose(noise, refits=2)] == ["unstable seeds"]
    rows = factors()
    calm = Embedder("Vanilla", random_state=0).fit(rows)
    assert calm.diagnose(rows, refits=2) == ()
    with pytest.raises(InvalidParameter, match=r"diagnose\(X, refits=2\)"):
        calm.diagnose(refits=2)


def test_other_seeds_leave_the_checkpoint_alone(tmp_path: Path) -> None:
    place = tmp_path / "training"
    trainer = Trainer(epochs=2, checkpoint=str(place))
    fitted = Embedder("Vanilla", trainer=trainer, random_state=0).fit(factors(200))
    kept = place.read_bytes()
    fitted.diagnose(factors(200), refits=1)
    assert place.read_bytes() == kept and fitted.trainer.checkpoint == str(place)


# -- new rows --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> AnomalyDetector:
    return AnomalyDetector("Linear", random_state=0).fit(mixed().append_column("kind", kinds(500)))


def kinds(rows: int, known: str = "ab") -> pa.Array:
    return pa.array(np.random.default_rng(0).choice(list(known), rows).tolist())


def changed(rows: int = 300, **columns: object) -> pa.Table:
    table = mixed(500).append_column("kind", kinds(500)).slice(0, rows)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


def test_rows_like_those_of_the_fit(fitted: AnomalyDetector) -> None:
    assert fitted.diagnose(changed()) == ()
    assert fitted.diagnose(changed(10, level=np.full(10, 99.0))) == ()  # too few to tell


@pytest.mark.parametrize(
    "name, values, finding",
    [
        ("level", lambda table: table["level"].to_numpy() + 2.5, "shifted columns"),
        ("level", lambda table: table["level"].to_numpy() * 1000, "stretched columns"),
        ("level", lambda table: table["level"].to_numpy() / 1000, "stretched columns"),
        ("visits", lambda table: table["visits"].to_numpy() * 20, "shifted columns"),
        ("kind", lambda table: ["z"] * len(table), "values beyond the fit"),
        ("twice", lambda table: np.where(np.arange(len(table)) % 3 == 0, np.nan, table["twice"]), "new gaps"),
    ],
)
def test_rows_that_differ(fitted: AnomalyDetector, name: str, values, finding: str) -> None:
    found = fitted.diagnose(changed(**{name: values(changed())}))
    assert finding in [each.name for each in found]
    assert all(f"'{name}'" in each.seen for each in found)


# -- where findings are kept -----------------------------------------------------------------------------------------


def test_findings_are_kept_with_the_model(tmp_path: Path) -> None:
    made = Embedder(Linear(latent=1), random_state=0).fit(factors())
    made.save(tmp_path / "narrow.diabolo")
    loaded = load(tmp_path / "narrow.diabolo")
    assert loaded.diagnose() == made.diagnose() != ()
    entry = json.loads(json.dumps(loaded.card()))["findings"]["narrow code"]
    assert list(entry) == ["seen", "why", "change"]


def test_a_look_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = factors(200)
    torch.manual_seed(3)
    looked = AnomalyDetector(VAE(), trainer=BRIEF, random_state=0).fit(rows)
    state = torch.random.get_rng_state()
    monkeypatch.setattr("diabolo.tasks.task.examined", lambda case: ())
    torch.manual_seed(3)
    blind = AnomalyDetector(VAE(), trainer=BRIEF, random_state=0).fit(rows)
    assert np.array_equal(looked.anomaly_score(rows), blind.anomaly_score(rows))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_look_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = []

    def timed(case: diagnosis.Case) -> tuple[Finding, ...]:
        begin = time.process_time()
        found = diagnosis.examined(case)
        spent.append(time.process_time() - begin)
        return found

    monkeypatch.setattr("diabolo.tasks.task.examined", timed)
    begin = time.process_time()
    AnomalyDetector(random_state=0).fit(factors(3000, 30))
    assert spent[0] < 0.1 * (time.process_time() - begin)


def test_rare_categories_do_not_hide_what_numbers_have_in_common() -> None:
    """Features of little variance raise no bar for those of much."""
    dice = np.random.default_rng(0)
    flow = dice.normal(size=200)
    rows = pa.table(
        {
            "flow": flow,
            "power": 0.8 * flow + 0.6 * dice.normal(size=200),
            "site": [f"site {each}" for each in dice.integers(0, 12, 200)],
            "state": np.where(dice.random(200) < 0.03, "off", "on"),
        }
    )
    preparation = Preparation().fit(rows)
    spectrum = Spectrum.learned(Features(preparation.schema_), preparation.transform(rows))
    assert spectrum.shared == 1
