"""Columns: every common name, every separator and encoding, and what is told where none fits."""

import json
from functools import partial

import pytest
from common import refusal, touch

from speechcls.errors import DatasetError
from speechcls.layouts.manifest import read_manifests

message_of = partial(refusal, DatasetError, read_manifests)


def read(root, text, name="m.csv", columns=None, encoding="utf-8"):
    """The data set of a manifest beside a.wav and b.wav."""
    touch(root, "a.wav", "b.wav")
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return read_manifests([root / name], columns)


def facts(dataset):
    """All that is known of each clip but for its folder."""
    return [
        (e.path.name, e.label, e.speaker, e.split, e.start_s, e.end_s, e.channel)
        for e in dataset.examples
    ]


def clip(label="yes", speaker=None, split=None, start_s=0.0, end_s=None, channel=None):
    return [("a.wav", label, speaker, split, start_s, end_s, channel)]


PATH_NAMES = (
    "path file filename file_name fname slice_file_name audio audio_filepath audio_path wav"
)
PATH_NAMES = [
    *PATH_NAMES.split(),
    "wav_path",
    "filepath",
    "wav_filename",
    "Audio File Path",
    "LINK",
]
LABEL_NAMES = ["label", "class", "category", "word", "command", "keyword", "target"]
LABEL_NAMES += ["event_label", "Label", "WORD"]
SPEAKER_NAMES = ["speaker", "speaker_id", "client_id", "user", "user_id", "speakerId", "SPEAKER"]


@pytest.mark.parametrize("name", PATH_NAMES)
def test_every_name_of_paths(name, root):
    assert facts(read(root, f"note,{name},label\nx,a.wav,yes\n")) == clip()


@pytest.mark.parametrize("name", LABEL_NAMES)
def test_every_name_of_labels(name, root):
    assert facts(read(root, f"note,path,{name}\nx,a.wav,yes\n")) == clip()


@pytest.mark.parametrize("name", SPEAKER_NAMES)
def test_every_name_of_speakers(name, root):
    assert facts(read(root, f"path,label,{name}\na.wav,yes,ann\n")) == clip(speaker="ann")


@pytest.mark.parametrize("name", ["split", "set", "subset", "Split", "SET"])
@pytest.mark.parametrize(
    ("value", "split"),
    [
        *[(name, "train") for name in ("train", "Training", "TRAIN")],
        *[(name, "validation") for name in ("val", "valid", "validation", "dev", "eval", "DEV ")],
        *[(name, "test") for name in ("test", "testing", "Test")],
        ("", None),
    ],
)
def test_every_name_of_splits(name, value, split, root):
    assert facts(read(root, f"path,label,{name}\na.wav,yes,{value}\n")) == clip(split=split)


@pytest.mark.parametrize(
    ("header", "row", "start_s", "end_s"),
    [
        ("start_s,end_s", "0.5,1.5", 0.5, 1.5),
        ("start,end", "0.5,1.5", 0.5, 1.5),
        ("onset,offset", "0.5,1.5", 0.5, 1.5),
        ("t_start,t_end", "0.5,1.5", 0.5, 1.5),
        ("offset,duration", "0.5,1", 0.5, 1.5),
        ("begin,stop", "0.5,1.5", 0.5, 1.5),
        ("Begin Time (s),End Time (s)", "0.5,1.5", 0.5, 1.5),
        ("start_ms,end_ms", "500,1500", 0.5, 1.5),
        ("start,duration", '"0,5","1,0"', 0.5, 1.5),
        ("start,end,duration", "0.5,1.5,7", 0.5, 1.5),
        ("start,end,duration", "0.5,,1", 0.5, 1.5),
        ("start,duration", "0,1", 0.0, 1.0),
        ("duration", "0.8", 0.0, None),
        ("duration", "a long time", 0.0, None),
        ("offset,duration", ",0.8", 0.0, None),
        ("offset", "0.5", 0.5, None),
        ("end", "1.5", 0.0, 1.5),
    ],
)
def test_every_way_to_name_a_part_of_a_recording(header, row, start_s, end_s, root):
    dataset = read(root, f"path,label,{header}\na.wav,yes,{row}\n")
    assert facts(dataset) == clip(start_s=start_s, end_s=end_s)


