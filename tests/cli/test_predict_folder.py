"""``predict`` on a folder of everything: each file is predicted, named or counted."""

import numpy as np
import soundfile


def test_other_files_of_a_folder_are_counted_and_recordings_known_by_their_bytes(tmp_path, call):
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000)
    for name in ("a.wav", "no-ending", "b.sound"):
        soundfile.write(tmp_path / name, samples, 16_000, format="WAV")
    (tmp_path / "c.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "d.wav.part").write_bytes(b"RIFF")
    (tmp_path / "notes.txt").write_text("of the recordings")
    result = call("predict", str(tmp_path), "-m", "commands")
    assert result.code == 0
    names = [row[0] for row in result.rows]
    assert names == [str(tmp_path / name) for name in ("a.wav", "b.sound", "no-ending")]
    assert result.stderr.splitlines()[-1] == (
        f"speechcls: {tmp_path}: files that are no recordings are left out: 1 .pdf, 1 .part"
    )


def test_a_file_that_is_no_recording_is_called_what_it_is(tmp_path, call):
    (tmp_path / "a.wav").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (tmp_path / "b.wav").write_bytes(b"<!DOCTYPE html><html><body>404</body></html>")
    soundfile.write(tmp_path / "c.wav", np.zeros(16_000), 16_000)
    result = call("predict", str(tmp_path), "-m", "commands")
    assert result.code == 1
    assert [row[0] for row in result.rows] == [str(tmp_path / "c.wav")]
    lfs, html = result.errors
    assert lfs.startswith(f"{tmp_path / 'a.wav'}: a Git LFS pointer")
    assert html.startswith(f"{tmp_path / 'b.wav'}: an HTML page")
    assert not any("delete" in error for error in result.errors)
