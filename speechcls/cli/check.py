"""``speechcls check``."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from speechcls.cli.common import FAILED, refuse, reports_errors
from speechcls.cli.data_options import DataOptions, describe_long_takes, with_data_options
from speechcls.cli.messages import Messages
from speechcls.cli.options import (
    MODEL,
    OUTPUT,
    AsJson,
    DataSources,
    Jobs,
    Quiet,
    Raw,
    Verbose,
    as_path,
    option,
)
from speechcls.cli.outputs import check_file_place, files_first
from speechcls.cli.progress import item_bar
from speechcls.cli.tables import print_json, print_table
from speechcls.storage.places import name_of
from speechcls.text import counted, shell_line

if TYPE_CHECKING:
    from speechcls.data_quality.findings import CheckResult
    from speechcls.data_quality.report import Tally

N_LISTED = 20
"""Speakers, and probable label errors, that the terminal shows."""

N_NAMED = 10
"""Clips that cannot be read, which the terminal names."""

_MODEL = option(
    *("--model", "-m"),
    help="Also find label errors, with this model; best one that was not trained on DATA."
    " [default: do not]",
    panel=MODEL,
    metavar="MODEL",
    show_default=False,
    parser=as_path,
)
_MAX_BAD = option(
    "--max-bad", min=0.0, max=1.0, help="End with exit code 1 above this ratio of bad clips."
)
_FINDINGS = option(
    "--findings", help="Write a CSV with a row per finding.", panel=OUTPUT, metavar="FILE"
)
_HTML = option(
    "--html", help="Write a page that plays the worst clips.", panel=OUTPUT, metavar="FILE"
)
_FIX_LIST = option(
    "--fix-list",
    help="Write a manifest (.csv, .tsv or .jsonl) for train without bad clips and copies;"
    " recordings are never touched.",
    panel=OUTPUT,
    metavar="FILE",
)


class _OutputFiles(NamedTuple):
    """Files to write; None: not this one."""

    findings: Path | None
    html: Path | None
    fix_list: Path | None
    raw: bool
    """Whether text in CSV is as it is."""


@reports_errors
@with_data_options
def check(
    ctx: typer.Context,
    data: DataSources,
    reading: DataOptions,
    model: Annotated[Path | None, _MODEL] = None,
    max_bad: Annotated[float, _MAX_BAD] = 0.05,
    as_json: AsJson = False,
    findings: Annotated[Path | None, _FINDINGS] = None,
    html: Annotated[Path | None, _HTML] = None,
    fix_list: Annotated[Path | None, _FIX_LIST] = None,
    raw: Raw = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Report what is wrong with recordings before training on them.

    Finds clips that are unreadable, empty, too short, silent or clipped; copies of one recording,
    also at another level or in another format, under two labels or in two splits; speakers in two
    splits; and, with --model, probable label errors. Warns of words that are cut off, DC offset,
    uncommon sample rates and imbalance.

    The exit code is 1 where the data is not fit for training: train would refuse it, one recording
    or one speaker is in two splits, more than --max-bad of the clips are bad (unreadable, empty,
    short, silent, clipped, under two labels, or probably labelled wrongly), or more than 1 % cannot
    be read.

    Example: speechcls check data/ --fix-list good.csv
    """
    from speechcls.data_quality.check import check as check_data
    from speechcls.layouts.manifest import manifest_suffix

    messages = Messages(quiet, verbose)
    if fix_list:
        manifest_suffix(fix_list)  # refuses any other ending
    if not (findings or fix_list):
        refuse(ctx, ["raw"], "without --findings or --fix-list")
    files = _OutputFiles(findings, html, fix_list, raw)
    for path in filter(None, (findings, html, fix_list)):
        check_file_place(path)
    dataset = reading.load(data, messages, jobs)
    classifier = None
    if model:
        from speechcls.runtime.classifier import Classifier

        classifier = Classifier.load(model, jobs)
    with item_bar(messages, "checking", len(dataset.examples)) as on_clip:
        result = check_data(dataset, classifier, jobs, on_clip)
    messages.errors(dataset.problems + result.bad_noise)
    source = " ".join(map(name_of, data))
    with files_first(lambda: _show(result, source, max_bad, as_json, messages)):
        _write_files(result, data, max_bad, files, messages)
    if reasons := result.blocking_issues(max_bad):
        messages.errors(reasons)
        raise typer.Exit(FAILED)
    words = (fix_list,) if fix_list else (*data, *reading.as_arguments())
    messages.next_steps(("train", *words), in_scripts=False)


