"""The numbers of a report, worked out by hand and by other libraries."""

import csv
import io

import numpy as np
import pytest
from common_report import make_predictions, random_predictions
from sklearn.metrics import roc_auc_score

from speechcls.audio.level import level_db, snr_db
from speechcls.audio.samples import unpad
from speechcls.evaluation.metrics import (
    expected_calibration_error,
    reliability_bins,
    wilson_interval,
)
from speechcls.report.figures import draw_reliability
from speechcls.report.results import Results
from speechcls.report.tables import (
    Ratio,
    Table,
    by_label,
    by_measure,
    by_speaker,
    confused_pairs,
    confusion_counts,
    confusion_normalised,
    data_summary,
    format_cell,
    make_tables,
    mistake_table,
    reliability,
    worst_speakers,
)

#          right      right      right      as b       right      as a       as a
TRUTH = [0, 0, 0, 0, 1, 1, 2]
ROWS = [
    [0.8, 0.1, 0.1, 0.0],
    [0.6, 0.2, 0.2, 0.0],
    [0.7, 0.2, 0.1, 0.0],
    [0.3, 0.6, 0.1, 0.0],
    [0.1, 0.9, 0.0, 0.0],
    [0.95, 0.05, 0.0, 0.0],
    [0.5, 0.1, 0.4, 0.0],
]
SPEAKERS = ["ann", "ann", "ann", "bob", "bob", "bob", ""]
SMALL = Results(make_predictions(("a", "b", "c", "never"), TRUTH, ROWS, SPEAKERS))


def test_labels():
    a, b, c, never = by_label(SMALL).rows
    assert a[:3] == ("a", 4, 5)
    assert [ratio.value for ratio in a[3:]] == pytest.approx([3 / 5, 3 / 4, 2 / 3])
    assert a[3][1:] == pytest.approx(wilson_interval(3, 5))
    assert a[4][1:] == pytest.approx(wilson_interval(3, 4))
    jaccard = np.array(wilson_interval(3, 6))  # four have it, five are predicted so, three are both
    assert a[5][1:] == pytest.approx(2 * jaccard / (1 + jaccard))
    assert [ratio.value for ratio in b[3:]] == pytest.approx([1 / 2, 1 / 2, 1 / 2])
    assert c[:3] == ("c", 1, 0)
    assert np.isnan(c[3].value)  # never predicted: no precision
    assert c[4].value == 0
    assert never[:3] == ("never", 0, 0)
    assert np.isnan([ratio.value for ratio in never[3:]]).all()


def test_confusions_most_frequent_first():
    truth = [0] * 4 + [1] * 5
    predicted = [1, 1, 1, 0, 0, 0, 1, 1, 1]
    two = Results(make_predictions(("x", "y"), truth, np.eye(2)[predicted]))
    rows = confused_pairs(two).rows
    assert [row[:3] for row in rows] == [("x", "y", 3), ("y", "x", 2)]
    assert [row[3].value for row in rows] == pytest.approx([3 / 4, 2 / 5])
    assert confusion_counts(two).rows == [("x", 1, 3), ("y", 2, 3)]
    assert confusion_normalised(two).rows == [("x", 0.25, 0.75), ("y", 0.4, 0.6)]


def test_curves_of_labels_that_occur():
    found = {curve.label: curve for curve in SMALL.curves}
    assert list(found) == ["a", "b", "c"]
    for i, label in enumerate("abc"):
        expected = roc_auc_score(np.array(TRUTH) == i, SMALL.predictions.probabilities[:, i])
        assert found[label].area == pytest.approx(expected)
    # c: its one clip has the highest probability of all
    assert (found["c"].area, found["c"].equal_error_rate) == (1, 0)


def test_the_equal_error_is_where_both_errors_are_alike():
    # the label's clips have 0.9 0.7 0.3, the others 0.8 0.2 0.1: at 0.7 one of three either way
    rows = [[p, 1 - p] for p in (0.9, 0.7, 0.3, 0.8, 0.2, 0.1)]
    first, second = Results(make_predictions(("x", "y"), [0, 0, 0, 1, 1, 1], rows)).curves
    assert first.equal_error_rate == pytest.approx(1 / 3)
    assert second.equal_error_rate == pytest.approx(1 / 3)
    assert first.area == pytest.approx(7 / 9)  # of nine pairs two are the wrong way round


def test_reliability():
    # Right with 0.6, 0.7, 0.8 and 0.9, wrong with 0.5, 0.6 and 0.95, in bins of a fifteenth; in
    # float32 0.6 and 0.8 are above the bound of a bin, so that they belong to the one that
    # starts there.
    rows = reliability(SMALL).rows
    assert [round(15 * row[0], 6) for row in rows] == [7, 9, 10, 12, 13, 14]
    assert [round(15 * row[1], 6) for row in rows] == [8, 10, 11, 13, 14, 15]
    assert [row[2] for row in rows] == [1, 2, 1, 1, 1, 1]
    assert [row[3] for row in rows] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    assert [row[4].value for row in rows] == pytest.approx([0, 0.5, 1, 1, 1, 0])
    expected = (0.5 + abs(1.2 - 1) + 0.3 + 0.2 + 0.1 + 0.95) / 7
    assert SMALL.calibration_error == pytest.approx(expected, abs=1e-6)


