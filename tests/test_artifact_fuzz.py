"""A damaged model file is refused with our error, or its content is the same: never anything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from diabolo import artifact
from diabolo.errors import InvalidArtifact

MANIFEST = {"task": {"class": "AnomalyDetector", "limit": float("inf")}, "columns": ["a", "ß", "$c"]}
TENSORS = {
    "weight": torch.eye(3),
    "count": torch.arange(4),
    "flag": torch.tensor([True, False]),
    "none": torch.empty(0),
}
SETTINGS = settings(max_examples=400, deadline=None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "model"


@pytest.fixture(scope="module")
def content(place: Path) -> bytes:
    artifact.write(place, MANIFEST, TENSORS)
    return place.read_bytes()


def check(place: Path, content: bytes) -> bool:
    """Whether the content could be read; then it must be what was written."""
    place.write_bytes(content)
    try:
        manifest, tensors = artifact.read(place)
    except InvalidArtifact as error:
        assert str(place) in str(error)
        return False
    assert manifest == MANIFEST
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    return True


def header_of(content: bytes) -> tuple[bytes, bytes]:
    end = 8 + int.from_bytes(content[:8], "little")
    return content[8:end], content[end:]


def test_the_file_itself_is_read(place: Path, content: bytes) -> None:
    assert check(place, content)


@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
@SETTINGS
def test_changed_bytes(place: Path, content: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(content)
    for at, byte in changes:
        changed[at % len(changed)] = byte
    check(place, bytes(changed))


@given(begin=st.integers(0, 2000), length=st.integers(0, 300), middle=st.binary(max_size=40))
@SETTINGS
def test_replaced_stretches(place: Path, content: bytes, begin: int, length: int, middle: bytes) -> None:
    check(place, content[:begin] + middle + content[begin + length :])


@given(begin=st.integers(0, 1500), length=st.integers(0, 60), middle=st.text(max_size=20))
@SETTINGS
def test_replaced_stretches_of_a_header_of_the_right_length(
    place: Path, content: bytes, begin: int, length: int, middle: str
) -> None:
    header, data = header_of(content)
    header = header[:begin] + middle.encode("utf-8", "surrogatepass") + header[begin + length :]
    check(place, len(header).to_bytes(8, "little") + header + data)


ODD = (
    st.none()
    | st.booleans()
    | st.integers(-9, 2**65)
    | st.floats()
    | st.sampled_from(["", "F32", "BOOL", "1.0", "2.0"])
)
ODDER = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner), max_leaves=6
)


@given(data=st.data())
@SETTINGS
def test_replaced_values_of_the_header(place: Path, content: bytes, data: st.DataObject) -> None:
    header, tensors = header_of(content)
    value = json.loads(header)
    parent, key = data.draw(st.sampled_from(list(places(value))))
    parent[key] = data.draw(ODDER)
    header = json.dumps(value).encode()
    check(place, len(header).to_bytes(8, "little") + header + tensors)


def places(value: dict | list) -> list[tuple[dict | list, object]]:
    """Every (container, key) of a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    found = [(value, key) for key, _ in pairs]
    inner = value.values() if isinstance(value, dict) else value
    return found + [each for child in inner if isinstance(child, (dict, list)) for each in places(child)]


@given(st.binary(max_size=200))
@example(b"\x02" + bytes(7) + b"{}")
@example(b"\x02" + bytes(7) + b"[]")
@example(b"\x04" + bytes(7) + b"null")
@SETTINGS
def test_arbitrary_bytes(place: Path, content: bytes) -> None:
    assert not check(place, content)