def test_channels_are_counted_from_one(root):
    assert facts(read(root, "path,label,channel\na.wav,yes,2\n")) == clip(channel=2)
    for wrong in ("0", "1.5", "left"):
        fault = f"m.csv:2: channel {wrong!r} is not a channel, 1 or more"
        with pytest.raises(DatasetError, match=fault):
            read(root, f"path,label,channel\na.wav,yes,{wrong}\n")


@pytest.mark.parametrize(
    "header",
    [
        "path,label",
        "Path,Label",
        " PATH , LABEL ",
        "#path,label",
        "# path,label",
        "\ufeffpath,label",
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["m.csv", "m.tsv", "m.txt"])
def test_header_and_separator_are_told_by_looking(header, separator, name, root):
    text = f"{header}\na.wav,yes please\n".replace(",", separator)
    assert facts(read(root, text, name)) == clip("yes please")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.json"])
def test_every_encoding_of_unicode(encoding, name, root):
    row = {"path": "a.wav", "label": "né"}
    text = "path;label\r\na.wav;né\r\n" if name == "m.csv" else json.dumps(row, ensure_ascii=False)
    assert facts(read(root, text, name, encoding=encoding)) == clip("né")


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\npath;label\na.wav;yes\n",
        '"path";"label"\n"a.wav";"yes"\n',
        '"path", "label"\n"a.wav", "yes"\n',
        ' "path" ; "label" \n"a.wav" ; "yes" \n',
        'path,label\na.wav,"""yes"""\n',
        "\n\npath,label\n\na.wav,yes\n,\n",
        "# by ann\n# v2\npath,label\na.wav,yes\n",
        "path,label,,\na.wav,yes,,\n",
        ",path,label\n0,a.wav,yes\n",
        "path,label\ra.wav,yes\r",
        '"path;x",label\na.wav,yes\n'.replace("path;x", "path"),
    ],
)
def test_what_spreadsheets_add(text, root):
    assert facts(read(root, text)) == clip()


def test_quotes_in_a_tab_separated_list_may_be_spoken_ones(root):
    text = 'path\tword\tsentence\na.wav\tyes\t"Yes, he said\nb.wav\tno\tNo" she said\n'
    assert [e.label for e in read(root, text, "m.tsv").examples] == ["yes", "no"]


def test_a_quote_that_is_not_closed_is_no_part_of_a_label(root):
    text = 'path\tlabel\na.wav\tno\nb.wav\t"yes\na.wav\tno\n'
    assert [e.label for e in read(root, text, "m.tsv").examples] == ["no", "yes", "no"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("path,label\na.wav,yes\0\n", ":2: a NUL byte, which no text has; save it as UTF-8"),
        ("\n", ": is empty; write a line that names the columns: path,label"),
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 1\n",
            ": a Git LFS pointer, not the list; fetch it with git lfs pull",
        ),
        ("PK\x03\x04\0", ": an Excel workbook or ZIP archive; save the sheet as CSV"),
        (
            'path,label\na.wav,yes\n"b.wav,no\na.wav,yes\nb.wav,no\n',
            ":3: a quote in this line is not closed; close it",
        ),
    ],
)
def test_what_is_no_table_is_told(text, fault, root):
    with pytest.raises(DatasetError) as raised:
        read(root, text)
    assert str(raised.value) == f"{root / 'm.csv'}{fault}"


def test_names_of_columns_that_come_again_are_no_clip(root):
    dataset = read(root, "path,label\na.wav,yes\npath,label\nb.wav,no\n")
    assert [e.label for e in dataset.examples] == ["yes", "no"]
    assert dataset.notes == [f"{root / 'm.csv'}:3: names the columns again, which is no clip"]


