"""Manifests: every form says the same, and every fault is told with its line."""

import dataclasses
import json
from functools import partial

import pytest
from common import found, refusal, touch

from speechcls.errors import DatasetError
from speechcls.layouts.examples import Dataset, Example
from speechcls.layouts.load import load_dataset
from speechcls.layouts.manifest import write_manifest as write_examples

message_of = partial(refusal, DatasetError, load_dataset)
SPLIT_HELP = (
    "is not one of train, validation, test (or training, val, valid, dev, eval, testing);"
    " correct it, or read no split with split="
)


# Manifests


def write_manifest(root, name, text, encoding="utf-8"):
    """Write a manifest beside a.wav, b c.wav and sub/c.wav; return its path."""
    touch(root, "a.wav", "b c.wav", "sub/c.wav")
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return root / name


ROWS = [
    {"path": "a.wav", "label": "yes"},
    {"path": "sub/c.wav", "label": "no", "speaker": "ann", "split": "test"},
    {"path": "b c.wav", "label": "はい", "speaker": "", "split": "", "start_s": 0.5, "end_s": 1.25},
]


def separated(rows, separator):
    """The rows as CSV or TSV with all columns."""
    columns = ["path", "label", "speaker", "split", "start_s", "end_s"]
    lines = [columns] + [[str(row.get(column, "")) for column in columns] for row in rows]
    return "".join(separator.join(line) + "\n" for line in lines)


MANIFESTS = {
    "m.csv": separated(ROWS, ","),
    "M.CSV": separated(ROWS, ","),
    "m.tsv": separated(ROWS, "\t"),
    "M.TSV": separated(ROWS, "\t"),
    "m.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "M.JSONL": "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS),
    "windows.csv": separated(ROWS, ",").replace("\n", "\r\n"),
    "windows.jsonl": "".join(json.dumps(row) + "\r\n" for row in ROWS),
    "blank.csv": separated(ROWS, ",").replace("\n", "\n\n"),
    "blank.jsonl": "\n" + "".join(json.dumps(row) + "\n \n" for row in ROWS),
    "mark.csv": "\ufeff" + separated(ROWS, ","),
    "mark.tsv": "\ufeff" + separated(ROWS, "\t"),
    "mark.jsonl": "\ufeff" + "".join(json.dumps(row) + "\n" for row in ROWS),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_manifest_says_the_same(name, root):
    dataset = load_dataset(write_manifest(root, name, MANIFESTS[name]))
    assert dataset == Dataset(
        root,
        [
            Example(root / "a.wav", "yes"),
            Example(root / "sub/c.wav", "no", "ann", "test"),
            Example(root / "b c.wav", "はい", None, None, 0.5, 1.25),
        ],
        manifest=root / name,
    )
    assert (dataset.source, dataset.title) == (root / name, name.split(".")[0])


def test_a_manifest_may_name_background_noise(root):
    text = "path,label\na.wav,yes\nsub/c.wav,_background_noise_\n"
    dataset = load_dataset(write_manifest(root, "m.csv", text))
    assert found(dataset) == [("a.wav", "yes", None)]
    assert dataset.noise == [root / "sub/c.wav"]


def test_columns_may_stand_in_any_order_beside_others(root):
    text = "note,label,path\nloud,yes,a.wav\n"
    assert found(load_dataset(write_manifest(root, "m.csv", text))) == [("a.wav", "yes", None)]


@pytest.mark.parametrize(
    "name",
    [
        'say "yes", loud.wav',
        "line\nbreak.wav",
        "line\r\nbreak.wav",
        "はい.wav",
        " space .wav",
        "a,b\tc.wav",
    ],
)
def test_quoted_and_non_ascii_names(name, root):
    touch(root, name)
    quoted = name.replace('"', '""')
    for manifest, text in {
        "m.csv": f'path,label\n"{quoted}",yes\n',
        "m.tsv": f'path\tlabel\n"{quoted}"\tyes\n',
        "m.jsonl": json.dumps({"path": name, "label": "yes"}),
    }.items():
        dataset = load_dataset(write_manifest(root, manifest, text))
        assert found(dataset) == [(name, "yes", None)], manifest
        assert dataset.problems == []


