"""What ``config.json`` may say, to the last value that is possible."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from common import refusal

from speechcls.artifact.format import check_format_version, check_labels, check_sizes
from speechcls.errors import ArtifactError

MOST = 100_000


def test_labels_and_words_come_back_in_their_order():
    assert check_labels(["yes", "_unknown_"], ["yes", "b", "a"]) == (
        ("yes", "_unknown_"),
        ("yes", "b", "a"),
    )
    assert check_labels(["yes", "no"], ["no", "yes"]) == (("yes", "no"), ("no", "yes"))


@pytest.mark.parametrize(
    ("labels", "words", "reason"),
    [
        (("yes", "no"), ["yes", "no"], "labels and words must be lists"),
        (["yes", "no"], ("yes", "no"), "labels and words must be lists"),
        (["yes"], ["yes"], "impossible labels"),
        (["yes", "yes"], ["yes", "no"], "impossible labels"),
        (["yes", 1], ["yes", "no"], "impossible labels"),
        (["yes", "no", "go"], ["yes", "no"], "impossible words"),  # fewer than the labels
        (["yes", "no"], ["yes", "no", "no"], "impossible words"),
        (["yes", "no"], ["yes", "no", None], "impossible words"),
        (["yes", "no"], ["yes", "no", "go"], "impossible words"),  # counts as none of the labels
    ],
)
def test_impossible_labels_and_words(labels, words, reason):
    with pytest.raises((TypeError, ValueError)) as raised:
        check_labels(labels, words)
    assert str(raised.value) == reason


def test_the_longest_and_the_most_labels():
    for make in (
        lambda n: ["yes", "a" * n],
        lambda n: ["_unknown_", *map(str, range(n - 1))],
    ):
        assert check_labels(make(MOST), make(MOST))[0] == tuple(make(MOST))
        with pytest.raises(ValueError, match="impossible labels"):
            check_labels(make(MOST + 1), make(MOST + 1))
    with pytest.raises(ValueError, match="impossible words"):
        check_labels(["yes", "_unknown_"], ["yes", *map(str, range(MOST))])


LARGEST = {"sample_rate": 768_000, "n_fft": 262_144, "n_mels": 4_096, "n_samples": 67_108_864}


def test_the_largest_sizes_are_possible():
    check_sizes(SimpleNamespace(**LARGEST))


@pytest.mark.parametrize("name", LARGEST)
def test_larger_sizes_are_named(name):
    what = {"n_samples": "samples of a window"}.get(name, name)
    with pytest.raises(ValueError) as raised:
        check_sizes(SimpleNamespace(**LARGEST | {name: LARGEST[name] + 1}))
    assert str(raised.value) == f"impossible {what}"


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None])
def test_what_is_no_version(version):
    with pytest.raises(ValueError) as raised:
        check_format_version(Path("m"), version, 7, ArtifactError)
    assert str(raised.value) == "impossible format_version"


def test_a_newer_version_asks_for_a_newer_speechcls():
    for version in (1, 7):
        check_format_version(Path("m"), version, 7, ArtifactError)
    assert refusal(ArtifactError, check_format_version, Path("m"), 8, 7, ArtifactError) == (
        "m: format version 8 is newer than this speechcls understands (7); upgrade speechcls"
    )
