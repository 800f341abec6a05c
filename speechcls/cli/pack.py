"""``speechcls pack``."""

from pathlib import Path
from typing import Annotated

import typer

from speechcls.cli.common import FAILED, reports_errors
from speechcls.cli.data_options import DataOptions, with_data_options
from speechcls.cli.messages import Messages
from speechcls.cli.options import OUTPUT, DataSources, Jobs, Quiet, Verbose, option, out_option
from speechcls.cli.outputs import check_folder_place
from speechcls.cli.progress import item_bar
from speechcls.cli.tables import print_line
from speechcls.config import ShardSettings

DEFAULTS = ShardSettings()
_FORM = option(
    "--shards",
    help="parquet (as the Hugging Face Hub has it) or tar (of WebDataset).",
    panel=OUTPUT,
    metavar="FORM",
)
_SHARD_MB = option("--shard-size", help="Size of a shard.", panel=OUTPUT, metavar="MB")


@reports_errors
@with_data_options
def pack(
    ctx: typer.Context,
    data: DataSources,
    reading: DataOptions,
    out: Annotated[Path, out_option("Folder to write, which is new.", "DIR")],
    form: Annotated[str, _FORM] = DEFAULTS.form,
    shard_mb: Annotated[float, _SHARD_MB] = DEFAULTS.shard_mb,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a data set as a few large files, for clusters, object stores and the Hub.

    Every command reads them as it reads DATA, with the same clips, labels, speakers and splits.
    Recordings are written as they are; parts of recordings, as of a manifest with start and end,
    become clips of their own without loss. Clips that cannot be read are reported on stderr and
    left out, and the exit code is 1. Prints the path of each shard.

    Example: speechcls pack data/ --shards tar --out shards/
    """
    from speechcls.shards.write import write_shards

    messages = Messages(quiet, verbose)
    settings = ShardSettings(form, shard_mb)
    check_folder_place(out)
    dataset = reading.load(data, messages, jobs)
    n_clips = len(dataset.examples) + len(dataset.noise)
    with item_bar(messages, "packing", n_clips) as on_clip:
        written = write_shards(dataset, out, settings, jobs, on_clip)
    messages.errors(dataset.problems + written.bad)
    for name in written.shards:
        print_line(out / name)
    messages.note(
        f"{out}: {written.n_clips} clips, {written.n_bytes / 1e6:,.1f} MB in"
        f" {len(written.shards)} shards"
    )
    messages.next_steps(("train", out))
    if dataset.problems or written.bad:
        raise typer.Exit(FAILED)
