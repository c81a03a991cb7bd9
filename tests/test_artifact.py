"""The model file: what is written comes back bit by bit, and what was damaged or forged is refused, quickly."""

from __future__ import annotations

import errno
import json
import math
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from diabolo import artifact, files
from diabolo.errors import InvalidArtifact

MANIFEST = {"task": {"class": "AnomalyDetector"}, "low": -math.inf, "names": ["a", "b"]}
EMPTY = {"diabolo": "1.0", "manifest": "{}"}


def tensors() -> dict[str, Tensor]:
    numbers = torch.tensor([[1.5, math.nan, -0.0], [math.inf, -math.inf, 3e-42]])
    whole = {f"{dtype}": torch.arange(3).to(dtype) for dtype in artifact.DTYPES.values()}
    shapes = {"none": torch.empty(0), "no.rows": torch.empty(0, 3), "scalar": torch.tensor(2.5), "numbers": numbers}
    return whole | shapes | {"strided": numbers.T, "expanded": torch.ones(1).expand(4)}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)


def alike(one: Tensor, other: Tensor) -> bool:
    """Equal type, shape and bits, so that NaN equals NaN and 0 differs from -0."""
    bits = [each.contiguous().flatten().view(torch.uint8) for each in (one, other)]
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*bits)


def raw(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    """A file of any header, however wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def forged(path: Path, table: dict[str, Any], data: bytes = b"", metadata: dict[str, str] | None = None) -> Path:
    """A file with any table and a digest that is right: from somebody who can compute one."""
    metadata = EMPTY | (metadata or {})
    digest = artifact._sealed(metadata, table)
    digest.update(data)
    return raw(path, {"__metadata__": metadata | {"sha256": digest.hexdigest()}, **table}, data)


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pump.diabolo"


@pytest.fixture
def model(path: Path) -> Path:
    artifact.write(path, MANIFEST, tensors())
    return path


def test_round_trip(model: Path) -> None:
    manifest, found = artifact.read(model)
    assert manifest == MANIFEST
    assert same(found, tensors())
    assert all(each.is_contiguous() and each.is_leaf for each in found.values())


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    shuffled = dict(reversed(tensors().items()))
    for name, content in [("a", tensors()), ("b", shuffled)]:
        artifact.write(tmp_path / name, MANIFEST, content)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert not same(tensors(), {**tensors(), "scalar": torch.tensor(2.25)})


def test_the_safetensors_library_reads_it(model: Path) -> None:
    assert same(safetensors.torch.load_file(model), tensors())
    assert same(safetensors.torch.load(model.read_bytes()), tensors())


def test_every_tensor_begins_where_its_type_wants(model: Path) -> None:
    header = json.loads(model.read_bytes()[8 : 8 + int.from_bytes(model.read_bytes()[:8], "little")])
    start = model.stat().st_size - max(each["data_offsets"][1] for name, each in header.items() if name[0] != "_")
    assert start % 8 == 0
    for name, each in header.items():
        if name != "__metadata__":
            assert each["data_offsets"][0] % artifact.DTYPES[each["dtype"]].itemsize == 0


def test_parameters_and_inference_tensors_are_kept(path: Path) -> None:
    with torch.inference_mode():
        inferred = torch.ones(2)
    weight = torch.nn.Parameter(torch.eye(2))
    artifact.write(path, {}, {"weight": weight, "inferred": inferred})
    assert same(artifact.read(path)[1], {"weight": weight.detach(), "inferred": inferred})


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("c", torch.ones(2, dtype=torch.complex64)),
        ("sparse", torch.eye(2).to_sparse()),
        ("meta", torch.empty(2, device="meta")),
        ("__metadata__", torch.ones(1)),
        ("line\nbreak", torch.ones(1)),
        ("x" * 1000, torch.ones(1)),
        ("deep", torch.ones((1,) * 17)),
    ],
    ids=["complex", "sparse", "meta", "metadata", "break", "long", "deep"],
)
def test_what_cannot_be_read_is_not_written(path: Path, name: str, tensor: Tensor) -> None:
    with pytest.raises(InvalidArtifact, match=r"pump\.diabolo.* was not written"):
        artifact.write(path, {}, {name: tensor})
    assert not list(path.parent.iterdir())


def test_too_many_tensors_are_not_written(path: Path) -> None:
    with pytest.raises(InvalidArtifact, match="10,001 tensors"):
        artifact.write(path, {}, {str(i): torch.ones(0) for i in range(10_001)})


# -- damage --------------------------------------------------------------------------------------------------------


def test_every_cut_is_noticed(model: Path) -> None:
    content = model.read_bytes()
    for end in [*range(0, len(content), 7), len(content) - 1]:
        model.write_bytes(content[:end])
        with pytest.raises(InvalidArtifact):
            artifact.read(model)
    model.write_bytes(content + b"\0")
    with pytest.raises(InvalidArtifact, match="added to"):
        artifact.read(model)


def test_every_flipped_bit_of_the_data_is_noticed(model: Path) -> None:
    content = bytearray(model.read_bytes())
    begin = 8 + int.from_bytes(content[:8], "little")
    for place in range(begin, len(content)):
        content[place] ^= 1 << place % 8
        model.write_bytes(content)
        with pytest.raises(InvalidArtifact, match="sha256"):
            artifact.read(model)
        content[place] ^= 1 << place % 8


def test_no_flipped_bit_of_the_header_changes_the_content(path: Path) -> None:
    artifact.write(path, MANIFEST, {"a": torch.ones(2)})
    content = bytearray(path.read_bytes())
    end = 8 + int.from_bytes(content[:8], "little")
    unharmed = 0
    for place in range(0, end * 8, 5):
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            assert artifact.read(path)[0] == MANIFEST
            unharmed += 1
        except InvalidArtifact:
            pass
        content[place // 8] ^= 1 << place % 8
    assert unharmed < 20  # blanks of the padding that became other blanks


TABLES: dict[str, tuple[dict[str, Any], int]] = {
    "gap": ({"a": entry(), "b": entry(offsets=[12, 20])}, 20),
    "gap first": ({"a": entry(offsets=[4, 12])}, 12),
    "overlap": ({"a": entry(), "b": entry(offsets=[4, 12])}, 12),
    "twice the same": ({"a": entry(), "b": entry()}, 8),
    "unsorted": ({"b": entry(offsets=[8, 16]), "a": entry()}, 16),
    "beyond the end": ({"a": entry(shape=[4], offsets=[0, 16])}, 8),
    "left over": ({"a": entry()}, 12),
    "shape lies": ({"a": entry(shape=[3])}, 8),
    "backwards": ({"a": entry(shape=[2], offsets=[8, 0])}, 8),
    "negative": ({"a": entry(shape=[-2], offsets=[0, -8])}, 8),
    "two negatives": ({"a": entry(shape=[-1, -2])}, 8),
    "huge": ({"a": entry(shape=[2**62, 4], offsets=[0, 2**66])}, 8),
    "wraps to 8": ({"a": entry(shape=[2**63 + 1, 2], offsets=[0, 8])}, 8),
    "empty but huge": ({"a": entry(shape=[0, 2**40, 2**40], offsets=[0, 0])}, 0),
    "truth as a number": ({"a": entry(shape=[True, 2])}, 8),
    "float": ({"a": entry(shape=[2.0])}, 8),
    "text": ({"a": entry(shape="2")}, 8),
    "offsets of three": ({"a": entry(offsets=[0, 8, 8])}, 8),
    "offsets of none": ({"a": entry(offsets=None)}, 8),
    "unknown type": ({"a": entry(dtype="F4", offsets=[0, 1])}, 1),
    "complex": ({"a": entry(dtype="C64", shape=[1])}, 8),
    "type is a list": ({"a": entry(dtype=["F32"])}, 8),
    "many dimensions": ({"a": entry(shape=[1] * 17 + [2])}, 8),
    "no table": ({"a": [1, 2]}, 8),
    "no offsets": ({"a": {"dtype": "F32", "shape": [2]}}, 8),
    "more": ({"a": entry() | {"device": "cuda"}}, 8),
    "long name": ({"a" * 1000: entry()}, 8),
    "boolean of 2": ({"a": entry(dtype="BOOL", shape=[8])}, 8),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_wrong_table_is_refused_though_the_digest_is_right(path: Path, name: str) -> None:
    table, size = TABLES[name]
    with pytest.raises(InvalidArtifact, match=r"pump\.diabolo"):
        artifact.read(forged(path, table, bytes([2]) * size))


def test_a_right_table_is_accepted(path: Path) -> None:
    """So that the refusals above are for the table and nothing else."""
    manifest, found = artifact.read(
        forged(path, {"a": entry(), "b": entry(dtype="U8", shape=[], offsets=[8, 9])}, bytes(9))
    )
    assert manifest == {}
    assert same(found, {"a": torch.zeros(2), "b": torch.tensor(0, dtype=torch.uint8)})


METADATA: dict[str, Any] = {
    "none": None,
    "a list": [1],
    "numbers": {"diabolo": 1},
    "of others": {"format": "pt"},
    "no manifest": {"diabolo": "1.0", "sha256": "0" * 64},
    "odd format": {"diabolo": "1.x"},
    "format of other digits": {"diabolo": "١.0"},
    "long format": {"diabolo": "9" * 5000 + ".0"},
    "format 0": {"diabolo": "0.9"},
    "no digest": EMPTY,
}


@pytest.mark.parametrize("name", METADATA)
def test_other_metadata_is_refused(path: Path, name: str) -> None:
    with pytest.raises(InvalidArtifact):
        artifact.read(raw(path, {"__metadata__": METADATA[name]}))


def test_a_safetensors_file_of_others_is_called_that(path: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(2)}, path)
    with pytest.raises(InvalidArtifact, match="holds no fitted task"):
        artifact.read(path)


def test_a_newer_format_says_what_to_upgrade(path: Path) -> None:
    newer = {"a": entry(dtype="F4", offsets=[0, 1])}
    with pytest.raises(InvalidArtifact, match=r"written in format 2\.0.*pip install --upgrade diabolo"):
        artifact.read(forged(path, newer, b"\0", {"diabolo": "2.0"}))
    assert artifact.read(forged(path, {}, metadata={"diabolo": "1.7", "addition": "of a newer minor"})) == ({}, {})


def test_a_forged_manifest_is_refused(path: Path) -> None:
    for text in ("", "[]", '{"a":NaN}', '{"a":1,"a":1}', '{"a":' + "[" * 100 + "]" * 100 + "}"):
        with pytest.raises(InvalidArtifact, match="manifest"):
            artifact.read(forged(path, {}, metadata={"manifest": text}))


# -- size and time -------------------------------------------------------------------------------------------------

EMPTY_ENTRY = b'{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
MONSTERS: dict[str, Callable[[Path], Path]] = {
    "300,000 empty tensors": lambda path: raw(
        path, b'{"__metadata__":{}' + b"".join(b',"t%d":%s' % (i, EMPTY_ENTRY) for i in range(300_000)) + b"}"
    ),
    "50,000 empty tensors": lambda path: raw(
        path, b'{"__metadata__":{}' + b"".join(b',"t%d":%s' % (i, EMPTY_ENTRY) for i in range(50_000)) + b"}"
    ),
    "header of 2**63": lambda path: raw(path, b"{}", length=2**63),
    "header of 1 GB": lambda path: raw(path, b"{}", length=2**30),
    "sparse header": lambda path: sparse(raw(path, b"{}", length=2**30), 2**31),
    "deep header": lambda path: raw(path, b'{"a":' + b"[" * 1_000_000),
    "a million lists": lambda path: raw(path, b'{"a":[' + b"[]," * 1_000_000 + b"0]}"),
    "as many lists as allowed": lambda path: raw(path, b'{"a":[' + b"[]," * 240_000 + b"0]}"),
    "as many keys as allowed": lambda path: raw(path, b"{" + b",".join(b'"%d":0' % i for i in range(490_000)) + b"}"),
    "wide letters": lambda path: raw(path, '{"a":"\U0001f600'.encode() + b"x" * (15 << 20) + b'"}'),
    "long number": lambda path: raw(path, b'{"a":' + b"9" * 10_000_000 + b"}"),
    "not UTF-8": lambda path: raw(path, b'{"a":"\xff\xfe"}'),
    "half a letter": lambda path: raw(path, b'{"a":"\xf0\x9f\x98"}'),
    "UTF-16": lambda path: raw(path, '{"a":1}'.encode("utf-16")),
    "a zip": lambda path: write(path, b"PK\x03\x04" + bytes(1000)),
    "a pickle": lambda path: write(path, b"\x80\x04\x95" + bytes(1000)),
    "nothing": lambda path: write(path, b""),
    "zeros": lambda path: sparse(write(path, b""), 1 << 30),
    "a terabyte": lambda path: sparse(forged(path, {}), 1 << 40),
}


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def sparse(path: Path, size: int) -> Path:
    os.truncate(path, size)
    return path


REFUSING = """
import json, sys, time
from diabolo import artifact
from diabolo.errors import InvalidArtifact

def spent(place):
    begin = time.thread_time()
    try:
        artifact.read(place)
    except InvalidArtifact:
        return time.thread_time() - begin

print(json.dumps([[spent(place) for _ in range(2)] for place in sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float | None]]:
    """Seconds of CPU time that refusing each monster took, twice, in a process that holds nothing else; None: read."""
    places = [str(make(tmp_path_factory.mktemp("monster") / "pump.diabolo")) for make in MONSTERS.values()]
    done = subprocess.run([sys.executable, "-c", REFUSING, *places], capture_output=True, text=True, check=True)
    return dict(zip(MONSTERS, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("name", MONSTERS)
def test_a_monster_is_refused_in_a_second(refusals: dict[str, list[float | None]], name: str) -> None:
    times = [each for each in refusals[name] if each is not None]
    assert len(times) == 2
    assert min(times) < 1.0  # the better of two, on a machine that others use too


MEASURED = r"""
import re, sys
from diabolo import artifact
from diabolo.errors import InvalidArtifact
peak = lambda: int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
open("/proc/self/clear_refs", "w").write("5")  # forget the peak of the imports
before = peak()
for path in sys.argv[1:]:
    try:
        artifact.read(path)
        print("read", end=" ")
    except InvalidArtifact:
        pass
    print((peak() - before) // 1024)
"""


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Monsters stay under 192 MB; a model of 256 MB takes its own size and little more."""
    model = tmp_path / "model"
    artifact.write(model, {}, {"a": torch.ones(48 << 20), "b": torch.ones(16 << 20)})
    greedy = ["sparse header", "as many lists as allowed", "as many keys as allowed", "wide letters", "a terabyte"]
    paths = [*(MONSTERS[name](tmp_path / name) for name in greedy), model]
    command = [sys.executable, "-c", MEASURED, *map(str, paths)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    *monsters, whole = (int(line.removeprefix("read ")) for line in lines)
    assert [line for line in lines if line.startswith("read")] == lines[-1:]
    assert max(monsters) < 192
    assert 192 < whole < 256 + 64


def test_a_file_above_the_limit_is_refused(model: Path) -> None:
    with pytest.raises(InvalidArtifact, match="max_bytes"):
        artifact.read(model, max_bytes=model.stat().st_size - 1)
    assert artifact.read(model, max_bytes=model.stat().st_size)[0] == MANIFEST


# -- paths ---------------------------------------------------------------------------------------------------------


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail, rather than hang, if the block waits: a pipe would be waited for without end."""
    timer = threading.Timer(seconds, lambda: os._exit(3))
    timer.start()
    yield
    timer.cancel()


def test_folders_pipes_sockets_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with socket.socket(socket.AF_UNIX) as server, within(20):
        server.bind(os.path.relpath(tmp_path / "socket"))
        for place in (tmp_path, *tmp_path.iterdir(), "/dev/zero", "/dev/null", "/dev/stdin", "/proc/self/mem"):
            with pytest.raises(InvalidArtifact):
                artifact.read(place)


def test_a_device_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("opened"))
    with pytest.raises(InvalidArtifact, match="device"):
        artifact.read("/dev/null")


def test_a_file_that_turns_into_a_pipe_is_not_waited_for(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    regular = os.stat(model)
    model.unlink()
    os.mkfifo(model)
    monkeypatch.setattr(os, "stat", lambda _: regular)
    with within(20), pytest.raises(InvalidArtifact, match="pipe"):
        artifact.read(model)


@pytest.mark.parametrize("place", ["", "no/such/file", "a\0b", "x" * 5000, "\ud800"], ids=ascii)
def test_paths_that_lead_nowhere_are_refused(place: str) -> None:
    with pytest.raises(InvalidArtifact, match="Check the path"):
        artifact.read(place)


def test_a_file_descriptor_is_no_path() -> None:
    with pytest.raises(TypeError):
        artifact.read(0)  # type: ignore[arg-type]


def test_links_are_followed(model: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(model)
    artifact.write(link, {"new": True}, {})
    assert link.is_symlink()
    assert artifact.read(model) == artifact.read(link) == ({"new": True}, {})


# -- writing whole or not at all -----------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file_whole(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = model.read_bytes()
    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match=r"No space.*pump\.diabolo") as failed:
            patch.setattr(os, step, full)
            artifact.write(model, {}, {})
        assert failed.value.errno == errno.ENOSPC
        assert model.read_bytes() == before
        assert list(model.parent.iterdir()) == [model]


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_interrupted_write_leaves_the_old_file_whole(model: Path) -> None:
    before = model.read_bytes()
    with pytest.raises(KeyboardInterrupt), files.replacing(model) as file:
        file.write(b"half")
        file.flush()
        raise KeyboardInterrupt
    assert model.read_bytes() == before
    assert list(model.parent.iterdir()) == [model]


def test_data_is_on_the_disk_before_the_name_changes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    for step in ("fsync", "replace"):
        monkeypatch.setattr(os, step, noted(step, getattr(os, step), steps))
    artifact.write(path, {}, {})
    assert steps == ["fsync file", "replace", "fsync folder"]


def noted(step: str, call: Callable[..., Any], steps: list[str]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        folder = step == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode)
        steps.append(step if step == "replace" else f"fsync {'folder' if folder else 'file'}")
        return call(*args)

    return run


def test_a_folder_that_cannot_be_synced_is_no_failure(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(code, "from a network folder")
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    code = errno.EINVAL
    artifact.write(path, {}, {})
    code = errno.EIO
    with pytest.raises(OSError, match="network folder"):
        artifact.write(path, {}, {})


def test_devices_and_folders_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(OSError, match=str(place)):
            artifact.write(place, {}, {})
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(FileNotFoundError, match="missing"):
        artifact.write(tmp_path / "missing" / "model", {}, {})


def test_permissions_are_those_of_the_old_file(model: Path, tmp_path: Path) -> None:
    model.chmod(0o600)
    artifact.write(model, {}, {})
    assert stat.S_IMODE(model.stat().st_mode) == 0o600
    (tmp_path / "plain").touch()
    artifact.write(tmp_path / "new", {}, {})
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_errors_without_a_number_pass_unchanged(path: Path) -> None:
    with pytest.raises(OSError, match=r"^just words$"), files.replacing(path):
        raise OSError("just words")


# -- probe ---------------------------------------------------------------------------------------------------------


def test_equal_probes_pass() -> None:
    kept = [1.0, math.nan, math.inf, -math.inf, 1e9]
    artifact.compare_probe(kept, kept)
    artifact.compare_probe(torch.tensor(kept), torch.tensor(kept))
    artifact.compare_probe([1.0, 1e9], [1.0 + 9e-6, 1e9 + 9e3], tolerance=1e-5)
    artifact.compare_probe([], [])


@pytest.mark.parametrize(
    ("kept", "now", "words"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.5, 3.1], "probe row 1 scored 2 when it was saved and 2.5 here, off by 0.25"),
        ([1e9], [1e9 + 1.1e4], "probe row 0"),
        ([1.0], [math.nan], "and nan here"),
        ([math.inf], [-math.inf], "and -inf here"),
        ([math.inf], [1.0], "probe row 0"),
        ([[1.0, 2.0]], [[1.0, 3.0]], "probe row 0, 1"),
        ([1.0], [1.0, 1.0], "of shape"),
    ],
)
def test_other_probes_are_named(kept: list, now: list, words: str) -> None:
    with pytest.raises(InvalidArtifact, match=words):
        artifact.compare_probe(kept, now)
