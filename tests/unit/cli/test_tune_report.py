"""What is printed of a search."""

from pathlib import Path

from speechcls.cli.messages import Messages
from speechcls.cli.tune_report import describe_luck, report_search
from speechcls.config import DataConfig
from speechcls.evaluation.significance import Pair
from speechcls.experiments.search_result import Importance, SearchResult, TrialRow

DEFAULT = TrialRow(0, "finished", 0.9, 4, 20.0, {"lr": 0.002})
BETTER = TrialRow(1, "finished", 0.95, 4, 21.0, {"lr": 0.001})
PRUNED = TrialRow(2, "pruned", 0.5, 1, 5.0, {"lr": 0.01})
FAILED = TrialRow(3, "failed", None, 0, 1.0, {"lr": 0.004}, "cpu: out of memory")


def result(best=BETTER, p=0.001, low=0.01, default=DEFAULT):
    pair = Pair("default", "best", 0.05, low, 0.09, 1, 12, "mcnemar", p, min(1.0, 3 * p))
    return SearchResult(
        (default, BETTER, PRUNED, FAILED),
        best,
        default,
        pair if best is BETTER and default is DEFAULT else None,
        3,
        (Importance("lr", 1.0, 4),),
        Path("out/model"),
        Path("out/train.toml"),
    )


def test_a_gain_within_luck_is_said_with_its_numbers():
    assert describe_luck(result()) == ""
    assert describe_luck(result(p=0.03)) == (
        "the gain over the default settings may be luck: accuracy +5.0 % (95 % interval +1.0 to"
        " +9.0), McNemar's exact test p = 0.03, and 0.09 corrected for the choice among 3 trials"
    )
    assert describe_luck(result(low=-0.01)).startswith("the gain over the default settings may be")


def test_there_may_be_no_gain_to_judge():
    assert describe_luck(result(best=DEFAULT)).startswith("no trial did better than the default")
    failed = TrialRow(0, "failed", None, 0, 1.0, {}, "out of memory")
    assert describe_luck(result(default=failed)) == (
        "the trial with the default settings is failed: it is not known what was gained"
    )


def test_the_score_is_called_biased_and_every_trial_is_a_row(capsys):
    report_search(result(), [Path("data")], DataConfig(), False, Messages())
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == "trials   4: 2 finished, 1 pruned, 1 failed"
    assert lines[1] == (
        "best     trial 1: balanced accuracy 95.0 % on the validation clips;"
        " 90.0 % with the default settings"
    )
    assert lines[2].startswith("caveat   optimistically biased: the best of 4 trials was chosen by")
    assert lines[3].startswith("gain     is significant: accuracy +5.0 %")
    assert [line.split()[:3] for line in lines[6:10]] == [
        ["0", "finished", "90.0"],
        ["1", "finished", "95.0"],
        ["2", "pruned", "50.0"],
        ["3", "failed", "-"],
    ]
    assert lines[9].endswith("lr=0.004  cpu: out of memory")
    assert lines[-1].split() == ["lr", "1.00", "4"]
    assert "speechcls evaluate data --model out/model" in printed.err
    assert "speechcls train data --config out/train.toml" in printed.err
