"""``--engine ray`` of ``predict`` and ``detect``: what is refused before a process is started."""

import sys

import pytest

RAY = ("--engine", "ray")
LISTED = (*RAY, "--files-from", "list.txt", "--out", "results")


@pytest.mark.parametrize("command", ["predict", "detect"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "spark"], "--engine: no 'spark'; there are local, ray"),
        (["a.wav", "--address", "auto"], "--address: has no effect without --engine ray"),
        (["a.wav", "--workers", "2"], "--workers: has no effect without --engine ray"),
        ([*RAY], "--files-from: not given; --engine ray needs the list of recordings"),
        (
            [*RAY, "--files-from", "list.txt"],
            "--out: not given; --engine ray needs the folder of results",
        ),
        (["a.wav", *LISTED], "--engine ray takes a list of recordings: give it by --files-from"),
        (
            [*RAY, "--files-from", "-", "--out", "results"],
            "--files-from: stdin cannot be read again; name a file or an address",
        ),
        ([*LISTED, "--json"], "--json: has no effect with --engine ray"),
        ([*LISTED, "--csv"], "--csv: has no effect with --engine ray"),
        ([*LISTED, "--format", "tsv"], "--format: has no effect with --engine ray"),
        ([*LISTED, "--resume"], "--resume: has no effect with --engine ray"),
        (["a.wav", "--null"], "--null: has no effect without --files-from"),
    ],
)
def test_wrong_usage_of_engines_is_told(command, arguments, said, call):
    result = call(command, *arguments)
    assert (result.code, result.errors) == (2, [said])


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["predict", *LISTED, "--top-k", "2"], "--top-k"),
        (["predict", *LISTED, "--jobs", "2"], "--jobs"),
        (["detect", *LISTED, "--save-events", "kept"], "--save-events"),
    ],
)
def test_options_of_one_process_are_refused_by_name(command, option, call):
    result = call(*command)
    assert (result.code, result.errors) == (2, [f"{option}: has no effect with --engine ray"])


def test_without_ray_the_extra_is_named(at_home, tmp_path, call, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "list.txt").write_text("a.wav\n")
    out = tmp_path / "results"
    result = call("predict", *RAY, "--files-from", tmp_path / "list.txt", "--out", out)
    said = (
        "--engine: needs the package ray, which is not installed; run pip install 'speechcls[ray]'"
    )
    assert (result.code, result.errors) == (2, [said])
    assert not out.exists()


def test_detect_reads_a_list_in_one_process_too(at_home, tmp_path, call):
    listed = [str(at_home.clip("low")), str(tmp_path / "absent.wav"), str(at_home.clip("high"))]
    (tmp_path / "list").write_text("\n".join(listed))
    (tmp_path / "null").write_text("\0".join(listed))
    named = call("detect", *listed, "--threshold", "0.1")
    from_list = call("detect", "--files-from", tmp_path / "list", "--threshold", "0.1")
    with_null = call("detect", "--files-from", tmp_path / "null", "-0", "--threshold", "0.1")
    assert {row[0] for row in named.rows} == {listed[0], listed[2]}
    assert named == from_list == with_null
    assert named.errors == [f"{listed[1]}: no such file; check the path"]
