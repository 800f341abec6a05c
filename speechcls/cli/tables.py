"""Lines and tables on stdout, as wide as their longest name: a pipe has no width to fit into."""

import sys
from collections.abc import Collection, Iterable, Sequence

import typer

from speechcls.storage.places import shown
from speechcls.text import escape, json_text, printable, shorten

_LONGEST = 500
"""Characters of a cell before its middle is left out."""


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], text: Collection[str]
) -> None:
    """Print rows under headings; nothing where there is no row.

    Parameters
    ----------
    text : headings of columns of words, flush left; all others are numbers, flush right
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in text else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(shorten(printable(shown(cell)), _LONGEST) for cell in row))
    if not table.row_count:
        return
    console = Console(file=sys.stdout, width=10_000, markup=False, highlight=False, emoji=False)
    for line in console.render_lines(table, pad=False):
        typer.echo("".join(segment.text for segment in line).rstrip())


def print_line(*cells: object) -> None:
    """Print cells as one line with tabs between them, whatever they hold."""
    typer.echo("\t".join(escape(shown(str(cell))) for cell in cells))


def print_json(content: object) -> None:
    """Print content as one line of JSON."""
    typer.echo(shown(json_text(content)))


def or_dash(value: float | None, form: str) -> str:
    """Return a number in a format, or a dash where it is not known."""
    return "-" if value is None else format(value, form)
