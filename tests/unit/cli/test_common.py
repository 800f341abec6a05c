"""Errors of the library in the words of the command line, and options without effect."""

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from speechcls.cli.common import given, option_of, refuse, reports_errors
from speechcls.cli.options import name_of, split_names
from speechcls.errors import ConfigError, DatasetError

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
@reports_errors
def brew(
    ctx: typer.Context,
    beans: Annotated[str, typer.Argument(metavar="[BEANS...]")],
    heat_s: Annotated[float, typer.Option("--heat", "-t")] = 1.0,
    is_milky: Annotated[bool, typer.Option("--milk/--no-milk")] = False,
    n_cups: Annotated[int, typer.Option()] = 1,
    fault: Annotated[str | None, typer.Option()] = None,
) -> None:
    typer.echo(" ".join(sorted(given(ctx))))
    if not is_milky:
        refuse(ctx, ["heat_s", "n_cups"], "without --milk")
    if fault:
        raise (DatasetError if fault == "data" else ConfigError)("is wrong", field=fault)


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("beans", "BEANS"),
        ("heat_s", "--heat"),
        ("is_milky", "--milk"),
        ("n_cups", "--n-cups"),
        ("sugar", "sugar"),
    ],
)
def test_a_field_is_called_by_its_option(field: str, option: str) -> None:
    assert option_of(brew, field) == option


@pytest.mark.parametrize(
    ("field", "code", "said"), [("heat_s", 2, "--heat: is wrong"), ("data", 1, "data: is wrong")]
)
def test_an_error_of_a_field_is_told_by_its_option(field: str, code: int, said: str) -> None:
    result = CliRunner().invoke(app, ["mocha", "--fault", field])
    assert (result.exit_code, result.stderr) == (code, f"speechcls: error: {said}\n")


def test_given_are_those_of_the_command_line() -> None:
    result = CliRunner().invoke(app, ["mocha", "--milk", "-t", "1.0"])
    assert result.stdout == "beans heat_s is_milky\n"


@pytest.mark.parametrize(
    ("arguments", "option"), [(["--heat", "1.0"], "--heat"), (["--n-cups", "1"], "--n-cups")]
)
def test_what_has_no_effect_is_refused_even_with_its_default(
    arguments: list[str], option: str
) -> None:
    result = CliRunner().invoke(app, ["mocha", *arguments])
    assert result.exit_code == 2
    assert f"{option}: has no effect without --milk" in result.stderr


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("hidden_size", ("--hidden-size", None)),
        ("running_s", ("--running", "SECONDS")),
        ("snr_low_db", ("--snr-low", "DB")),
        ("seeds", ("--seeds", None)),
    ],
)
def test_an_option_is_called_as_its_field_without_the_unit(
    field: str, option: tuple[str, str | None]
) -> None:
    assert name_of(field) == option


def test_names_are_split_at_commas_each_once() -> None:
    assert split_names("labels", " yes,no,,yes ") == ["yes", "no"]
    assert split_names("labels", None) == []
    with pytest.raises(ConfigError, match=r"^labels: ' ,' names nothing"):
        split_names("labels", " ,")
