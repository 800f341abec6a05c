"""What ``tune`` prints: a line for each trial, and at the end what all of them came to."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from speechcls.cli.data_options import data_arguments
from speechcls.cli.messages import Messages
from speechcls.cli.tables import or_dash, print_json, print_table

if TYPE_CHECKING:
    from speechcls.config import DataConfig
    from speechcls.experiments.search import TrialEnd
    from speechcls.experiments.search_result import SearchResult


def describe_choice(choice: Mapping[str, Any]) -> str:
    """Return chosen settings in a line."""
    return " ".join(f"{name}={value}" for name, value in choice.items())


def describe_end(end: "TrialEnd", n_trials: int) -> str:
    """Return what a trial came to in a line."""
    came_to = (
        end.state
        if end.score is None
        else f"balanced accuracy {_per_cent(end.score)} % on the validation clips"
    )
    why = f" ({end.error})" if end.error else ""
    which = ", default settings" if end.index == 0 else ""
    return f"trial {end.index} of {n_trials}{which}: {came_to}{why}"


def report_search(
    result: "SearchResult",
    data: Sequence[Path],
    reading: "DataConfig",
    as_json: bool,
    messages: Messages,
) -> None:
    """Print the trials, the importance of each setting and the gain, and the next commands."""
    from speechcls.experiments.search_result import UNFINISHED

    if as_json:
        print_json(_as_object(result))
    else:
        _print(result)
    if warning := describe_luck(result):
        messages.warn(warning)
    if n_open := sum(row.state == UNFINISHED for row in result.rows):
        open_ones = "1 trial is" if n_open == 1 else f"{n_open} trials are"
        messages.note(f"{open_ones} unfinished, or run by another process")
    options = data_arguments(reading)
    messages.note(f"saved {result.model} and {result.config}: trial {result.best.trial}")
    messages.next_steps(
        ("evaluate", *data, *options, "--model", result.model),
        ("train", *data, "--config", result.config),
    )


def describe_luck(result: "SearchResult") -> str:
    """Return why the gain over the default settings may be luck; nothing if it is more."""
    pair = result.gain
    if result.best.trial == 0:
        return "no trial did better than the default settings; the model is theirs"
    if pair is None:
        state = result.default.state
        return f"the trial with the default settings is {state}: it is not known what was gained"
    if pair.is_significant:
        return ""
    return f"the gain over the default settings may be luck: {_describe_gain(result)}"


def _describe_gain(result: "SearchResult") -> str:
    pair = result.gain
    assert pair is not None
    interval = f"{100 * pair.low:+.1f} to {100 * pair.high:+.1f}"
    return (
        f"accuracy {100 * pair.difference:+.1f} % (95 % interval {interval}), McNemar's exact test"
        f" p = {pair.p:.3g}, and {pair.p_adjusted:.3g} corrected for the choice among"
        f" {result.n_compared} trials"
    )


def _print(result: "SearchResult") -> None:
    counts = Counter(row.state for row in result.rows)
    told = ", ".join(f"{n} {state}" for state, n in counts.items())
    best = result.best
    own, default = (_per_cent(row.balanced_accuracy) for row in (best, result.default))
    typer.echo(f"trials   {len(result.rows)}: {told}")
    typer.echo(
        f"best     trial {best.trial}: balanced accuracy {own} % on the validation clips;"
        f" {default} % with the default settings"
    )
    n_others = result.n_compared
    chosen = f"the best of {n_others + 1} trials" if n_others else "the best epoch"
    typer.echo(f"caveat   optimistically biased: {chosen} was chosen by the clips that score it")
    if pair := result.gain:
        verdict = "is significant" if pair.is_significant else "may be luck"
        typer.echo(f"gain     {verdict}: {_describe_gain(result)}")
    typer.echo("")
    print_table(
        ("trial", "state", "balanced %", "epochs", "seconds", "settings", "note"),
        (
            (
                str(row.trial),
                row.state,
                _per_cent(row.balanced_accuracy),
                str(row.n_epochs),
                or_dash(row.duration_s, ".0f"),
                describe_choice(row.choice),
                row.note,
            )
            for row in result.rows
        ),
        text=("state", "settings", "note"),
    )
    if result.importance:
        typer.echo("")
        print_table(
            ("setting", "importance", "trials"),
            ((each.setting, f"{each.ratio:.2f}", str(each.n_trials)) for each in result.importance),
            text=("setting",),
        )


def _per_cent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{100 * ratio:.1f}"


def _as_object(result: "SearchResult") -> dict[str, Any]:
    gain = result.gain and dataclasses.asdict(result.gain) | {
        "n_compared": result.n_compared,
        "is_significant": result.gain.is_significant,
    }
    return {
        "trials": [dataclasses.asdict(row) for row in result.rows],
        "best": result.best.trial,
        "balanced_accuracy": result.best.balanced_accuracy,
        "default_balanced_accuracy": result.default.balanced_accuracy,
        "is_biased": True,
        "gain": gain,
        "importance": [dataclasses.asdict(each) for each in result.importance],
        "model": str(result.model),
        "config": str(result.config),
    }