def test_nan_is_no_label_and_no_speaker(root):
    dataset = read(root, "path,label,speaker\na.wav,yes,NaN\nb.wav,nan,ann\n")
    assert facts(dataset) == clip()
    assert dataset.problems == [
        f"{root / 'm.csv'}:3: label is nan, which stands for no value; name the word"
    ]


def test_labels_are_stripped_and_in_one_unicode_form(root):
    text = "path,label\na.wav,ne\u0301\nb.wav,n\u00e9 \na.wav, n\u00e9\n"
    assert {e.label for e in read(root, text).examples} == {"n\u00e9"}


@pytest.mark.parametrize(
    "text",
    [
        '[{"path": "a.wav", "label": "yes"}]',
        '{"path": "a.wav",\n "label": "yes"}\n'.replace("\n", ""),
        '[\n  {"path": "a.wav",\n   "label": "yes"}\n]\n',
        '{"id": {"path": "a.wav", "label": "yes"}}',
        '{\n "id": {"path": "a.wav",\n "label": "yes"}}',
        '{"a.wav": "yes"}',
        '{"version": 1,\n "clips": [{"path": "a.wav", "label": "yes"}]}',
        '{"audio": {"path": "a.wav", "bytes": null}, "label": "yes"}',
    ],
)
def test_every_form_of_json(text, root):
    assert facts(read(root, text, "m.json")) == clip()


def test_faults_of_an_array_name_the_entry(root):
    touch(root, "a.wav")
    (root / "m.json").write_text('[{"path": "a.wav", "label": "yes"}, 3]')
    assert message_of([root / "m.json"]) == f"{root / 'm.json'}: entry 2: not a JSON object"
    (root / "m.json").write_text('[{"path": "a.wav", "label": "yes"}, {"path": "b.wav"}]')
    assert message_of([root / "m.json"]) == f"{root / 'm.json'}: entry 2: no label"
    (root / "m.json").write_text('[{"path": "a.wav", "label": ["yes", "no"]}]')
    assert message_of([root / "m.json"]) == (
        f"{root / 'm.json'}: entry 1: label ['yes', 'no'] is not one label"
    )


# Which column it is


@pytest.mark.parametrize(
    ("header", "row", "label"),
    [
        ("target,category", "3,dog", "dog"),
        ("classID,class", "3,dog bark", "dog bark"),
        ("target", "3", "3"),
        ("sentence", "yes", "yes"),
        ("sentence", "turn on", "turn on"),
        ("text,target", "yes,3", "3"),
        ("label,word", ",go", "go"),
        ("text,word", "go there now,go", "go"),
        ("label,label_name", "3,dog", "dog"),
    ],
)
def test_the_better_column_is_the_label(header, row, label, root):
    assert facts(read(root, f"path,{header}\na.wav,{row}\n")) == clip(label)


def test_a_caller_names_columns(root):
    text = "My Path,Word,file,label,who,split\na.wav,yes,x.wav,9,ann,A\n"
    columns = {"path": "My Path", "label": "word", "speaker": "who", "split": ""}
    dataset = read(root, text, columns=columns)
    assert facts(dataset) == clip(speaker="ann")
    assert dataset.notes == [
        f"{root / 'm.csv'}: path is My Path, label is Word, speaker is who; not read: file, label,"
        " split"
    ]


def test_a_text_that_a_caller_names_may_be_long(root):
    text = "path,sentence\na.wav,turn on the light\n"
    assert facts(read(root, text, columns={"label": "sentence"})) == clip("turn on the light")


