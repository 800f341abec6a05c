"""What was mended in a recording is told by every command that reads one."""

import shutil

import numpy as np
import pytest
import soundfile

RATE = 16_000


@pytest.fixture
def half_empty(make_running, tmp_path):
    """A recording whose second channel is empty."""
    path = tmp_path / "noise" / "two.wav"
    path.parent.mkdir()
    words = make_running([(1.0, "low"), (2.5, "high")], 4.0)
    soundfile.write(path, np.stack([words, 0 * words], axis=1), RATE)
    return path


@pytest.mark.parametrize("command", ["features", "evaluate", "calibrate"])
def test_an_empty_channel_is_told(command, half_empty, hearer, tmp_path, call):
    (tmp_path / "truth.csv").write_text("start_s,end_s,label\n1.0,1.25,low\n2.5,2.75,high\n")
    shutil.copytree(hearer, tmp_path / "model")
    arguments = {
        "features": [half_empty],
        "evaluate": ["--stream", half_empty, "--truth", tmp_path / "truth.csv", "-m", hearer],
        "calibrate": ["--noise", half_empty.parent, "-m", tmp_path / "model"],
    }[command]
    result = call(command, *arguments)
    assert result.code == 0, result.stderr
    note = f"{half_empty}: channel 2 is empty; it is left out of the mean"
    assert f"speechcls: warning: {note}" in result.stderr.splitlines()
