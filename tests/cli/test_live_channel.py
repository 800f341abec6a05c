"""``--channel`` of ``listen`` and ``record``: of a file and of a WAV from a pipe."""

import numpy as np
import pytest
import soundfile

RATE = 16_000
SAID = [(0.6, "low"), (1.8, "high"), (3.1, "low")]


@pytest.fixture
def in_second(make_running, tmp_path):
    """A recording of noise on the left and words on the right."""
    path = tmp_path / "two.wav"
    words = make_running(SAID, 4.5)
    noise = 0.003 * np.random.default_rng(0).standard_normal(len(words))
    soundfile.write(path, np.stack([noise, words], axis=1), RATE)
    return path


def test_listen_hears_the_channel_that_is_named(in_second, hearer, call, run):
    options = ("-m", hearer, "--channel")
    for channel, labels in (("2", [label for _, label in SAID]), ("1", [])):
        result = call("listen", "--from", in_second, "--speed", "0", *options, channel)
        assert (result.code, [row[1] for row in result.rows]) == (0, labels), result.stderr
        piped = run("listen", "-", *options, channel, stdin=in_second.read_bytes())
        assert (piped.code, piped.stdout) == (0, result.stdout)
    result = call("listen", "--from", in_second, *options, "3")
    assert (result.code, result.stdout) == (1, "")
    assert result.errors == [f"{in_second}: has no channel 3; name one of 1 to 2"]


def test_record_takes_the_channel_that_is_named(in_second, tmp_path, call, run):
    options = ("--speaker", "ann", "--channel", "2", "--out")
    result = call("record", "yes", "--from", in_second, *options, tmp_path / "a")
    assert (result.code, len(result.rows)) == (0, 3), result.stderr
    piped = run("record", "yes", "-", *options, tmp_path / "b", stdin=in_second.read_bytes())
    assert (piped.code, len(piped.rows)) == (0, 3), piped.stderr
    names = [f"yes/ann_nohash_{n}.wav" for n in range(3)]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "without - or --from"),
        (["-", "--rate", "16000"], "with --rate, whose sound has one channel"),
    ],
)
@pytest.mark.parametrize("command", [["listen"], ["record", "yes"]], ids=["listen", "record"])
def test_a_channel_without_effect_is_refused(command, arguments, why, call):
    result = call(*command, *arguments, "--channel", "1")
    assert (result.code, result.stdout) == (2, "")
    assert f"--channel: has no effect {why}" in " ".join(result.stderr.split())