def _show(
    result: "CheckResult", data: str, max_bad: float, as_json: bool, messages: Messages
) -> None:
    """Print the result on stdout."""
    from speechcls.data_quality.report import to_dict

    if as_json:
        print_json({"data": data} | to_dict(result, max_bad))
        return
    _print_summary(result)
    _print_tallies(result)
    _print_label_errors(result)
    _name_unreadable(result, messages)
    if result.long_takes:
        messages.warn(describe_long_takes(result.long_takes))
    for note in result.notes:
        messages.warn(note)


def _name_unreadable(result: "CheckResult", messages: Messages) -> None:
    """Print what cannot be read and why, and what was mended in reading; the first of each."""
    unreadable = result.of_kind("unreadable") + result.of_kind("empty")
    messages.errors([finding.detail for finding in unreadable[:N_NAMED]])
    if len(unreadable) > N_NAMED:
        messages.error(f"and {len(unreadable) - N_NAMED} more; --findings FILE lists all of them")
    mended = Counter(finding.detail for finding in result.of_kind("mended"))
    for note, n_clips in mended.items():
        messages.warn(f"{n_clips} clip{'s' * (n_clips != 1)}: {note}")


def _write_files(
    result: "CheckResult",
    data: Sequence[Path],
    max_bad: float,
    files: _OutputFiles,
    messages: Messages,
) -> None:
    """Write findings, page and manifest, those that are asked for."""
    from speechcls.data_quality.report import write_findings, write_fix_list, write_html

    if files.findings:
        write_findings(result, files.findings, files.raw)
    if files.html:
        names = list(map(name_of, data))
        write_html(result, files.html, " ".join(names), max_bad, shell_line(*names))
    if files.fix_list:
        n_clips = write_fix_list(result, files.fix_list, files.raw)
        messages.note(f"{files.fix_list}: {n_clips} of {len(result.dataset.examples)} clips")


def _print_summary(result: "CheckResult") -> None:
    """Print totals, and how often each kind of finding was made."""
    from speechcls.data_quality.findings import KINDS, LEFT_OUT, effect_of
    from speechcls.data_quality.report import formats, tally

    n_clips = len(result.dataset.examples)
    n_labels, n_speakers = len(tally(result, "label")), len(tally(result, "speaker"))
    hours = sum(one.duration_s for one in result.levels if one) / 3_600
    speakers = counted(n_speakers, "speaker") if n_speakers else "unknown speakers"
    typer.echo(
        f"clips     {n_clips} of {counted(n_labels, 'label')} by {speakers}, {hours:.2f} hours"
    )
    typer.echo(f"formats   {'; '.join(f'{n} x {name}' for name, n in formats(result).items())}")
    n_left_out = len(result.clips_with(LEFT_OUT))
    left_out = ", which --fix-list FILE leaves out" if n_left_out else ""
    typer.echo(f"bad       {n_left_out} of them{left_out}\n")
    rows = [
        (
            kind,
            str(n),
            f"{100 * n / n_clips:.2f}",
            effect_of(kind),
            meaning,
        )
        for kind, meaning in KINDS.items()
        if (n := len(result.of_kind(kind)))
    ]
    if rows:
        headings = ("finding", "clips", "per cent", "effect", "what it is")
        print_table(headings, rows, text=("finding", "effect", "what it is"))
    else:
        typer.echo("nothing is wrong with them")
    typer.echo()


def _print_tallies(result: "CheckResult") -> None:
    """Print the clips by label, and by the speakers who have most."""
    from speechcls.data_quality.report import tally

    speakers = list(tally(result, "speaker").items())[:N_LISTED]
    _print_tally("label", tally(result, "label"), "speakers")
    _print_tally("speaker", dict(speakers), "labels")


def _print_tally(heading: str, tallies: "dict[str, Tally]", others: str) -> None:
    if not tallies:
        return
    print_table(
        (heading, "clips", "minutes", others, "left out"),
        (
            (
                name,
                str(one.n_clips),
                f"{one.duration_s / 60:.1f}",
                str(one.n_others),
                str(one.n_left_out),
            )
            for name, one in tallies.items()
        ),
        text=(heading,),
    )
    typer.echo()


def _print_label_errors(result: "CheckResult") -> None:
    examples = result.dataset.examples
    print_table(
        ("probable label error", "margin", "label", "likely label"),
        (
            (
                result.dataset.relative_name(examples[finding.clip].path),
                f"{finding.value:.2f}",
                examples[finding.clip].label,
                finding.likely or "",
            )
            for finding in result.of_kind("doubtful")[:N_LISTED]
        ),
        text=("probable label error", "label", "likely label"),
    )
