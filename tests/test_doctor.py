"""The doctor finds what is broken, and nothing where nothing is."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import torch

from diabolo import AnomalyDetector, doctor


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.diabolo"
    AnomalyDetector("Linear", random_state=0).fit(np.random.default_rng(0).normal(size=(100, 3))).save(path)
    return path


def test_a_sound_machine_is_sound(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    findings = list(doctor.examine(model))
    assert [finding.check for finding in findings] == [
        *("versions", "torch", "threads", "temporary folder", "this folder", "golden fit", "model")
    ]
    assert not [finding for finding in findings if finding.state == "broken"]
    assert not list(tmp_path.iterdir())


def test_versions_are_told() -> None:
    state, text = doctor.versions()
    assert state == "ok"
    assert torch.__version__.partition("+")[0] in text


def test_a_missing_package_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "pyarrow":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(doctor, "version", version)
    assert doctor.versions() == ("broken", "Not installed: pyarrow. Type: pip install pyarrow")


@pytest.mark.parametrize(
    ("built", "there", "state"), [(None, False, "ok"), ("13.0", True, "ok"), ("13.0", False, "warning")]
)
def test_torch_build(built: str | None, there: bool, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    found, text = doctor.torch_build()
    assert found == state
    assert ("13.0" in text) == (built is not None)


def test_more_threads_than_cores_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert doctor.threads() == (
        "warning",
        "3 threads on 2 cores: they wait for each other. Type: export OMP_NUM_THREADS=2",
    )


@pytest.mark.parametrize("otherwise", ["broken", "warning"])
def test_a_folder_that_cannot_be_written(otherwise: doctor.State, tmp_path: Path) -> None:
    state, text = doctor.folder(str(tmp_path / "absent"), otherwise)
    assert state == otherwise
    assert "absent" in text


def test_a_disk_that_fails_to_sync_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    state, text = doctor.folder(str(tmp_path), "broken")
    assert state == "broken"
    assert "Input/output error" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("scores", "said"),
    [([2.0, 1.0], "strange row scores 1"), ([1.0, np.nan], "strange row scores nan")],
)
def test_a_wrong_golden_score_is_broken(scores: list[float], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnomalyDetector, "anomaly_score", lambda self, X: np.array(scores))
    state, text = doctor.golden_fit()
    assert state == "broken"
    assert said in text


def test_scores_that_do_not_repeat_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    each = iter([np.array([1.0, 2.0]), np.array([1.0, 2.0 + 1e-6])])
    monkeypatch.setattr(AnomalyDetector, "anomaly_score", lambda self, X: next(each))
    state, text = doctor.golden_fit()
    assert state == "broken"
    assert "changed" in text


def test_a_damaged_model_is_a_finding(model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.diabolo"
    damaged.write_bytes(model.read_bytes()[:-7])
    findings = {finding.check: finding for finding in doctor.examine(damaged)}
    assert findings["model"].state == "broken"
    assert "InvalidArtifact" in findings["model"].text
    assert findings["golden fit"].state == "ok"