def test_what_is_not_read_is_told(root):
    text = "filename,fold,target,category,take\na.wav,1,3,dog,A\na.wav,2,3,dog,A\n"
    assert read(root, text).notes[:1] == [
        f"{root / 'm.csv'}: path is filename, label is category, split is fold; not read: target,"
        " take"
    ]
    assert read(root, "path,label,comment\na.wav,yes,\n").notes == []
    dataset = read(root, "path,label,start_sample,is_test\na.wav,yes,800,False\n")
    assert dataset.notes == [f"{root / 'm.csv'}: not read: start_sample, is_test"]


def test_a_column_of_splits_is_read_whatever_it_is_called(root):
    dataset = read(root, "path,label,partition\na.wav,yes,train\na.wav,no,\nb.wav,no,dev\n")
    assert [e.split for e in dataset.examples] == ["train", None, "validation"]
    assert dataset.notes == [f"{root / 'm.csv'}: split is partition"]


def test_digits_are_labels_where_a_name_is_no_class_of_its_own(root):
    text = "path,label,category\na.wav,1,digit\nb.wav,2,digit\n"
    assert [e.label for e in read(root, text).examples] == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "columns", "fact"),
    [
        (
            "a,b\n1,2\n",
            None,
            "{}:1: no column of file names and none of labels; it has a, b; name them as"
            " path=NAME,label=NAME",
        ),
        ("path,b\n1,2\n", None, "{}:1: no column of labels; it has path, b; name it as label=NAME"),
        (
            "label,b\n1,2\n",
            None,
            "{}:1: no column of file names; it has label, b; name it as path=NAME",
        ),
        (
            "a.wav,yes\nb.wav,no\n",
            None,
            "{}:1: no column of file names and none of labels; it has a.wav, yes; its first line is"
            " a recording: put a line above it that names the columns: path,label",
        ),
        (
            "path,sentence\na.wav,yes\nb.wav,go to the door\n",
            None,
            "{}:1: no column of labels (sentence holds more than words, as 'go to the door'); it"
            " has path, sentence; name it as label=NAME",
        ),
        (
            "path,label\na.wav,yes\n",
            {"label": "lable"},
            "{}: no column 'lable'; it has path, label",
        ),
        (
            "path,label\na.wav,yes\n",
            {"lable": "label"},
            "'lable' is nothing that a column can be; choose among path, label, speaker, split,"
            " start, end, duration, channel",
        ),
    ],
)
def test_what_cannot_be_read_lists_the_columns(text, columns, fact, root):
    touch(root, "m.csv")
    (root / "m.csv").write_text(text)
    expected = "columns: " + fact.format(root / "m.csv")
    assert message_of([root / "m.csv"], columns) == expected


# Folds


@pytest.mark.parametrize(
    ("folds", "splits", "note"),
    [
        (
            "12345",
            ["train", "train", "train", "validation", "test"],
            "fold 5 tests, 4 validates, the others train",
        ),
        ("01", ["train", "test"], "fold 1 tests, the others train"),
        ("312", ["test", "train", "validation"], "fold 3 tests, 2 validates, the others train"),
        ("11", [None, None], "fold is 1 everywhere, which splits nothing"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "fold", "Fold "])
def test_the_last_fold_tests_and_the_one_before_validates(folds, splits, note, prefix, root):
    rows = "".join(f"a.wav,yes,{prefix}{fold}\n" for fold in folds)
    dataset = read(root, "path,label,fold\n" + rows)
    assert [e.split for e in dataset.examples] == splits
    assert dataset.notes == [f"{root / 'm.csv'}: split is fold", f"{root / 'm.csv'}: {note}"]


def test_ten_folds_are_in_the_order_of_numbers(root):
    rows = "".join(f"a.wav,yes,{fold}\n" for fold in range(1, 11))
    splits = [e.split for e in read(root, "path,label,fold\n" + rows).examples]
    assert splits == ["train"] * 8 + ["validation", "test"]


def test_a_fold_may_name_a_split(root):
    assert facts(read(root, "path,label,fold\na.wav,yes,dev\n")) == clip(split="validation")