def test_whole_paths_may_point_anywhere(root, tmp_path):
    touch(tmp_path, "elsewhere/1.wav")
    path = tmp_path / "elsewhere/1.wav"
    manifest = write_manifest(root, "m.csv", f"path,label\n{path},yes\n../elsewhere/1.wav,no\n")
    dataset = load_dataset(manifest)
    assert [e.label for e in dataset.examples] == ["yes", "no"]
    assert dataset.relative_name(dataset.examples[0].path) == path.as_posix()


def test_numbers_of_json_are_names(root):
    row = {"path": "a.wav", "label": 0, "speaker": 7}
    manifest = write_manifest(root, "m.jsonl", json.dumps(row))
    assert found(load_dataset(manifest)) == [("a.wav", "0", "7")]


def test_one_file_may_hold_many_clips(root):
    text = "path,label,start_s,end_s\na.wav,yes,0,1\na.wav,no,1,2\na.wav,go,2,\n"
    parts = [
        (e.label, e.start_s, e.end_s)
        for e in load_dataset(write_manifest(root, "m.csv", text)).examples
    ]
    assert parts == [("yes", 0.0, 1.0), ("no", 1.0, 2.0), ("go", 2.0, None)]


@pytest.mark.parametrize(
    "name", ["gone.wav", "sub", "x" * 300 + ".wav"], ids=["gone", "a folder", "too long"]
)
def test_an_unknown_path_is_a_problem_with_its_line(name, root):
    text = f"path,label\na.wav,yes\n{name},no\nsub/c.wav,yes\n"
    manifest = write_manifest(root, "m.csv", text)
    dataset = load_dataset(manifest)
    assert found(dataset) == [("a.wav", "yes", None), ("sub/c.wav", "yes", None)]
    assert dataset.problems == [f"{manifest}:3: no such file: {root / name}"]


HEADER = "path,label,split,start_s,end_s\na.wav,yes,,,\n"


@pytest.mark.parametrize(
    ("text", "where", "fact"),
    [
        (HEADER + ",yes,,,\n", 3, "no path"),
        (HEADER + "a.wav,,,,\n", 3, "no label"),
        (HEADER + "a.wav\n", 3, "no label"),
        (HEADER + "\n\na.wav\n", 5, "no label"),
        (HEADER + '"b\n c.wav",no,,,\na.wav,,,,\n', 5, "no label"),
        (
            HEADER + "a.wav,yes,train,1,2,3\n",
            3,
            "6 cells, and the first line names 5 columns; put quotes around a cell that contains"
            " the separator",
        ),
        (HEADER + "a.wav,yes,,soon,\n", 3, "start_s 'soon' is not a number of seconds"),
        (HEADER + "a.wav,yes,,-1,\n", 3, "start_s '-1' is not a number of seconds"),
        (HEADER + "a.wav,yes,,nan,\n", 3, "start_s 'nan' is not a number of seconds"),
        (HEADER + "a.wav,yes,,,inf\n", 3, "end_s 'inf' is not a number of seconds"),
        (HEADER + "a.wav,yes,,,1:05\n", 3, "end_s '1:05' is not a number of seconds"),
        (HEADER + "a.wav,yes,,2,1.5\n", 3, "end_s 1.5 is not after start_s 2"),
        (HEADER + "a.wav,yes,,2,2\n", 3, "end_s 2 is not after start_s 2"),
        (HEADER + "a.wav,yes,,,0\n", 3, "end_s 0 is not after start_s 0"),
    ],
)
def test_every_error_of_a_csv_names_its_line(text, where, fact, root):
    manifest = write_manifest(root, "m.csv", text)
    assert message_of(manifest) == f"{manifest}:{where}: {fact}"


GOOD = '{"path": "a.wav", "label": "yes"}\n'


@pytest.mark.parametrize(
    ("text", "where", "fact"),
    [
        (GOOD + "yes\n", 2, "not JSON (Expecting value)"),
        (GOOD + "\n" + GOOD[:-2] + "\n", 3, "not JSON (Expecting ',' delimiter)"),
        (GOOD + "[1]\n", 2, "not a JSON object"),
        (GOOD + "null\n", 2, "not a JSON object"),
        (GOOD + '{"path": "a.wav"}\n', 2, "no label"),
        (GOOD + '{"label": "yes"}\n', 2, "no path"),
        (GOOD + '{"path": null, "label": "yes"}\n', 2, "no path"),
        (GOOD + '{"path": "a.wav", "label": ""}\n', 2, "no label"),
        (
            '{"path": "a.wav", "label": "yes", "start_s": [1]}\n',
            1,
            "start_s [1] is not a number of seconds",
        ),
        (
            '{"path": "a.wav", "label": "yes", "end_s": NaN}\n',
            1,
            "end_s nan is not a number of seconds",
        ),
        (
            '{"path": "a.wav", "label": "yes", "end_s": 1' + "0" * 400 + "}\n",
            1,
            "end_s 1" + "0" * 400 + " is not a number of seconds",
        ),
    ],
)
def test_every_error_of_json_lines_names_its_line(text, where, fact, root):
    manifest = write_manifest(root, "m.jsonl", text)
    assert message_of(manifest) == f"{manifest}:{where}: {fact}"


