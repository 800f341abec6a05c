"""Pictures of characters, cell by cell."""

import numpy as np
import pytest

from speechcls.render.terminal import (
    SHADES,
    as_blocks,
    as_columns,
    as_shades,
    cell_limits,
    colours_of,
    fit_cells,
    nice_step,
    row_labels,
    standardise,
    time_axis,
)


def test_the_highest_band_is_on_top_and_time_goes_right():
    values = np.array([[0.0, 4.0], [2.0, 8.0]])  # two times of two bands
    np.testing.assert_array_equal(fit_cells(values, 2, 2), [[0.5, 1.0], [0.0, 0.25]])


def test_more_values_than_cells_are_averaged_fewer_are_repeated():
    values = np.array([[0.0], [2.0], [6.0], [8.0]])
    np.testing.assert_array_equal(fit_cells(values, 1, 2), [[0.0, 1.0]])  # of means 1 and 7
    np.testing.assert_array_equal(fit_cells(values[[0, 3]], 2, 4), [[0, 0, 1, 1]] * 2)


def test_equal_values_are_all_lowest():
    np.testing.assert_array_equal(fit_cells(np.full((3, 2), 7.0), 2, 3), np.zeros((2, 3)))


def test_shades_go_from_light_to_dark():
    assert as_shades(np.array([[0.0, 0.55, 1.0], [1.0, 0.09, 0.0]])) == [
        "".join((" ", "+", "@")),
        "@  ",
    ]
    steps = (np.arange(10) + 0.5) / 10
    assert as_shades(steps[None]) == [SHADES]


def test_blocks_hold_two_rows_a_line():
    [line] = as_blocks(np.array([[0.0], [1.0]]))
    assert line.plain == "▀"
    assert [str(span.style) for span in line.spans] == ["rgb(0,0,4) on rgb(252,253,191)"]


def test_colours_grow_lighter():
    lightness = colours_of(np.linspace(0, 1, 50)[None])[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()


def test_standardise_makes_bands_comparable():
    values = np.array([[-300.0, 1.0], [-100.0, 3.0]])
    np.testing.assert_allclose(standardise(values), [[-1, -1], [1, 1]])
    np.testing.assert_array_equal(standardise(np.full((3, 1), 5.0)), np.zeros((3, 1)))


def test_columns_are_drawn_in_eighths_of_a_row():
    # 2 rows are 16 eighths: 0, 8, 12 and 16 of them, each column two characters wide.
    assert as_columns(np.array([0.0, 0.5, 0.75, 1.0]), 2, 8) == ["    ▄▄██", "  ██████"]


def test_what_is_above_nothing_is_seen():
    assert as_columns(np.array([0.001, 0.0]), 1, 2) == ["▁ "]


def test_columns_are_at_most_four_wide_and_shared_where_there_are_too_many():
    assert as_columns(np.array([1.0]), 1, 60) == ["████"]
    assert as_columns(np.array([0.0, 1.0, 1.0, 1.0]), 1, 2) == ["▄█"]


@pytest.mark.parametrize(
    ("span", "most", "step"), [(40, 5, 10), (8, 5, 2), (1.0, 8, 0.2), (0.5, 5, 0.1), (3, 1, 5)]
)
def test_steps_are_one_two_or_five(span, most, step):
    assert nice_step(span, most) == pytest.approx(step)


def test_row_labels_count_from_the_bottom():
    # 40 bands on 20 lines: two a line, so that 10, 20 and 30 are five lines apart.
    labels = row_labels(40, 20)
    assert {19 - i: label.strip() for i, label in enumerate(labels) if label.strip()} == {
        0: "0", 5: "10", 10: "20", 15: "30",
    }  # fmt: skip
    assert set(map(len, labels)) == {2}


def test_seconds_stand_under_their_marks():
    marks, numbers = time_axis(1.0, 40)  # every 0.2 s, eight columns
    assert [i for i, c in enumerate(marks) if c == "+"] == [0, 8, 16, 24, 32]
    assert len(marks) == 40
    assert [numbers.index(text) for text in ("0.2", "0.8")] == [8, 32]
    assert time_axis(0.5, 3) == ("+--", "0")  # hardly any room


def test_the_limits_are_those_of_the_cells():
    values = np.array([[0.0], [2.0], [6.0], [8.0]])
    assert cell_limits(values, 1, 2) == (1.0, 7.0)  # means of two
