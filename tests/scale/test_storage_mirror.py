"""The mirror of what lies elsewhere: what is fetched, kept, fetched again, removed and refused."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from common_stores import FAST, BadServer, bad_server

from speechcls.errors import DatasetError, StorageError
from speechcls.layouts.load import load_dataset
from speechcls.storage.mirror import N_FAILED_FIRST, bring_file, bring_files, bring_folder
from speechcls.storage.places import place_of, shown


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPEECHCLS_CACHE", str(tmp_path / "cache"))
    for name, value in FAST.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def memory() -> Iterator[Any]:
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe({"/data/yes/a.wav": b"one", "/data/no/b.wav": b"three", "/data/x.zip": b"zip"})
    yield files
    files.rm("/data", recursive=True)


@pytest.fixture
def web() -> Iterator[BadServer]:
    with bad_server() as server:
        yield server


def wanted(name: str) -> bool:
    return name.endswith(".wav")


def test_what_is_new_or_changed_is_fetched_and_what_is_gone_removed(memory: Any) -> None:
    place = place_of("memory://data")
    first = bring_folder(place, wanted)
    assert (first.n_fetched, first.n_removed, dict(first.left_out)) == (2, 0, {".zip": 1})
    assert (place / "yes/a.wav").read_bytes() == b"one"
    assert bring_folder(place, wanted).n_fetched == 0
    memory.pipe({"/data/yes/a.wav": b"two", "/data/yes/c.wav": b""})
    memory.rm("/data/no/b.wav")
    again = bring_folder(place, wanted)
    assert (again.n_fetched, again.n_removed) == (2, 1)
    assert (place / "yes/a.wav").read_bytes() == b"two"
    assert sorted(path.name for path in place.rglob("*.wav")) == ["a.wav", "c.wav"]


def test_a_file_that_is_damaged_here_is_fetched_again(memory: Any) -> None:
    place = place_of("memory://data")
    bring_folder(place, wanted)
    (place / "yes/a.wav").write_bytes(b"o")
    assert bring_folder(place, wanted).n_fetched == 1
    assert (place / "yes/a.wav").read_bytes() == b"one"


def test_what_was_broken_off_goes_on_where_it_stopped(web: BadServer) -> None:
    names = [f"/{i}.wav" for i in range(40)]
    web.files = {name: name.encode() for name in names}
    places = [place_of(web.url + name) for name in names]

    @contextmanager
    def break_off(n_files: int) -> Iterator[Any]:
        assert n_files == 40
        left = iter(range(5))

        def on_file() -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt

        yield on_file

    with pytest.raises(KeyboardInterrupt):
        bring_files(places, break_off)
    again = bring_files(places)
    assert again.n_fetched == 35 and not again.problems
    assert [place.read_bytes() for place in places] == [name.encode() for name in names]


def test_the_time_is_that_of_the_store(web: BadServer) -> None:
    web.files["/a.wav"] = b"sound"
    assert bring_file(place_of(f"{web.url}/a.wav")).stat().st_mtime == 1_700_000_000


def test_a_file_comes_whole_or_not_at_all(web: BadServer) -> None:
    web.files = {"/a.wav": b"sound of a", "/b.wav": b"sound of b"}
    web.faults["/a.wav"] = ["cut"] * 3
    places = [place_of(f"{web.url}/{name}") for name in ("a.wav", "b.wav", "c.wav")]
    brought = bring_files(places)
    assert brought.n_fetched == 1 and not places[0].exists()
    absent, cut = brought.problems
    assert cut.startswith(f"{web.url}/a.wav: cut off") and f"{web.url}/c.wav: no such" in absent
    assert not list((places[0].parents[2] / ".parts").iterdir())
    before = web.requests["/b.wav"]
    assert bring_files(places).n_fetched == 1  # the first, whose faults have passed
    assert places[0].read_bytes() == b"sound of a" and web.requests["/b.wav"] == before


def test_a_query_tells_files_apart_and_a_signature_does_not(web: BadServer) -> None:
    web.files["/a.wav"] = b"sound"
    one, two = (f"{web.url}/a.wav?id={number}" for number in (1, 2))
    assert place_of(one) != place_of(two)
    signed = [f"{web.url}/a.wav?id=1&X-Amz-Signature={text}" for text in ("old", "new")]
    assert place_of(signed[0]) == place_of(signed[1]) == place_of(one)
    assert bring_file(place_of(signed[1])).read_bytes() == b"sound"
    assert bring_file(place_of(two)).name == "a.wav"


def test_more_than_the_budget_is_refused_before_anything_is_fetched(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/data/yes/a.wav", bytes(2_000_000))
    monkeypatch.setenv("SPEECHCLS_REMOTE_BUDGET_GB", "0.001")
    place = place_of("memory://data")
    fact = "memory://data: 0.002 GB to fetch, and 0.001 of 0.001 GB are left for fetched files;"
    with pytest.raises(StorageError, match=fact):
        bring_folder(place, wanted)
    assert not list(place.rglob("*.wav"))
    monkeypatch.setenv("SPEECHCLS_REMOTE_BUDGET_GB", "0.003")
    assert bring_folder(place, wanted).n_fetched == 2
    memory.pipe("/data/yes/a.wav", bytes(2_500_000))  # in place of the two million
    assert bring_folder(place, wanted).n_fetched == 1


def test_more_than_the_disk_has_is_refused(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHCLS_REMOTE_KEEP_FREE_GB", "1e9")
    with pytest.raises(StorageError, match=r"0\.000 GB are free on the disk of"):
        bring_folder(place_of("memory://data"), wanted)


def test_a_store_that_refuses_every_file_ends_the_work(web: BadServer) -> None:
    names = [f"/{i}.wav" for i in range(3 * N_FAILED_FIRST)]
    web.faults = {name: ["403"] * 9 for name in names}
    with pytest.raises(StorageError, match=f"so did the first {N_FAILED_FIRST} files"):
        bring_files([place_of(web.url + name) for name in names])


def test_missing_files_alone_do_not_end_it(web: BadServer) -> None:
    names = [f"/{i}.wav" for i in range(N_FAILED_FIRST + 10)]
    web.files[names[-1]] = b"sound"
    brought = bring_files([place_of(web.url + name) for name in names])
    assert brought.n_fetched == 1 and len(brought.problems) == len(names) - 1


def test_a_name_that_no_file_can_have_is_a_problem(memory: Any) -> None:
    memory.pipe("/data/yes/" + "a" * 300 + ".wav", b"long")
    try:
        brought = bring_folder(place_of("memory://data"), wanted)
    finally:
        memory.rm("/data/yes/" + "a" * 300 + ".wav")
    assert brought.n_fetched == 2
    assert len(brought.problems) == 1 and "no name that a file can have" in brought.problems[0]


ROWS = ["path,label", "yes/a.wav,yes", "memory://data/no/b.wav,no", "no/none.wav,no"]


def test_a_manifest_elsewhere_names_recordings_beside_it(memory: Any) -> None:
    memory.pipe("/data/list/clips.csv", "\n".join(["path,label", "a.wav,yes"]).encode())
    memory.pipe("/data/list/a.wav", b"of the list")
    [example] = load_dataset("memory://data/list/clips.csv").examples
    assert example.path.read_bytes() == b"of the list"


@pytest.mark.parametrize("is_local", [True, False])
def test_a_manifest_names_recordings_below_another_root_and_anywhere(
    memory: Any, tmp_path: Path, is_local: bool
) -> None:
    text = "\n".join(ROWS).encode()
    memory.pipe("/data/clips.csv", text)
    (tmp_path / "clips.csv").write_bytes(text)
    manifest = str(tmp_path / "clips.csv") if is_local else "memory://data/clips.csv"
    dataset = load_dataset(manifest, root="memory://data")
    assert [(e.label, e.path.read_bytes()) for e in dataset.examples] == [
        ("yes", b"one"),
        ("no", b"three"),
    ]
    reason, row = map(shown, dataset.problems)
    assert reason.startswith("memory://data/no/none.wav: no such file or folder there;")
    assert row.endswith(":4: no such file: memory://data/no/none.wav")


def test_a_list_of_which_nothing_comes_says_why(web: BadServer, tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text(f"path,label\n{web.url}/x.wav,yes\n")
    with pytest.raises(DatasetError, match="none of its 1 recordings could be fetched") as caught:
        load_dataset(tmp_path / "clips.csv")
    fact = f"{web.url}/x.wav: no such file or folder there; check the address"
    assert caught.value.details == (fact,)


def test_a_list_that_came_with_a_folder_tells_no_server_who_reads_it(
    web: BadServer, tmp_path: Path, write_wav: Any, tone: Any
) -> None:
    write_wav(tmp_path / "data/a.wav", tone(440))
    web.files["/x.wav"] = b"sound"
    rows = ["path,label", "a.wav,no", f"{web.url}/x.wav,yes"]
    (tmp_path / "data/metadata.csv").write_text("\n".join(rows))
    found = load_dataset(tmp_path / "data")
    assert [e.label for e in found.examples] == ["no"]
    assert not web.requests
    assert "names 1 recordings elsewhere" in found.problems[0]
    assert "name the list itself, and they are fetched" in found.problems[0]
    named = load_dataset(tmp_path / "data/metadata.csv")
    assert [e.label for e in named.examples] == ["no", "yes"]


def test_places_never_leave_the_mirror() -> None:
    with pytest.raises(StorageError, match=r"'..' in it is no name"):
        place_of("s3://bucket/../../../etc/passwd")
    assert os.fspath(place_of("s3://bucket/a%2F..%2Fb")).endswith("elsewhere/s3/bucket/a%2F..%2Fb")
