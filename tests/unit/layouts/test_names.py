"""Names of clips: which are safe on any system, and how speaker and take are joined and split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechcls.files import is_file_name
from speechcls.labels import name_take, speaker_of


@pytest.mark.parametrize("name", ["yes", "はい", "turn on", "a.b", "_unknown_", "a" * 200])
def test_names_that_any_system_takes(name):
    assert is_file_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "a\\b", "a:b", "a?", "a*", 'a"', "<a", "a|b", ".a", " a", "a.", "a ", "a\nb",
     "\udcff", "a" * 201, "は" * 67],
)  # fmt: skip
def test_names_that_some_system_refuses(name):
    assert not is_file_name(name)


@pytest.mark.parametrize(
    ("name", "speaker"),
    [
        ("0132a06d_nohash_3.wav", "0132a06d"),
        ("ann_nohash_1_nohash_2.wav", "ann"),  # the first one counts
        ("_nohash_1.wav", None),
        ("yes.wav", None),
    ],
)
def test_the_speaker_in_a_name(name, speaker):
    assert speaker_of(name) == speaker


@given(speaker=st.text(min_size=1).filter(lambda text: "_nohash_" not in text + "_"))
def test_a_speaker_comes_back_from_the_name_of_a_take(speaker):
    assert name_take("ann", 7) == "ann_nohash_7"
    assert speaker_of(f"{name_take(speaker, 3)}.wav") == speaker
