"""Lists scored by Ray Data: equal to one process, whatever is lost, bad, or named again."""

import csv
import gzip
import json
import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray.cloudpickle
import s3fs
import soundfile
from moto.server import ThreadedMotoServer

from speechcls import Classifier
from speechcls.artifact.store import load_artifact
from speechcls.cluster.connection import open_cluster
from speechcls.cluster.results import Results
from speechcls.cluster.scoring import is_complete, score_list
from speechcls.cluster.tasks import DetectTask, PartSizes, PredictTask
from speechcls.errors import ConfigError, DatasetError
from speechcls.lists.clip_list import ClipList

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
MODEL = "commands-tiny"
pytestmark = pytest.mark.filterwarnings("ignore:The minimum number of concurrent actors")


@pytest.fixture(scope="module")
def store():
    """A server of S3 with the bucket ``clips``, which the environment names."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "tested")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "tested")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
        s3fs.S3FileSystem(use_listings_cache=False).mkdir("clips")
        yield server
    server.stop()


@pytest.fixture(scope="module")
def cluster(store):
    with open_cluster(workers=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def artifact():
    return load_artifact(Path(MODEL))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """200 recordings: tones of other pitches, lengths, levels and rates; three of them are bad."""
    folder = tmp_path_factory.mktemp("clips")
    names = []
    for i in range(200):
        rate = (8_000, 16_000, 44_100)[i % 3]
        times = np.arange(int(rate * (0.1 + i % 11 / 10))) / rate
        tone = (0.02 + i % 7 / 10) * np.sin(2 * np.pi * (100 + 17 * i) * times)
        names.append(str(folder / f"{i:03d}.wav"))
        soundfile.write(names[-1], tone, rate)
    Path(names[50]).write_bytes(b"RIFF")
    Path(names[51]).unlink()
    Path(names[52]).write_bytes(b"")
    return names


@dataclass(frozen=True)
class SmallParts(PredictTask):
    sizes: ClassVar[PartSizes] = PartSizes(first=8, largest=32, n_alike=4)


def score(place, task, out, cluster):
    clips = ClipList.at(str(place))
    results = Results(str(out), task.about(), clips.name)
    parts = list(score_list(clips, task, results, cluster))
    return results, parts


def rows_of(out):
    return pq.read_table(str(out)).sort_by("row").to_pylist()


def labels_in(out):
    return [(row["row"], row["path"], row["label"], row["error"]) for row in rows_of(out)]


def near(prediction):
    """What a clip alone, or in another batch, is rounded to."""
    return pytest.approx(prediction.probabilities, abs=1e-6)


def write_list(path, names):
    """Write a list in the form of its ending."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"id": range(len(names)), "file_name": names}), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter=";").writerows([["id", "path"], *enumerate(names)])
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"audio": name}) + "\n" for name in names))
    else:
        path.write_text("\n".join(names))
    return path


def test_a_list_comes_to_the_same_as_in_one_process(cluster, artifact, clips, tmp_path):
    task = SmallParts(artifact)
    place = write_list(tmp_path / "clips.parquet", clips)
    results, parts = score(place, task, tmp_path / "out", cluster)
    rows = rows_of(tmp_path / "out")
    assert [(row["row"], row["path"]) for row in rows] == [*enumerate(clips)]
    for row, (_, outcome) in zip(rows, Classifier(artifact).predict_many(clips), strict=True):
        if isinstance(outcome, Exception):
            assert (row["error"], row["label"]) == (str(outcome), None)
        else:
            assert row["error"] is None
            assert row["label"] == outcome.label
            assert row["probability"] == row["probabilities"][outcome.label]
            assert row["probabilities"] == near(outcome)
            assert row["notes"] == [*outcome.notes]
    # 4 parts of 8, 4 of 16, and of 32 what is left of 200.
    assert [part.n_clips for _, part in sorted(results.finished.items())] == (
        [8] * 4 + [16] * 4 + [32] * 3 + [8]
    )
    assert sum(part.n_failed for part in parts) == 3
    assert [r["row"] for r in rows if r["error"]] == [50, 51, 52]
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert manifest["done"] == {"n_parts": 12, "n_clips": 200, "n_failed": 3}
    assert is_complete(
        ClipList.at(str(place)), task, Results(str(tmp_path / "out"), task.about(), "")
    )


class _Deadly:
    """A scorer whose process is killed by some recordings, as by a fault in a decoder."""

    def __init__(self, scorer, marks):
        self._scorer, self._marks = scorer, Path(marks)
        self.table = scorer.table

    def score(self, sources):
        return self._scorer.score(map(self._meet, sources))

    def _meet(self, source):
        mark = self._marks / Path(source).name
        if mark.exists() and (mark.read_text() == "always" or self._is_first(mark)):
            os.kill(os.getpid(), signal.SIGKILL)
        return source

    def _is_first(self, mark):
        mark.unlink()
        return True


