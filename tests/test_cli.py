"""The command line as its users meet it: files in, files out, streams, exit codes and signals."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import diabolo
from diabolo import AnomalyDetector
from diabolo.cli import app

RUNNER = CliRunner()
QUICK = ("-p", "variant=Linear")


def command(*words: str | Path, code: int = 0) -> tuple[str, str]:
    """What a command prints on its two streams, once its exit code is as expected."""
    result = RUNNER.invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stdout, result.stderr


def table(rows: int, seed: int = 0, broken: int = 0) -> pa.Table:
    """Rows in which c is a + b; the last ``broken`` ones have it otherwise, and say so."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    wrong = np.arange(rows) >= rows - broken
    unit = rng.choice(["left", "right"], rows)
    return pa.table(
        {"a": a, "b": b, "c": a + b + 0.1 * rng.normal(size=rows) + 8.0 * wrong, "unit": unit, "broken": wrong}
    )


def write(rows: pa.Table, path: Path) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows.column_names)
        writer.writerows(zip(*(map(str, column.to_pylist()) for column in rows.columns), strict=True))
    return path


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv, new.csv (the last 5 of 60 rows are broken) and a detector of train.csv."""
    folder = tmp_path_factory.mktemp("pump")
    write(table(400).drop_columns("broken"), folder / "train.csv")
    write(table(60, seed=1, broken=5), folder / "new.csv")
    command("fit", "detect", folder / "train.csv", "-o", folder / "pump.diabolo", *QUICK)
    return folder


@pytest.fixture(scope="session")
def model(place: Path) -> Path:
    return place / "pump.diabolo"


@pytest.fixture(scope="session")
def new(place: Path) -> Path:
    return place / "new.csv"


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_fit_says_what_it_learned_and_leaves_only_the_model(tmp_path: Path, place: Path) -> None:
    out, err = command("fit", "detect", place / "train.csv", "-o", tmp_path / "m.diabolo", *QUICK)
    assert out == ""
    assert "4 columns" in err
    assert "PCA" in err
    assert [path.name for path in tmp_path.iterdir()] == ["m.diabolo"]


def test_what_was_not_learned_from_is_passed_through_as_it_is_written(tmp_path: Path, model: Path, new: Path) -> None:
    header, *lines = new.read_text().splitlines()
    own = {"phone": "+490123", "version": "1.10", "price": "12.50", "since": "2024-01-05 08:00", "active": "True"}
    wide = [",".join([header, *own]), *(",".join([line, *own.values()]) for line in lines)]
    (tmp_path / "wide.csv").write_text("\n".join(wide) + "\n")
    out, _ = command("run", model, tmp_path / "wide.csv", "-q")
    assert all(own.items() <= row.items() for row in rows_of(out))
    command("run", model, tmp_path / "wide.csv", "-o", tmp_path / "out.parquet", "-q")
    assert pq.read_schema(tmp_path / "out.parquet").field("price").type == "double"


def test_nested_columns_that_are_not_passed_through_are_told(tmp_path: Path, model: Path) -> None:
    pq.write_table(table(20).append_column("tags", pa.array([["x"]] * 20)), tmp_path / "new.parquet")
    out, err = command("run", model, tmp_path / "new.parquet")
    assert "not passed through: tags (nested values)" in err and "tags" not in out


def test_fit_repeats_for_a_seed_and_can_be_silent(tmp_path: Path, place: Path) -> None:
    for name in ("one", "two"):
        words = (
            "fit",
            "detect",
            place / "train.csv",
            "-o",
            tmp_path / name,
            "-p",
            "trainer.epochs=2",
            "--seed",
            "7",
            "-q",
        )
        assert command(*words) == ("", "")
    one, two = (diabolo.load(tmp_path / name) for name in ("one", "two"))
    rows = table(20).drop_columns("broken")
    assert np.array_equal(one.anomaly_score(rows), two.anomaly_score(rows))
    assert one.random_state == 7
    assert len(one.history_) == 2


def test_fit_as_json(tmp_path: Path, place: Path) -> None:
    out, _ = command("fit", "detect", place / "train.csv", "-o", tmp_path / "m", *QUICK, "--json")
    card = json.loads(out)
    assert card["model"] == str(tmp_path / "m")
    assert card["seed"] == 0


def test_run_keeps_every_row_and_column_and_marks_the_broken_ones(model: Path, new: Path) -> None:
    out, err = command("run", model, new)
    rows = rows_of(out)
    assert [(row["a"], row["unit"]) for row in rows] == [(row["a"], row["unit"]) for row in rows_of(new.read_text())]
    assert [row["broken"] for row in rows] == ["False"] * 55 + ["True"] * 5  # as they are written
    assert list(rows[0])[-3:] == ["anomaly_score", "p_value", "anomaly"]
    assert all(row["anomaly"] == "true" for row in rows[-5:])
    marked = sum(row["anomaly"] == "true" for row in rows)
    assert f"60 rows, {marked} of them anomalies" in err


def test_a_row_of_codes_has_the_same_score_alone_as_among_others(tmp_path: Path) -> None:
    """Versions and a flag with a third value, which a file of one row would spell as numbers and as true."""
    rng = np.random.default_rng(0)
    version, active = rng.choice(["1.10", "1.9", "2.0.1"], 300), rng.choice(["True", "False", "unknown"], 300)
    x = np.char.str_len(version) + np.char.str_len(active) + 0.1 * rng.normal(size=300)
    write(pa.table({"version": version, "active": active, "x": x, "y": 2 * x}), tmp_path / "all.csv")
    lines = (tmp_path / "all.csv").read_text().splitlines()
    first = next(line for line in lines[1:] if "2.0.1" not in line and "unknown" not in line)
    (tmp_path / "one.csv").write_text(f"{lines[0]}\n{first}\n")
    command("fit", "detect", tmp_path / "all.csv", "-o", tmp_path / "m", *QUICK)
    many = rows_of(command("run", tmp_path / "m", tmp_path / "all.csv", "-q")[0])
    (alone,) = rows_of(command("run", tmp_path / "m", tmp_path / "one.csv", "-q")[0])
    assert alone in many


def test_a_contaminated_fit_of_two_rounds_needs_one_file(tmp_path: Path, place: Path) -> None:
    words = ("-p", "training=contaminated", "-p", "trainer.epochs=2", "-p", "variant=Vanilla")
    command("fit", "detect", place / "train.csv", "-o", tmp_path / "m", *words)
    assert [each.name for each in tmp_path.iterdir()] == ["m"]


def test_the_model_is_not_written_over(model: Path, new: Path) -> None:
    before = model.read_bytes()
    for words in (("run", model, new, "-o", model), ("report", model, new, "-o", model)):
        assert "the file of DATA or of MODEL" in command(*words, code=2)[1]
    assert model.read_bytes() == before


def test_run_says_the_same_as_python(model: Path, new: Path, tmp_path: Path) -> None:
    command("run", model, new, "-o", tmp_path / "scored.parquet", "--quiet")
    scores = pq.read_table(tmp_path / "scored.parquet")["anomaly_score"].to_numpy()
    detector = diabolo.load(model)
    assert isinstance(detector, AnomalyDetector)
    assert np.array_equal(scores, detector.anomaly_score(table(60, seed=1, broken=5)))


@pytest.mark.parametrize("extension", ["csv", "tsv", "parquet", "arrow", "jsonl"])
def test_run_writes_every_format_and_reads_it_again(extension: str, model: Path, new: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / f"once.{extension}", tmp_path / "twice.csv"
    command("run", model, new, "-o", once)
    command("run", model, once, "-o", twice, "--only-scores")
    expected = rows_of(command("run", model, new, "--only-scores")[0])
    assert [row["anomaly_score"][:10] for row in rows_of(twice.read_text())] == [
        row["anomaly_score"][:10] for row in expected
    ]


def test_run_only_scores(model: Path, new: Path) -> None:
    rows = rows_of(command("run", model, new, "--only-scores")[0])
    assert list(rows[0]) == ["anomaly_score", "p_value", "anomaly"]
    assert len(rows) == 60


def test_run_explains_anomalies_and_nothing_else(model: Path, new: Path) -> None:
    for row in rows_of(command("run", model, new, "--explain")[0]):
        assert bool(row["reasons"]) == (row["anomaly"] == "true")


def test_columns_that_give_way_are_told(model: Path, new: Path, tmp_path: Path) -> None:
    told = labelled(new, tmp_path / "told.csv", "anomaly")
    once = tmp_path / "once.csv"
    assert "Note: anomaly of DATA give way" in command("run", model, told, "--explain", "-o", once)[1]
    assert "reasons" not in command("run", model, once)[1]
    out, told_again = command("run", model, once, "--explain")
    assert rows_of(out) == rows_of(once.read_text())
    assert "anomaly_score, p_value, anomaly, reasons of DATA give way" in told_again
    assert "it is compared with itself" in command("evaluate", model, once, "--labels", "anomaly")[1]
    assert "itself" not in command("evaluate", model, told, "--labels", "anomaly")[1]


def test_run_controls_false_discoveries_over_the_whole_file(model: Path, new: Path) -> None:
    every = [row["anomaly"] for row in rows_of(command("run", model, new, "--fdr", "0.1")[0])]
    assert every[-5:] == ["true"] * 5
    assert every.count("true") <= 7


def test_run_fails_on_anomaly_after_writing_all_rows(model: Path, new: Path, place: Path) -> None:
    assert len(rows_of(command("run", model, new, "--fail-on-anomaly", code=4)[0])) == 60
    words = ("run", model, place / "train.csv", "--fdr", "0.000001", "--fail-on-anomaly")
    assert len(rows_of(command(*words)[0])) == 400


def test_run_of_no_rows_writes_the_header(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("a,b,c,unit\n")
    out, err = command("run", model, tmp_path / "empty.csv")
    assert out.strip().replace('"', "") == "a,b,c,unit,anomaly_score,p_value,anomaly"
    assert "0 rows" in err


def test_run_reads_gz(model: Path, new: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv.gz").write_bytes(gzip.compress(new.read_bytes()))
    assert command("run", model, tmp_path / "new.csv.gz")[0] == command("run", model, new)[0]


def test_run_writes_nothing_when_a_row_is_bad(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a,b,c,unit\n1,2,3,left\n1,inf,3,left\n")
    _, err = command("run", model, tmp_path / "bad.csv", "-o", tmp_path / "out.csv", code=3)
    assert "bad.csv, row 2 after the header, column 'b'" in err
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("more", [(), ("--fdr", "0.1")])
def test_run_onto_a_full_disk_names_the_place(more: tuple[str, ...], model: Path, new: Path) -> None:
    _, err = command("run", model, new, "-o", "/dev/full", "--output-format", "csv", *more, code=1)
    assert err.strip() == "Error: /dev/full: No space left on device."


def test_imputer_fills_the_gaps(tmp_path: Path, place: Path) -> None:
    (tmp_path / "gaps.csv").write_text("a,b,c,unit,name\n1.0,1.5,,left,x\n,0.5,2.0,right,y\n")
    command("fit", "impute", place / "train.csv", "-o", tmp_path / "fill.diabolo")
    first, second = rows_of(command("run", tmp_path / "fill.diabolo", tmp_path / "gaps.csv")[0])
    assert abs(float(first["c"]) - 2.5) < 1  # the mean of the column is 0
    assert abs(float(second["a"]) - 1.5) < 1
    assert (first["name"], second["b"]) == ("x", "0.5")
    for words in (["run", "--only-scores"], ["explain"], ["evaluate", "--labels", "name"]):
        verb, *options = words
        _, err = command(verb, tmp_path / "fill.diabolo", tmp_path / "gaps.csv", *options, code=2)
        assert "fit detect" in err


@pytest.mark.parametrize("task, added", [("embed", "embedder0"), ("cluster", "cluster"), ("denoise", "unit")])
def test_other_tasks_run_and_are_judged(task: str, added: str, tmp_path: Path, place: Path, new: Path) -> None:
    command("fit", task, place / "train.csv", "-o", tmp_path / "m", *QUICK)
    assert added in rows_of(command("run", tmp_path / "m", new)[0])[0]
    words = ("evaluate", tmp_path / "m", new, "--labels", "unit", "--json")
    if task == "denoise":
        assert "of the task Denoiser" in command(*words, code=2)[1]
    else:
        assert all(0 <= each["value"] <= 1 for each in json.loads(command(*words)[0]).values())
    labels = [] if task == "denoise" else ["--labels", "unit"]
    assert "Wrote" in command("report", tmp_path / "m", new, "-o", tmp_path / "page", *labels)[1]


def test_a_label_called_like_a_verdict_is_left_out(tmp_path: Path) -> None:
    data = table(200, broken=5).rename_columns(["a", "b", "c", "unit", "anomaly"])
    pa.csv.write_csv(data, tmp_path / "t.csv")
    words = ("fit", "detect", tmp_path / "t.csv", "-o", tmp_path / "m", *QUICK)
    assert "-p ignore=anomaly" in command(*words, code=3)[1]
    assert "anomaly, left out on request" in command(*words, "-p", "ignore=anomaly")[1]
    told = json.loads(command("evaluate", tmp_path / "m", tmp_path / "t.csv", "--labels", "anomaly", "--json")[0])
    assert told["auroc"]["value"] > 0.9
    assert "anomaly" in rows_of(command("run", tmp_path / "m", tmp_path / "t.csv", "--explain")[0])[0]


def test_synthesizer_draws_as_many_rows_as_it_is_told(tmp_path: Path, place: Path, new: Path) -> None:
    _, said = command("fit", "synthesize", place / "train.csv", "-o", tmp_path / "m", *QUICK)
    assert "1000 -o new.csv" in said
    rows = rows_of(command("run", tmp_path / "m", "5000")[0])
    assert len(rows) == 5000 and {row["unit"] for row in rows} == {"left", "right"}
    assert command("run", tmp_path / "m", "0")[0].strip() == "a,b,c,unit"
    for wrong in (new, "-3", "9" * 20):
        assert "DATA is their number" in command("run", tmp_path / "m", "--", wrong, code=2)[1]


def test_explain_tells_the_strangest_rows_first(model: Path, new: Path) -> None:
    told = json.loads(command("explain", model, new, "--top", "5", "--json")[0])
    assert sorted(each["row"] for each in told) == [55, 56, 57, 58, 59]
    assert [each["score"] for each in told] == sorted((each["score"] for each in told), reverse=True)
    text, _ = command("explain", model, new, "--top", "1")
    assert text.startswith(f"row {told[0]['row']}: anomaly")


def test_explain_tells_the_rows_asked_for(model: Path, new: Path) -> None:
    assert [each["row"] for each in json.loads(command("explain", model, new, "--rows", "17,3", "--json")[0])] == [
        17,
        3,
    ]
    assert "there is no row 60" in command("explain", model, new, "--rows", "3,60", code=3)[1]
    assert "such as 3,17" in command("explain", model, new, "--rows", "3;17", code=2)[1]


def test_evaluate_knows_labels_that_were_not_there_in_fit(model: Path, new: Path) -> None:
    figures = json.loads(command("evaluate", model, new, "--labels", "broken", "--json")[0])
    assert figures["auroc"]["value"] == 1
    assert figures["recall"]["value"] == 1
    text, _ = command("evaluate", model, new, "--labels", "broken")
    assert text.splitlines()[1].split() == ["auroc", "1.0000", "1.0000", "to", "1.0000"]


def test_evaluate_says_what_is_wrong_with_the_labels(model: Path, new: Path) -> None:
    assert "Did you mean 'broken'?" in command("evaluate", model, new, "--labels", "brokn", code=3)[1]
    assert "Allowed: 0/1" in command("evaluate", model, new, "--labels", "unit", code=3)[1]


def test_evaluate_leaves_rows_without_a_label_out_and_says_so(model: Path, new: Path, tmp_path: Path) -> None:
    head, *rows = new.read_text().splitlines()
    place = head.split(",").index("broken")
    rows[:2] = [",".join("" if i == place else cell for i, cell in enumerate(row.split(","))) for row in rows[:2]]
    (tmp_path / "some.csv").write_text("\n".join([head, *rows]) + "\n")
    text, err = command("evaluate", model, tmp_path / "some.csv", "--labels", "broken")
    assert f"2 of {len(rows)} rows have no label" in err and "auroc" in text


def labelled(new: Path, place: Path, name: str) -> Path:
    """The new rows with their labels in a column of this name."""
    place.write_text(new.read_text().replace("broken", name, 1))
    return place


def test_labels_may_have_the_name_of_a_verdict(model: Path, new: Path, tmp_path: Path) -> None:
    told = labelled(new, tmp_path / "told.csv", "anomaly")
    assert command("evaluate", model, told, "--labels", "anomaly") == command(
        "evaluate", model, new, "--labels", "broken"
    )
    command("report", model, told, "-o", tmp_path / "r.html", "--labels", "anomaly")
    assert "Compared with known labels" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(("task", "name"), [("cluster", "cluster_probability"), ("embed", "embedder7")])
def test_fit_refuses_a_column_with_a_name_that_run_gives(task: str, name: str, tmp_path: Path) -> None:
    told = write(table(60).rename_columns(["a", "b", name, "unit", "broken"]), tmp_path / "told.csv")
    words = ("fit", task, told, "-o", tmp_path / "m", *QUICK)
    assert f"{name!r} has a name that `run` gives" in command(*words, code=3)[1]
    command(*words, "-p", f"ignore={name}")
    assert name in rows_of(command("run", tmp_path / "m", told)[0])[0]


@pytest.mark.parametrize("name", ["(row)", "(label)"])
def test_columns_may_have_any_other_name(name: str, tmp_path: Path) -> None:
    told = write(table(60, broken=5).rename_columns(["a", "b", name, "unit", "broken"]), tmp_path / "told.csv")
    command("fit", "detect", told, "-o", tmp_path / "m", *QUICK, "-p", "ignore=broken")
    assert "8" in command("explain", tmp_path / "m", told, "--top", "2")[0]
    assert "auroc" in command("evaluate", tmp_path / "m", told, "--labels", "broken", "--json")[0]
    command("report", tmp_path / "m", told, "-o", tmp_path / "r.html", "--labels", "broken")


def test_the_state_of_a_training_takes_no_place_of_another_file(tmp_path: Path, place: Path) -> None:
    data = tmp_path / "train.csv"
    data.write_bytes((place / "train.csv").read_bytes())
    words = ("fit", "detect", data, "-o", tmp_path / "m", *QUICK, "-p")
    assert "train.csv holds no training" in command(*words, f"trainer.checkpoint={data}", code=2)[1]
    assert "holds no training" in command(*words, f"trainer.checkpoint={tmp_path}", code=2)[1]
    assert "the file of the model" in command(*words, f"trainer.checkpoint={tmp_path / 'm'}", code=2)[1]
    assert data.read_bytes() == (place / "train.csv").read_bytes()
    command(*words, f"trainer.checkpoint={tmp_path / 'state'}")
    (tmp_path / "m").rename(tmp_path / "m.training")
    assert "m.training holds no training" in command(*words[:-1], "--resume", "-p", "variant=Vanilla", code=3)[1]


def test_fit_refuses_a_column_with_the_name_of_a_verdict(new: Path, tmp_path: Path) -> None:
    told = labelled(new, tmp_path / "told.csv", "p_value")
    _, err = command("fit", "detect", told, "-o", tmp_path / "m", *QUICK, code=3)
    assert "'p_value'" in err
    assert not (tmp_path / "m").exists()
    command("fit", "impute", told, "-o", tmp_path / "m", *QUICK)


def test_evaluate_says_when_the_labels_were_learned_from(new: Path, tmp_path: Path) -> None:
    command("fit", "detect", new, "-o", tmp_path / "m", *QUICK)
    _, err = command("evaluate", tmp_path / "m", new, "--labels", "broken")
    assert "Note: The model has learned from the column 'broken' itself" in err
    command("report", tmp_path / "m", new, "-o", tmp_path / "r.html", "--labels", "broken")
    assert "has learned from the column" in (tmp_path / "r.html").read_text()


def test_labels_of_a_report_are_for_those_that_they_judge(place: Path, new: Path, tmp_path: Path) -> None:
    command("fit", "impute", place / "train.csv", "-o", tmp_path / "m", *QUICK)
    words = ("report", tmp_path / "m", new, "-o", tmp_path / "r.html", "--labels", "broken")
    assert "fit detect" in command(*words, code=2)[1]


def test_a_column_without_a_single_value_is_explained_and_filled(model: Path, place: Path, tmp_path: Path) -> None:
    (tmp_path / "gap.csv").write_text("a,b,c,unit\n1.0,,2.0,left\n-1.0,,9.0,right\n")
    told = json.loads(command("explain", model, tmp_path / "gap.csv", "--json")[0])
    assert sorted(each["row"] for each in told) == [0, 1]
    command("fit", "impute", place / "train.csv", "-o", tmp_path / "m", *QUICK)
    rows = rows_of(command("run", tmp_path / "m", tmp_path / "gap.csv")[0])
    assert all(row["b"] for row in rows)


def test_a_table_without_rows_has_nothing_to_explain(model: Path, tmp_path: Path) -> None:
    (tmp_path / "no.csv").write_text("a,b,c,unit\n")
    assert json.loads(command("explain", model, tmp_path / "no.csv", "--json")[0]) == []
    assert "no.csv has no rows" in command("explain", model, tmp_path / "no.csv")[1]


@pytest.mark.parametrize("name", ["one.csv", "one.jsonl"])
@pytest.mark.parametrize("rows", [0, 1])
def test_fit_of_too_few_rows_names_the_file(name: str, rows: int, tmp_path: Path) -> None:
    lines = ["a,b"] + ["1.5,2"] * rows if name == "one.csv" else ['{"a": 1.5, "b": 2}'] * rows + [""]
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    _, err = command("fit", "detect", tmp_path / name, "-o", tmp_path / "m", code=3)
    assert name in err
    assert not (tmp_path / "m").exists()


def test_report_is_one_page(model: Path, new: Path, tmp_path: Path) -> None:
    _, err = command("report", model, new, "-o", tmp_path / "report.html")
    assert "report.html" in err
    assert (tmp_path / "report.html").read_text().lstrip().lower().startswith("<!doctype html>")


def test_show(model: Path) -> None:
    assert "detect: " in command("show", "tasks")[0]
    assert "Denoising: " in command("show", "variants")[0]
    assert "latent:" in command("show", "VAE")[0]
    assert json.loads(command("show", "detect", "--json")[0])["name"] == "AnomalyDetector"
    assert json.loads(command("show", model, "--json")[0])["task"] == "AnomalyDetector"
    assert "Did you mean 'VAE'?" in command("show", "VEA", code=2)[1]


def test_doctor(model: Path, tmp_path: Path) -> None:
    out, _ = command("doctor", model)
    assert "broken" not in out
    (tmp_path / "no.diabolo").write_bytes(b"no")
    findings = json.loads(command("doctor", tmp_path / "no.diabolo", "--json", code=1)[0])
    assert [each["check"] for each in findings if each["state"] == "broken"] == ["model"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["fit", "detect", "train.csv"], 2, "Missing option"),
        (["fit", "detct", "train.csv", "-o", "m"], 2, "Did you mean 'detect'?"),
        (["fit", "detect", "train.csv", "-o", "m", "-p", "trainer.epoch=3"], 2, "Did you mean 'epochs'?"),
        (["fit", "detect", "train.csv", "-o", "m", "-p", "variant.latent=none"], 2, "int >= 1"),
        (["fit", "detect", "absent.csv", "-o", "m"], 3, "absent.csv"),
        (["fit", "detect", "train.csv", "-o", "absent/m"], 2, "mkdir -p absent"),
        (["fit", "detect", "train.csv", "-o", "."], 2, "is a folder"),
        (["fit", "detect", "train.csv", "-o", os.devnull], 2, "is a pipe or a device"),
        (["report", "pump.diabolo", "new.csv", "-o", os.devnull], 2, "is a pipe or a device"),
        (["fit", "detect", "train.csv", "-o", "train.csv"], 2, "the file of DATA"),
        (["fit", "detect", "train.csv", "-o", "-"], 2, "takes rows alone"),
        (["fit", "detect", "train.csv", "-o", "m", "--seed", "9223372036854775808"], 2, "below 2^63"),
        (["explain", "pump.diabolo", "new.csv", "--rows", "9223372036854775808"], 2, "must be numbers from 0"),
        (["fit", "detect", "train.csv", "-o", "m", "--format", "xlsx"], 2, "xlsx"),
        (["run", "absent.diabolo", "new.csv"], 3, "absent.diabolo"),
        (["run", "new.csv", "new.csv"], 3, "new.csv"),
        (["run", "pump.diabolo", "absent.csv"], 3, "absent.csv"),
        (["run", "pump.diabolo", "new.csv", "--fdr", "2"], 2, "--fdr must be a share above 0 and up to 1"),
        (["runn", "pump.diabolo", "new.csv"], 2, "runn"),
        (["explain", "pump.diabolo", "new.csv", "--top", "0"], 2, "--top"),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, list) else "",
)
def test_mistakes_have_an_exit_code_and_a_way_out(
    words: list[str], code: int, said: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    before = set(place.iterdir())
    out, err = command(*words, code=code)
    assert said in err
    assert out == ""
    assert set(place.iterdir()) == before


def test_a_missing_column_is_named(model: Path, tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_text("a,b,unit\n1,2,left\n")
    assert "'c'" in command("run", model, tmp_path / "short.csv", code=3)[1]


def test_version_and_help() -> None:
    assert command("--version")[0] == f"diabolo {diabolo.__version__}\n"
    for name in ("fit", "run", "explain", "evaluate", "report", "show", "doctor", "demo"):
        assert f"\n  {name} " in command("--help")[0]
        assert "Example" in command(name, "-h")[0]


def test_resume_without_a_state_begins(tmp_path: Path, place: Path) -> None:
    _, err = command("fit", "detect", place / "train.csv", "-o", tmp_path / "m", *QUICK, "--resume")
    assert "from the beginning" in err


def test_help_is_cheap_and_loads_nothing_heavy() -> None:
    script = (
        "import resource, sys\nfrom diabolo.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(used.ru_utime + used.ru_stime, *{'torch', 'numpy', 'sklearn', 'pyarrow'} & set(sys.modules))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True) for _ in range(3)
    ]
    spent = [run.stdout.splitlines()[-1].split() for run in runs]
    assert all(len(each) == 1 for each in spent)
    assert min(float(each[0]) for each in spent) < 0.35


def test_choose_prints_a_command_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(table(60).drop_columns("broken"), tmp_path / "pump.csv")
    out, _ = command("choose", "pump.csv", "--quiet")
    assert "PCA itself" in out
    words = out.splitlines()[-1].split()
    assert words[:4] == ["diabolo", "fit", "detect", "pump.csv"]
    command(*words[1:], "-p", "trainer.epochs=2")
    told = json.loads(command("choose", "pump.csv", "--json")[0])
    assert told["command"] == " ".join(words) and told["data"]["rows"] == 60
    assert command("choose", "pump.csv", "--aim", "detekt", code=2)[1].startswith("Error: There is no aim 'detekt'")
    assert "nowhere.csv" in command("choose", "nowhere.csv", code=3)[1]


def test_findings_are_told_and_shown(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 20)) + 0.1 * rng.normal(size=(300, 20))
    write(pa.table({f"x{j}": column for j, column in enumerate(rows.T)}), tmp_path / "wide.csv")
    words = ("-p", "variant=Linear", "-p", "variant.latent=1")
    _, err = command("fit", "embed", tmp_path / "wide.csv", "-o", tmp_path / "m.diabolo", *words)
    assert "Found narrow code: A code of 1 leaves" in err
    assert "narrow code:" in command("show", tmp_path / "m.diabolo")[0]
    assert "narrow code" in json.loads(command("show", tmp_path / "m.diabolo", "--json")[0])["findings"]
