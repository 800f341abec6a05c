"""Help of a command: panels, and options that --help-all alone shows."""

from typing import Annotated

import typer
from typer.testing import CliRunner

from speechcls.cli.command import Command

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(cls=Command)
def bake(
    cake: Annotated[str, typer.Argument(help="What to bake.", metavar="CAKE")],
    loud: Annotated[bool, typer.Option("--loud", help="Sing.")] = False,
    heat: Annotated[float, typer.Option(help="Of the oven.", rich_help_panel="Oven")] = 180.0,
    eggs: Annotated[int, typer.Option(help="To break.", rich_help_panel="Dough")] = 3,
    fan: Annotated[
        bool, typer.Option("--fan", help="Air it.", rich_help_panel="Oven", hidden=True)
    ] = False,
    salt: Annotated[float, typer.Option(help="In it.", rich_help_panel="Salt", hidden=True)] = 0.5,
) -> None:
    """Bake a cake."""
    typer.echo(f"{cake} {eggs} {fan} {salt}")


plain = typer.Typer(rich_markup_mode=None, add_completion=False)


@plain.command(cls=Command)
def boil(eggs: int = 3) -> None:
    """Boil eggs."""


def lines_of(program: typer.Typer, *arguments: str) -> list[str]:
    result = CliRunner().invoke(program, arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.splitlines()


def headings(lines: list[str]) -> list[str]:
    return [line for line in lines if line.endswith(":") and not line.startswith(" ")]


def test_options_stand_under_their_panels_in_the_order_of_the_command() -> None:
    lines = lines_of(app, "--help")
    assert headings(lines) == ["Arguments:", "Oven:", "Dough:", "Options:"]
    under_oven = lines[lines.index("Oven:") + 1 : lines.index("Dough:")]
    assert under_oven == ["  --heat X    Of the oven.  [default: 180.0]", ""]


def test_the_texts_of_all_panels_are_in_one_column() -> None:
    lines = lines_of(app, "--help")
    texts = ("What to bake", "Of the oven", "To break", "Sing", "Show this")
    assert {line.index(text) for line in lines for text in texts if text in line} == {14}


def test_hidden_options_are_left_out_and_the_last_line_says_how_to_see_them() -> None:
    lines = lines_of(app, "--help")
    assert not any("--fan" in line or "--salt" in line for line in lines)
    assert lines[-2:] == ["", "2 more options: bake --help-all"]


def test_help_all_shows_every_option() -> None:
    lines = lines_of(app, "--help-all")
    assert headings(lines) == ["Arguments:", "Oven:", "Dough:", "Salt:", "Options:"]
    under_oven = lines[lines.index("Oven:") + 1 : lines.index("Dough:")]
    assert [line.split()[0] for line in under_oven if line] == ["--heat", "--fan"]
    assert "more options" not in lines[-1]


def test_hidden_options_work() -> None:
    assert lines_of(app, "lemon", "--fan", "--salt", "2") == ["lemon 3 True 2.0"]


def test_where_nothing_is_hidden_there_is_no_help_all() -> None:
    lines = lines_of(plain, "--help")
    assert not any("more options" in line or "--help-all" in line for line in lines)
    assert CliRunner().invoke(plain, ["--help-all"]).exit_code == 2