def test_the_calibration_error_is_one_number_everywhere():
    """That of calibrate is that of the report, and that of the table of its reliability."""
    predictions = random_predictions("abcdef", 500, 5)
    results = Results(predictions)
    error = expected_calibration_error(predictions.probabilities, predictions.truth)
    assert results.calibration_error == error
    rows = make_tables(results)["reliability"].rows
    of_table = sum(n * abs(mean - right.value) for _, _, n, mean, right in rows) / 500
    assert of_table == pytest.approx(error, abs=1e-12)
    assert error > 0.01
    bars = draw_reliability(results).axes[1].patches
    starts = [bar.get_x() / 100 for bar in bars]
    assert starts == pytest.approx([row[0] for row in rows])
    bins = reliability_bins(predictions.probabilities, predictions.truth)
    assert sum(each.n_clips for each in bins) == 500
    assert sum(each.n_right for each in bins) == results.is_right.sum()


def test_speakers_the_lowest_first():
    bob, ann = by_speaker(SMALL).rows  # who is not known does not count
    assert bob[:3] == ("bob", 3, 2)
    assert bob[3] == pytest.approx((1 / 3, *wilson_interval(1, 3)))
    assert ann[:3] == ("ann", 3, 0)
    assert [row[0] for row in worst_speakers(SMALL).rows] == ["bob"]


def test_the_worst_tenth_holds_no_speaker_without_a_mistake():
    speakers = [f"s{i:02}" for i in range(30)]
    predicted = [1] + [0] * 29
    results = Results(make_predictions(("x", "y"), [0] * 30, np.eye(2)[predicted], speakers))
    assert len(by_speaker(results).rows) == 30
    assert [row[0] for row in worst_speakers(results).rows] == ["s00"]


def test_groups_hold_every_clip_once():
    many = random_predictions("abc", 200, 4)
    results = Results(many)
    table = by_measure(results, "loudness")
    assert sum(row[2] for row in table.rows) == 200
    levels = np.array([clip.level_db for clip in many.clips])
    right = many.truth == many.predicted
    for low, high, n, ratio in table.rows:
        inside = (levels >= low) & (levels <= high)
        assert (n, ratio.value) == (inside.sum(), pytest.approx(right[inside].mean()))
    [only] = by_measure(results, "length").rows  # all last as long
    assert only[:3] == (0.5, 0.5, 200)


def test_mistakes_the_most_confident_first():
    rows = mistake_table(SMALL).rows
    assert [row[0] for row in rows] == ["b/5.wav", "a/3.wav", "c/6.wav"]
    assert rows[0][2:4] == ("b", "a")
    assert rows[0][4:] == pytest.approx((0.95, 0.05))


def test_data():
    a, *_, never = data_summary(SMALL).rows
    assert a[:4] == ("a", 4, 1, 2)
    assert a[4:] == pytest.approx((4 * 0.5 / 60, -21.5))
    assert never[1:5] == (0, 0, 0, 0)


def test_csv_has_columns_for_intervals():
    table = Table("t", "T", (("label", ""), ("right", "%")), [("a,b", Ratio(0.5, 0.25, 0.75))])
    table.rows.append(("c", Ratio(float("nan"), float("nan"), float("nan"))))
    rows = list(csv.reader(io.StringIO(table.csv().decode())))
    assert rows == [
        ["label", "right", "right_low", "right_high"],
        ["a,b", "0.5", "0.25", "0.75"],
        ["c", "", "", ""],
    ]


def test_cells_for_people():
    assert format_cell(Ratio(0.5, 0.25, 0.75), "%") == "50.0 (25.0 – 75.0)"
    assert format_cell(float("nan"), "dB") == "–"
    assert format_cell(0.123, "%") == "12.3"
    assert format_cell(1234, "") == "1,234"


def test_level_of_a_sine(tone):
    assert level_db(tone(400, amplitude=0.5)) == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)))
    assert level_db(np.zeros(100, np.float32)) == -96


def test_signal_to_noise_ratio_of_a_tone_amid_noise(tone, rng):
    samples = 0.01 * rng.standard_normal(16_000, dtype=np.float32)
    assert snr_db(samples, 16_000) == pytest.approx(0, abs=2)
    samples[6_000:10_000] += tone(400, 0.25)
    expected = 20 * np.log10(0.5 / np.sqrt(2) / 0.01)
    assert snr_db(samples, 16_000) == pytest.approx(expected, abs=1.5)
    assert snr_db(samples[:100], 16_000) == 0


def test_unpad_takes_off_what_fit_length_adds():
    from speechcls.audio.samples import fit_length

    for n in (3, 4, 9, 10):
        clip = np.arange(1, n + 1, dtype=np.float32)
        assert unpad(fit_length(clip, 9), n).tolist() == fit_length(clip, min(n, 9)).tolist()
