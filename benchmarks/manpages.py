"""Man pages of the program and of each command, from the objects that print the help.

``make docs`` writes them to ``build/man/man1``; ``man -M build/man speechcls-train`` shows one.
"""

import re
import sys
from pathlib import Path

from command_help import COMMANDS, GROUPS, PROGRAM, TOPICS, Help, describe

import speechcls

SECTION = 1
ABOUT = "train, evaluate and run a speech-command recogniser"


def roff(text: str) -> str:
    """Return text that roff takes for nothing but text."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return re.sub(r"^\.", "\\&.", escaped, flags=re.MULTILINE)


def _head(name: str, summary: str) -> list[str]:
    version = f"{PROGRAM} {speechcls.__version__}"
    title = f'.TH "{roff(name.upper())}" {SECTION} "" "{version}" "{PROGRAM}"'
    return [title, ".SH NAME", f"{roff(name)} \\- {roff(summary.rstrip('.'))}"]


def command_page(told: Help) -> str:
    """Return the man page of a command."""
    lines = _head(f"{PROGRAM}-{told.name}", told.summary)
    lines += [".SH SYNOPSIS", f".B {roff(told.usage)}", ".SH DESCRIPTION", roff(told.summary)]
    for paragraph in told.paragraphs:
        lines += [".PP", roff(paragraph)]
    for panel, parameters in told.panels.items():
        lines += [f".SH {roff(panel.upper())}"]
        for parameter in parameters:
            lines += [".TP", f".B {roff(parameter.names)}", roff(parameter.text)]
    lines += [".SH EXAMPLE", ".EX", roff(told.example), ".EE"]
    lines += [".SH SEE ALSO", f".BR {PROGRAM} ({SECTION})"]
    return "\n".join([*lines, ""])


def program_page() -> str:
    """Return the man page of the program, which lists its commands."""
    lines = _head(PROGRAM, ABOUT)
    lines += [".SH SYNOPSIS", f".B {PROGRAM}", ".I COMMAND", "[ARGS]...", ".SH DESCRIPTION"]
    lines += ["Results go to stdout, everything for people to stderr."]
    for group, texts in GROUPS.items():
        lines += [f".SH {roff(group.upper())}"]
        for name, text in texts.items():
            lines += [".TP", f".BR {roff(f'{PROGRAM}-{name}')} ({SECTION})", roff(text)]
    lines += [".SH TOPICS"]
    for name, text in TOPICS.items():
        lines += [".TP", f".B {roff(f'{PROGRAM} help {name}')}", roff(text)]
    return "\n".join([*lines, ""])


def main() -> None:
    """Write all pages below the folder that is named."""
    folder = Path(sys.argv[1]) / f"man{SECTION}"
    folder.mkdir(parents=True, exist_ok=True)
    pages = {PROGRAM: program_page()}
    pages |= {f"{PROGRAM}-{name}": command_page(describe(name)) for name in COMMANDS}
    for name, text in pages.items():
        (folder / f"{name}.{SECTION}").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