@pytest.mark.parametrize("name", ["m.csv", "m.tsv", "m.jsonl"])
def test_a_manifest_in_another_encoding(name, root):
    manifest = write_manifest(root, name, "path,label\nañil.wav,yes\n", "latin-1")
    assert message_of(manifest) == f"{manifest}: not UTF-8 text; save it as UTF-8"


def test_what_the_csv_reader_refuses(root):
    manifest = write_manifest(root, "m.csv", "path,label\n" + "a" * 140_000 + ",yes\n")
    expected = f"{manifest}: not a CSV file (field larger than field limit (131072))"
    assert message_of(manifest) == expected


def test_a_manifest_without_a_clip(root):
    manifest = write_manifest(root, "m.csv", "path,label\n")
    assert message_of(manifest).startswith(f"{manifest}: no clip found")
    text = "path,label\ngone.wav,yes\na.wav,_background_noise_\n"
    manifest = write_manifest(root, "m.csv", text)
    assert message_of(manifest) == (
        f"{manifest}: no clip found\n  {manifest}:2: no such file: {root / 'gone.wav'}"
    )


def test_a_split_that_is_none_names_its_line(root):
    manifest = write_manifest(root, "m.csv", HEADER + "a.wav,yes,holdout,,\n")
    assert message_of(manifest) == f"columns: {manifest}:3: split 'holdout' {SPLIT_HELP}"


def test_background_noise_is_taken_whole(root):
    for column, value in (("start_s", "1.5"), ("end_s", "2"), ("split", "train")):
        text = f"path,label,{column}\na.wav,yes,\nsub/c.wav,_background_noise_,{value}\n"
        message = message_of(write_manifest(root, "m.csv", text))
        assert message.endswith(
            "m.csv:3: background noise is taken whole; leave split, start_s and end_s out"
        )


# Writing


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
def test_a_manifest_comes_back_as_it_was_written(ending, root, tmp_path):
    touch(root, "a.wav", "b, c.wav", "hum.wav")
    examples = [
        Example(root / "a.wav", "yes", "ann", "test", 0.5, 1.25),
        Example(root / "a.wav", "はい"),
        Example(root / "b, c.wav", "no", None, "train", 0.0, 0.75, channel=2),
    ]
    place = tmp_path / "lists" / f"m{ending}"
    write_examples(place, examples, [root / "hum.wav"])
    again = load_dataset(place)
    resolved = [dataclasses.replace(e, path=e.path.resolve()) for e in again.examples]
    assert resolved == [dataclasses.replace(e, path=e.path.resolve()) for e in examples]
    assert [path.resolve() for path in again.noise] == [(root / "hum.wav").resolve()]


def test_a_column_of_channels_is_written_only_where_a_clip_has_one(root, tmp_path):
    touch(root, "a.wav")
    header = "path,label,speaker,split,start_s,end_s"
    write_examples(root / "m.csv", [Example(root / "a.wav", "yes")])
    assert (root / "m.csv").read_text() == f"{header}\na.wav,yes,,,,\n"
    write_examples(root / "m.csv", [Example(root / "a.wav", "yes", channel=2)])
    assert (root / "m.csv").read_text() == f"{header},channel\na.wav,yes,,,,,2\n"


def test_a_name_that_is_not_utf_8_goes_into_json_lines_alone(tmp_path):
    example = Example(tmp_path / "\udcff.wav", "yes")
    with pytest.raises(DatasetError, match="not UTF-8, which this format cannot hold"):
        write_examples(tmp_path / "m.csv", [example])
    assert not list(tmp_path.iterdir())
    write_examples(tmp_path / "m.jsonl", [example])
    assert json.loads((tmp_path / "m.jsonl").read_text()) == {"path": "\udcff.wav", "label": "yes"}
