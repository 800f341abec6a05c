"""The page: one file, whole, whatever was predicted."""

import csv
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from common_report import random_predictions

from speechcls.config import FeatureConfig
from speechcls.errors import ConfigError, DatasetError
from speechcls.evaluation.predictions import PREDICTIONS_FILE, load_predictions, save_predictions
from speechcls.report.figures import (
    FIGURES,
    ReportFigure,
    draw_reliability,
    draw_roc,
    expected_spread,
)
from speechcls.report.mistakes import draw_clip
from speechcls.report.page import (
    check_report_folder,
    count_pictures,
    draw_report,
    save_report,
)
from speechcls.report.results import Results
from speechcls.report.summary import worst_pairs
from speechcls.report.tables import TABLES, Table

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Finds what a page refers to, its tables, and tags that are not closed."""

    def __init__(self, html):
        super().__init__()
        self.references, self.open, self.ids, self.images, self.headings = [], [], [], [], []
        self.tables, self.texts = [], []
        self._cell = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.references += [attributes[k] for k in ("src", "href", "action") if k in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag == "img":
            self.images.append(attributes.get("alt"))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if {"td", "th"} & set(self.open[-2:]):
            self.tables[-1][-1][-1] += data


def draw(tmp_path, predictions, windows=None):
    n_drawn = []
    page = save_report(predictions, windows or {}, tmp_path / "out", lambda: n_drawn.append(1))
    assert len(n_drawn) == count_pictures(predictions)
    html = page.read_text(encoding="utf-8")
    parsed = Page(html)
    assert parsed.open == []
    others = [ref for ref in parsed.references if not ref.startswith(("data:", "#"))]
    assert all(ref.startswith("tables/") and (page.parent / ref).is_file() for ref in others)
    assert {ref for ref in others} == {f"tables/{p.name}" for p in page.parent.glob("tables/*.csv")}
    assert {ref[1:] for ref in parsed.references if ref.startswith("#")} <= set(parsed.ids)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert not re.search(r"https?://|url\(|@import|<script|<iframe", html)
    assert all(parsed.images)  # each has a text in its place
    assert parsed.headings[0] == 1
    assert parsed.headings.count(1) == 1
    steps = zip(parsed.headings, parsed.headings[1:], strict=False)
    assert all(b <= a + 1 for a, b in steps)  # no level is left out
    return parsed, page.parent


CASES = {
    "two labels": (("no", "yes"), 60, 5, None),
    "a hundred labels": ([f"word {i}" for i in range(100)], 400, 20, None),
    "a label that does not occur": (("a", "b", "never"), 60, 5, [0, 1]),
    "one label only": (("a", "b"), 40, 5, [0]),
    "one speaker": (("a", "b", "c"), 60, 1, None),
    "no speakers": (("a", "b", "c"), 60, 0, None),
    "one clip": (("a", "b"), 1, 1, None),
    "more labels than a matrix has": ([f"word {i}" for i in range(120)], 400, 20, None),
    "labels that are markup": (("<b>&", "$x$_{", "日本"), 30, 3, None),
}


@pytest.mark.parametrize("case", CASES)
def test_every_case_makes_a_page(case, tmp_path):
    labels, n_clips, n_speakers, spoken = CASES[case]
    predictions = random_predictions(labels, n_clips, n_speakers, spoken)
    page, folder = draw(tmp_path, predictions)
    text = " ".join("".join(page.texts).split())
    n_right = int((predictions.truth == predictions.predicted).sum())
    assert f"{100 * (n_right / n_clips):.1f} % right" in text
    recalls = [
        np.mean(predictions.predicted[predictions.truth == i] == i)
        for i in sorted(set(predictions.truth.tolist()))
    ]
    balanced = f"balanced accuracy, the mean recall of the labels, {100 * np.mean(recalls):.1f} %"
    assert balanced in text
    with (folder / "tables" / "by_label.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == list(labels)
    assert sum(int(row["clips"]) for row in rows) == n_clips
    assert ("does not name the speakers" in text) == (n_speakers == 0)
    assert ("one speaker only" in text) == (n_speakers == 1)
    assert ("100 of 120 labels with the most mistakes" in text) == (len(labels) > 100)
    assert ("No curve" in text) == (len(set(predictions.truth)) == 1)
    for path in (folder / "figures").iterdir():
        start = path.read_bytes()[:8]
        assert (
            start == b"\x89PNG\r\n\x1a\n" if path.suffix == ".png" else start.startswith(b"<?xml")
        )


def test_the_tables_on_the_page_are_those_of_the_predictions(tmp_path):
    predictions = random_predictions(("a", "b", "c"), 90, 6)
    page, folder = draw(tmp_path, predictions)
    [labels] = [t for t in page.tables if t[0] == ["label", "clips", "predictions", *PERCENT]]
    truth, predicted = predictions.truth, predictions.predicted
    of_label = {row[0]: row for row in labels[1:]}
    f1 = [float(row[5].split()[0]) for row in labels[1:]]
    assert f1 == sorted(f1)  # the hardest first
    curves = {curve.label: curve for curve in Results(predictions).curves}
    for i, row in enumerate(of_label[label] for label in "abc"):
        assert row[6] == f"{curves['abc'[i]].area:.4f}"
        hit = ((truth == i) & (predicted == i)).sum()
        assert row[:3] == ["abc"[i], str((truth == i).sum()), str((predicted == i).sum())]
        assert row[3].startswith(f"{100 * hit / (predicted == i).sum():.1f} (")
        assert row[4].startswith(f"{100 * hit / (truth == i).sum():.1f} (")
    [counts] = [t for t in page.tables if t[0][0] == "truth" and sorted(t[0][1:]) == list("abc")]
    order = ["abc".index(label) for label in counts[0][1:]]
    assert [row[0] for row in counts[1:]] == ["abc"[i] for i in order]
    n_clips = [[int(((truth == t) & (predicted == p)).sum()) for p in order] for t in order]
    assert [row[1:] for row in counts[1:]] == [[str(n or "") for n in row] for row in n_clips]
    with (folder / "tables" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["predicted"] for row in rows] == ["abc"[i] for i in predicted]
    sums = [sum(float(row[f"probability_of_{label}"]) for label in "abc") for row in rows]
    assert sums == pytest.approx([1.0] * 90, abs=1e-5)


PERCENT = ["precision %", "recall %", "F1 %", "area under ROC of 1", "equal error rate %"]


def test_mistakes_have_a_picture_and_a_player(tmp_path, tone):
    predictions = random_predictions(("a", "b", "c"), 300, 6)
    mistakes = predictions.mistakes(20)
    assert len(mistakes) > 5
    pcm = (tone(500, 0.3) * 32_767).astype(np.int16)
    page, folder = draw(tmp_path, predictions, dict.fromkeys(mistakes[1:], pcm))
    sounds = [ref for ref in page.references if ref.startswith("data:audio/wav")]
    pairs = [pair.clip for pair in worst_pairs(Results(predictions))]
    # Each mistake once, and those of the worst pairs at the top; the first one's sound is missing.
    assert len(pairs) == 3
    assert len(sounds) == len(mistakes) - 1 + sum(clip in mistakes[1:] for clip in pairs)
    assert "The recording is missing." in page.texts
    assert len(list((folder / "figures").glob("mistake_*.svg"))) == len(mistakes) - 1


def test_a_second_report_leaves_nothing_of_the_first(tmp_path, tone):
    pcm = (tone(500, 0.3) * 32_767).astype(np.int16)
    first = random_predictions(("a", "b", "c"), 300, 6)
    draw(tmp_path, first, dict.fromkeys(first.mistakes(20), pcm))
    (tmp_path / "out" / "mine.txt").write_text("notes")
    _, folder = draw(tmp_path, random_predictions(("a", "b"), 5, 2))
    assert list((folder / "clips").iterdir()) == []
    assert list((folder / "figures").glob("mistake_*")) == []
    assert (folder / "mine.txt").exists()


def test_drawn_again_it_is_the_same(tmp_path, tone):
    predictions = random_predictions(("a", "b", "c"), 50, 3)
    pcm = (tone(500, 0.3) * 32_767).astype(np.int16)
    _, folder = draw(tmp_path, predictions, dict.fromkeys(predictions.mistakes(20), pcm))
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    draw_report(load_predictions(folder / PREDICTIONS_FILE), folder)
    assert (folder / "report.html").read_bytes() == before


def test_a_card_brings_no_link_and_no_markup_of_its_own(tmp_path):
    card = "# Toy\n\n[a](http:x) <script>1</script> ![p](//q/p.png) <x:y>\n\n| a |\n| - |\n| 7 |\n"
    page, _ = draw(tmp_path, random_predictions(("a", "b"), 20, 2, card=card))
    assert [["a"], ["7"]] in page.tables
    assert "Toy" in page.texts
    assert "script" not in page.open


def test_predictions_come_back_as_they_were(tmp_path):
    predictions = random_predictions(("a", "b\udcff"), 40, 3)
    save_predictions(predictions, tmp_path / PREDICTIONS_FILE)
    back = load_predictions(tmp_path / PREDICTIONS_FILE)
    assert (back.labels, back.clips, back.about) == (
        predictions.labels,
        predictions.clips,
        predictions.about,
    )
    assert np.array_equal(back.probabilities, predictions.probabilities)
    assert [path.name for path in tmp_path.iterdir()] == [PREDICTIONS_FILE]


DAMAGE = {
    "newer": ('"format_version": 1', '"format_version": 2', "upgrade"),
    "no JSON": ("{", "(", "damaged"),
    "a label that is not there": ('"label": "a"', '"label": "z"', "unknown label z"),
    "no clips": ('"clips"', '"clops"', "damaged"),
    "features of another kind": ('"kind": "mfcc"', '"kind": "cqt"', "damaged"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_predictions_are_refused(damage, tmp_path):
    old, new, words = DAMAGE[damage]
    save_predictions(random_predictions(("a", "b"), 9, 2), tmp_path / PREDICTIONS_FILE)
    text = (tmp_path / PREDICTIONS_FILE).read_text()
    assert old in text
    (tmp_path / PREDICTIONS_FILE).write_text(text.replace(old, new, 1))
    with pytest.raises(DatasetError, match=words):
        load_predictions(tmp_path / PREDICTIONS_FILE)


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("notes")
    with pytest.raises(ConfigError, match="not part of a report"):
        check_report_folder(tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        check_report_folder(tmp_path / "mine.txt")
    check_report_folder(tmp_path / "new")


def test_the_legend_names_labels_that_begin_with_an_underscore():
    results = Results(random_predictions(("_unknown_", "a", "b"), 60, 0))
    [axes] = draw_roc(results).axes
    names = {text.get_text().strip("\u200b") for text in axes.get_legend().get_texts()}
    assert names == {"_unknown_", "a", "b"}


def test_the_spread_by_chance_of_speakers_with_one_error_rate():
    # One of two clips wrong, all by speakers of one clip: sorted, the wrong ones come first.
    low, high = expected_spread([1] * 200, 100)
    assert (low[0], high[-1]) == (0.0, 1.0)
    # The number of wrong ones is binomial: 100 give or take 14.
    assert (low == 0).sum() == pytest.approx(114, abs=2)
    assert (high == 0).sum() == pytest.approx(86, abs=2)
    low, high = expected_spread([10_000] * 40, 40_000)
    assert low.min() > 0.88 and high.max() < 0.92
    assert (np.diff(low) >= 0).all()


def test_what_others_put_beside_the_pictures_stays(tmp_path):
    _, folder = draw(tmp_path, random_predictions(("a", "b"), 40, 0))
    (folder / "figures" / "mine.png").write_bytes(b"mine")
    (folder / "tables" / "notes.csv").write_bytes(b"mine")
    (folder / "figures" / "roc.png").write_bytes(b"old")
    one = random_predictions(("a", "b"), 1, 0)
    draw_report(one, folder)  # of one clip there is no curve
    assert not (folder / "figures" / "roc.png").exists()
    assert (folder / "figures" / "mine.png").read_bytes() == b"mine"
    assert (folder / "tables" / "notes.csv").read_bytes() == b"mine"


def test_a_new_table_is_written_and_may_be_shown(tmp_path, monkeypatch):
    """Without a change to the page: the template alone decides whether it is on it."""

    def first_clip(results):
        return Table("first", "First", (("path", ""),), [(results.predictions.clips[0].path,)])

    monkeypatch.setattr("speechcls.report.tables.TABLES", (*TABLES, first_clip))
    predictions = random_predictions(("a", "b"), 20, 2)
    _, folder = draw(tmp_path, predictions)
    assert (folder / "tables" / "first.csv").read_text() == f"path\n{predictions.clips[0].path}\n"
    names = {path.stem for path in (folder / "tables").iterdir()}
    assert {"first", "by_label", "predictions", "mistakes", "by_noise"} <= names


def test_a_new_figure_is_drawn_and_removed_where_it_is_not(tmp_path, monkeypatch):
    def draw_few(results):
        return draw_reliability(results) if len(results.predictions.clips) > 5 else None

    ours = ReportFigure("few", draw_few, lambda results: "A few.")
    monkeypatch.setattr("speechcls.report.figures.FIGURES", (*FIGURES, ours))
    _, folder = draw(tmp_path, random_predictions(("a", "b"), 20, 2))
    assert (folder / "figures" / "few.png").exists()
    draw(tmp_path, random_predictions(("a", "b"), 4, 2))
    assert not list((folder / "figures").glob("few.*"))


def test_the_picture_of_a_clip_is_its_waveform_over_its_spectrogram(tone):
    samples = np.concatenate([np.zeros(8_000, np.float32), tone(2_000, 0.5)])
    upper, lower = draw_clip(samples, FeatureConfig()).axes
    [image] = lower.images
    values, (left, right, bottom, top) = image.get_array(), image.get_extent()
    assert (left, right, bottom, top) == (0, 1.0, 0, 8.0)  # seconds and kHz
    loudest = np.unravel_index(values.argmax(), values.shape)
    assert (loudest[0] + 0.5) / len(values) * 8 == pytest.approx(2.0, abs=0.05)
    assert loudest[1] > values.shape[1] / 2
    assert values[:, : values.shape[1] // 3].max() == -80  # silence is at the lower end
    [wave] = upper.collections
    bounds = wave.get_datalim(upper.transData)
    assert (bounds.y0, bounds.y1) == pytest.approx((-0.5, 0.5), abs=0.01)


def test_the_report_needs_no_torch():
    """Drawing a mistake took the features of the network once, and with them torch."""
    script = (
        "import sys; sys.modules['torch'] = None; import numpy as np;"
        " from speechcls.config import FeatureConfig; from speechcls.report.mistakes import"
        " draw_clip; draw_clip(np.ones(16_000, np.float32), FeatureConfig())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
