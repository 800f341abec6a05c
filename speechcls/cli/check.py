"""``speechcls check``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import FAILED, check_file_place, files_first, reports_errors
from speechcls.cli.messages import Messages, report_bad
from speechcls.cli.options import AsJson, Jobs, Noise, Pattern, Quiet, Verbose
from speechcls.cli.progress import counting
from speechcls.cli.tables import print_table

if TYPE_CHECKING:
    from speechcls.data_quality.findings import Checkup

N_LISTED = 20
"""Doubtful clips, and speakers, that the terminal shows."""


@reports_errors
def check(
    data: Annotated[
        Path, typer.Argument(help="Folder of recordings, or a manifest.", metavar="DATA")
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            "-m",
            help="Also doubt labels, by this model; best one that has not learnt from DATA."
            " [default: doubt none]",
            show_default=False,
        ),
    ] = None,
    pattern: Pattern = None,
    noise: Noise = None,
    max_bad: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of bad clips that ends with exit code 1.")
    ] = 0.05,
    as_json: AsJson = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write a row a finding.", metavar="FILE")
    ] = None,
    html_file: Annotated[
        Path | None,
        typer.Option("--html", help="Write a page that plays the worst clips.", metavar="FILE"),
    ] = None,
    fix_list: Annotated[
        Path | None,
        typer.Option(
            help="Write a manifest (.csv, .tsv or .jsonl) for train without the bad clips and"
            " copies; recordings are never touched.",
            metavar="FILE",
        ),
    ] = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say what is wrong with recordings before anything is trained on them.

    Finds clips that are unreadable, empty, too short, silent or clipped; the same sound twice, also
    at another level or in another format, under two labels or in two splits; speakers in two
    splits; and, with --model, labels that are probably wrong. Warns of words that are cut off, DC
    offset, odd sample rates and imbalance.

    Ends with exit code 1 where a training would be spoiled: train would refuse it, one sound or one
    speaker stands in two splits, more than --max-bad of the clips are bad (unreadable, empty,
    short, silent, clipped, under two labels, or doubtful), or more than 1 % cannot be read.

    Example: speechcls check data/ --fix-list good.csv
    """
    from speechcls.data.layouts import find_examples
    from speechcls.data.manifest import check_manifest_name
    from speechcls.data_quality import report as checkreport
    from speechcls.data_quality.check import check as check_data

    messages = Messages(quiet, verbose)
    if fix_list:
        check_manifest_name(fix_list)
    for place in (csv_file, html_file, fix_list):
        if place:
            check_file_place(place)
    dataset = find_examples(data, pattern, noise)
    classifier = None
    if model:
        from speechcls.runtime.classifier import Classifier

        classifier = Classifier.load(model, jobs)
    with counting(messages, "checking", len(dataset.examples)) as on_clip:
        checkup = check_data(dataset, classifier, jobs, on_clip)
    report_bad(messages, dataset.problems + checkup.bad_noise)

    def show() -> None:
        if as_json:
            typer.echo(json.dumps({"data": str(data)} | checkreport.to_dict(checkup, max_bad)))
            return
        _print_checkup(checkup)
        for note in checkup.notes:
            messages.warn(note)

    with files_first(show):
        if csv_file:
            checkreport.write_csv(checkup, csv_file)
        if html_file:
            checkreport.write_html(checkup, html_file, str(data), max_bad)
        if fix_list:
            n_clips = checkreport.write_fix_list(checkup, fix_list)
            messages.note(f"{fix_list}: {n_clips} of {len(dataset.examples)} clips")
    if reasons := checkup.blocking_issues(max_bad):
        for reason in reasons:
            messages.error(reason)
        raise typer.Exit(FAILED)


def _print_checkup(checkup: "Checkup") -> None:
    """Print what was found for people."""
    from speechcls.data_quality.findings import BAD, KINDS, LEAKS, LEFT_OUT
    from speechcls.data_quality.report import formats, tally

    examples = checkup.dataset.examples
    labels, speakers = tally(checkup, "label"), tally(checkup, "speaker")
    hours = sum(one.duration_s for one in checkup.levels if one) / 3_600
    typer.echo(
        f"clips     {len(examples)} of {len(labels)} labels by {len(speakers)} speakers,"
        f" {hours:.2f} hours"
    )
    typer.echo(f"formats   {'; '.join(f'{n} x {name}' for name, n in formats(checkup).items())}")
    n_left_out = len(checkup.clips_with(LEFT_OUT))
    typer.echo(f"bad       {n_left_out} of them, which --fix-list FILE leaves out\n")
    print_table(
        ("finding", "clips", "per cent", "so", "what it is"),
        (
            (
                kind,
                str(n),
                f"{100 * n / len(examples):.2f}",
                "spoils" if kind in LEAKS else "bad" if kind in BAD else "look",
                meaning,
            )
            for kind, meaning in KINDS.items()
            if (n := len(checkup.of_kind(kind)))
        ),
        text=("finding", "so", "what it is"),
    )
    typer.echo()
    for heading, of, others in (
        ("label", labels, "speakers"),
        ("speaker", dict(list(speakers.items())[:N_LISTED]), "labels"),
    ):
        if of:
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
                    for name, one in of.items()
                ),
                text=(heading,),
            )
            typer.echo()
    if doubts := checkup.of_kind("doubtful"):
        print_table(
            ("most doubted", "margin", "label", "likely"),
            (
                (
                    checkup.dataset.name_of(examples[doubt.clip].path),
                    f"{doubt.value:.2f}",
                    examples[doubt.clip].label,
                    doubt.likely or "",
                )
                for doubt in doubts[:N_LISTED]
            ),
            text=("most doubted", "label", "likely"),
        )
