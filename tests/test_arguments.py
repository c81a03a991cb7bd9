"""What the words of a command stand for; whole commands are in test_cli."""

from __future__ import annotations

from pathlib import Path

import pytest

from diabolo.arguments import check_column, check_output, open_data, row_numbers
from diabolo.errors import DiaboloError, InvalidParameter, SchemaMismatch


@pytest.fixture
def table(tmp_path: Path) -> Path:
    place = tmp_path / "rows.csv"
    place.write_text("flow,state\n1,on\n2,off\n")
    return place


def test_rows_are_named_by_numbers() -> None:
    assert row_numbers("3,17") == [3, 17]
    for wrong in ("", "3;17", "-1", "first"):
        with pytest.raises(InvalidParameter, match="numbers from 0 up"):
            row_numbers(wrong)


def test_columns_are_those_of_the_data(table: Path) -> None:
    check_column("flow", open_data(str(table), None))
    with pytest.raises(SchemaMismatch, match=r"no column 'flows'.*'flow'"):
        check_column("flows", open_data(str(table), None))


def test_formats_are_known(table: Path) -> None:
    assert open_data(str(table), "csv").schema.names == ["flow", "state"]
    with pytest.raises(InvalidParameter, match=r"no format 'xlsx'\..*csv"):
        open_data(str(table), "xlsx")


@pytest.mark.parametrize("name", ["rows.csv", ".", "missing/result.csv"])
def test_results_have_a_place(table: Path, name: str) -> None:
    with pytest.raises(DiaboloError, match="-o"):
        check_output(table.parent / name, str(table))
    check_output(table.parent / "result.csv", str(table))
    check_output("-", str(table), rows=True)