@dataclass(frozen=True)
class DeadlyTask(SmallParts):
    marks: str = ""

    def open(self, jobs=1):
        return _Deadly(super().open(jobs), self.marks)


def test_a_process_that_is_killed_loses_and_doubles_nothing(cluster, artifact, clips, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    (marks / Path(clips[20]).name).write_text("once")
    (marks / Path(clips[100]).name).write_text("once")
    (marks / Path(clips[130]).name).write_text("always")
    task = DeadlyTask(artifact, marks=str(marks))
    place = write_list(tmp_path / "clips.txt", clips)
    score(place, task, tmp_path / "out", cluster)
    rows = rows_of(tmp_path / "out")
    assert [(row["row"], row["path"]) for row in rows] == [*enumerate(clips)]
    bad = {row["row"]: row["error"] for row in rows if row["error"]}
    assert [*bad] == [50, 51, 52, 130]
    assert bad[130] == (
        f"{clips[130]}: the process that reads it dies of it; leave it out, or convert it to WAV"
    )
    alone = Classifier(artifact).predict(clips[131])
    assert rows[131]["probabilities"] == near(alone)


def test_a_second_start_makes_what_is_missing(cluster, artifact, clips, tmp_path):
    task, out = SmallParts(artifact), tmp_path / "out"
    place = write_list(tmp_path / "clips.csv", clips)
    score(place, task, out, cluster)
    whole, files = labels_in(out), sorted(out.glob("part-*"))
    files[2].unlink()
    files[5].write_bytes(files[5].read_bytes()[:-10])
    kept = {file: file.stat().st_mtime_ns for file in files if file.exists()}
    results, parts = score(place, task, out, cluster)
    assert results.damaged == [files[5].name]
    assert sorted(part.n_clips for part in parts) == [8, 16]
    assert labels_in(out) == whole
    again = [file for file, time in kept.items() if file.stat().st_mtime_ns != time]
    assert again == [files[5]]

    for names, number in (
        ([*clips[:30], *clips[31:], clips[0]], 3),
        ([*clips, clips[0]], 11),
        (clips[:-8], 11),
    ):
        other = ClipList.at(str(write_list(tmp_path / "other.jsonl", names)))
        told = f"part-{number:06d}.parquet holds results of other lines than the list has"
        with pytest.raises(ConfigError, match=re.escape(told)):
            is_complete(other, task, Results(str(out), task.about(), ""))
    with pytest.raises(ConfigError, match=r'"threshold": null.* and is .*"threshold": 0.5'):
        Results(str(out), SmallParts(artifact, threshold=0.5).about(), "")


def test_lists_recordings_and_results_at_addresses(cluster, artifact, clips, tmp_path):
    place, out = "s3://clips/lists/all.parquet", "s3://clips/results"
    files = s3fs.S3FileSystem(use_listings_cache=False)
    for path in clips[40:55]:
        if Path(path).exists():
            files.put_file(path, f"clips/lists/waves/{Path(path).name}")
    # relative to the list, or addresses of their own
    names = [f"waves/{Path(path).name}" for path in clips[40:47]]
    names += [f"s3://clips/lists/waves/{Path(path).name}" for path in clips[47:55]]
    files.put_file(write_list(tmp_path / Path(place).name, names), place)
    results, _ = score(place, SmallParts(artifact), out, cluster)
    assert (results.n_clips, results.n_failed) == (15, 3)
    rows = rows_of_store(out, files)
    assert [row["path"] for row in rows] == names
    assert rows[11]["error"].startswith("s3://clips/lists/waves/051.wav: no such file")
    outcomes = Classifier(artifact).predict_many(clips[40:55])
    for row, (_, outcome) in zip(rows, outcomes, strict=True):
        same = None if isinstance(outcome, Exception) else near(outcome)
        assert row["probabilities"] == same
    assert is_complete(ClipList.at(place), SmallParts(artifact), results_at(out, artifact))


def test_a_folder_of_lists_at_an_address_is_one_list(cluster, artifact, clips, tmp_path):
    folder, files = tmp_path / "lists", s3fs.S3FileSystem(use_listings_cache=False)
    (folder / "more").mkdir(parents=True)
    write_list(folder / "part-1.parquet", clips[60:75])
    write_list(folder / "part-0.parquet", clips[45:60])
    write_list(folder / "more" / "part-2.parquet", clips[40:45])
    (folder / "_SUCCESS").touch()
    files.put(str(folder), "clips/folder", recursive=True)
    assert [*ClipList.at(str(folder)).paths()] == clips[40:75]
    place = ClipList.at("s3://clips/folder/")
    assert place.check() == 35
    assert place.resolve("a.wav") == "s3://clips/folder/a.wav"
    score("s3://clips/folder", SmallParts(artifact), tmp_path / "out", cluster)
    rows = rows_of(tmp_path / "out")
    assert [(row["row"], row["path"]) for row in rows] == [*enumerate(clips[40:75])]
    assert [row["row"] for row in rows if row["error"]] == [10, 11, 12]


def test_compressed_lists_at_addresses(store, clips, tmp_path):
    content = write_list(tmp_path / "clips.jsonl", clips).read_bytes() * 200  # several pieces
    s3fs.S3FileSystem(use_listings_cache=False).pipe(
        {
            "clips/lists/clips.jsonl.gz": gzip.compress(content),
            "clips/lists/clips.jsonl.zst": pa.Codec("zstd").compress(content, asbytes=True),
            "clips/lists/clips.txt": "\n".join(clips * 900).encode(),
        }
    )
    for name, n_times in (("clips.jsonl.gz", 200), ("clips.jsonl.zst", 200), ("clips.txt", 900)):
        assert [*ClipList.at(f"s3://clips/lists/{name}").paths()] == clips * n_times


def rows_of_store(out, files):
    paths = sorted(files.glob(f"{out}/*.parquet"))
    return pa.concat_tables(pq.read_table(files.open(path)) for path in paths).to_pylist()


def results_at(out, artifact):
    return Results(out, SmallParts(artifact).about(), "")


def test_each_line_of_many_thousand_has_its_row(cluster, artifact, clips, tmp_path):
    listed = [clips[i % 7] for i in range(30_000)]
    place = write_list(tmp_path / "clips.jsonl", listed)
    results, parts = score(place, PredictTask(artifact), tmp_path / "out", cluster)
    table = pq.read_table(tmp_path / "out").sort_by("row")
    assert table["row"].to_pylist() == [*range(30_000)]
    assert table["path"].to_pylist() == listed
    assert set(table["label"].to_pylist()[::7]) == {Classifier(artifact).predict(clips[0]).label}
    assert sum(p.n_again for p in parts) == 30_000 - 7 * len(results.finished)


def test_words_are_detected_as_in_one_process(cluster, artifact, tmp_path, rng, write_wav):
    names = []
    for i in range(3):
        noise = 0.2 * rng.standard_normal(16_000 * (2 + i)).astype(np.float32)
        names.append(str(write_wav(tmp_path / f"{i}.wav", noise)))
    names.append(str(tmp_path / "absent.wav"))
    cut = Path(names[2]).read_bytes()[:-20_000]
    (tmp_path / "cut.wav").write_bytes(cut)
    names.append(str(tmp_path / "cut.wav"))
    task = DetectTask(artifact, threshold=0.05)
    score(write_list(tmp_path / "list.txt", names), task, tmp_path / "out", cluster)
    rows = rows_of(tmp_path / "out")
    scorer = task.open()
    for i, found in enumerate(scorer.score(names)):
        own = [row for row in rows if row["row"] == i]
        words = [
            (r["start_s"], r["end_s"], r["label"], r["probability"]) for r in own if r["label"]
        ]
        assert words == [(e.start_s, e.end_s, e.label, e.probability) for e in found.events]
        assert [row["error"] for row in own if row["error"]] == [found.error] * bool(found.error)
    assert rows[-1]["error"] and rows[-1]["error"].startswith(f"{tmp_path}/cut.wav: ")
    assert {row["row"] for row in rows} == {0, 1, 2, 3, 4}


def test_without_a_gpu_a_task_for_one_is_refused(cluster, artifact, clips, tmp_path):
    place = write_list(tmp_path / "clips.txt", clips)
    with pytest.raises(
        ConfigError, match=r"cuda: no GPU that Ray knows of in processes on this ma"
    ):
        score(place, SmallParts(artifact, device="cuda"), tmp_path / "out", cluster)
    assert not [*tmp_path.glob("out/part-*")]


def test_a_bad_line_of_a_list_ends_the_run_with_its_number(cluster, artifact, clips, tmp_path):
    place = tmp_path / "clips.jsonl"
    place.write_text(json.dumps({"path": clips[0]}) + "\n[1]\n")
    with pytest.raises(DatasetError, match=r"clips.jsonl:2: not a JSON object; write one a line"):
        score(place, SmallParts(artifact), tmp_path / "out", cluster)
