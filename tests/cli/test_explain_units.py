"""``explain --data`` as a person runs it."""

import json
import re
import shutil

import pytest


def content_of(page):
    return json.loads(re.search(r'id="content">(.*?)</script>', page.read_text(), re.DOTALL)[1])


def test_the_page_of_a_data_set(home, run, tmp_path):
    result = run("explain", "--data", home.data, "--model", home.model, cwd=tmp_path)
    assert (result.code, result.stdout) == (0, "units.html\n"), result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["units.html"]
    content = content_of(tmp_path / "units.html")
    n_clips = len(list(home.data.rglob("*_nohash_*.wav")))
    assert len(content["clips"]) == n_clips <= 160
    assert f"{n_clips} clips of 3 labels (" in result.stderr
    assert "that it was trained on" in result.stderr and "left out" not in result.stderr
    assert content["query"] is None and content["bad"] == []
    assert [(each["layer"], each["way"]) for each in content["layers"]] == [(1, "forward")]


def test_clips_that_were_not_trained_on_come_first_and_the_rest_is_said(home, call, tmp_path):
    page = tmp_path / "few.html"
    own = ("--data", home.data, "-m", home.model, "--clips", "4", "--html", page)
    result = call("explain", *own)
    assert (result.code, result.stdout) == (0, f"{page}\n"), result.stderr
    content = content_of(page)
    assert {each["split"] for each in content["clips"]} <= {"validation", "test"}
    assert sorted(each["label"] for each in content["clips"]) == [0, 0, 1, 2]
    n_left = len(list(home.data.rglob("*_nohash_*.wav"))) - 4
    assert f"; {n_left} more are left out" in result.stderr
    assert "fewer clips of a label than the 8 of a list; --clips 24 takes more" in result.stderr
    assert f"; {n_left} more are left out" in page.read_text()


def test_a_clip_of_ones_own_is_compared(home, call, tmp_path):
    clip = shutil.copy(home.clip("low"), tmp_path / "mine.wav")
    page = tmp_path / "mine.html"
    result = call("explain", clip, "--data", home.data, "-m", home.model, "--html", page)
    assert result.code == 0, result.stderr
    content = content_of(page)
    assert content["query"] == len(content["clips"]) - 1
    assert content["clips"][-1]["name"].endswith("mine.wav")
    # The same recording is in the data, and no clip is compared with itself.
    assert "low/s00_nohash_0.wav" not in [each["name"] for each in content["clips"]]
    assert "; 1 more are left out" in result.stderr
    assert "mine.wav among the clips of" in page.read_text()


def test_clips_that_cannot_be_read_are_named_and_the_rest_goes_on(home, call, tmp_path):
    data = shutil.copytree(home.data, tmp_path / "data")
    (data / "low" / "broken_nohash_0.wav").write_bytes(b"RIFF")
    page = tmp_path / "units.html"
    result = call("explain", "--data", data, "-m", home.model, "--html", page)
    assert (result.code, result.stdout) == (1, f"{page}\n")
    [error] = result.errors
    assert "broken_nohash_0.wav" in error
    [line] = content_of(page)["bad"]
    assert "broken_nohash_0.wav" in line


def test_a_manifest_is_read_as_evaluate_reads_it(home, call, tmp_path):
    clips = sorted(home.data.rglob("*_nohash_0.wav"))[:12]
    rows = [f"{path},{path.parent.name}" for path in clips]
    manifest = tmp_path / "clips.csv"
    manifest.write_text("\n".join(["file,word", *rows]) + "\n")
    page = tmp_path / "units.html"
    own = ("-m", home.model, "--columns", "path=file,label=word", "--html", page)
    result = call("explain", "--data", manifest, *own)
    assert result.code == 0, result.stderr
    assert len(content_of(page)["clips"]) == 12


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name CLIP, or a data set with --data"),
        (("--data", "DATA", "--out", "a.png"), "--out: has no effect with --data"),
        (("--data", "DATA", "--layer", "1"), "--layer: has no effect with --data"),
        (("--data", "DATA", "-m", "a", "-m", "b"), "--model: one alone with --data"),
        (("a.wav", "--clips", "9"), "--clips: has no effect without --data"),
        (("a.wav", "--columns", "a=b"), "--columns: has no effect without --data"),
    ],
)
def test_what_does_not_go_together_is_refused(home, call, arguments, said):
    given = [str(home.data) if each == "DATA" else each for each in arguments]
    result = call("explain", *given)
    assert (result.code, result.stdout) == (2, "")
    assert said in result.stderr
