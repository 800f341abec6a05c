"""A hook of MkDocs: the pages of the manual that are made of the help and of other files.

A page a command and a topic is written when the manual is built, from the same objects that print
the help; its example is what ``make examples`` recorded. SECURITY.md, CHANGELOG.md and the models'
cards become pages as they are.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
from command_help import COMMANDS, GROUPS, PROGRAM, TOPICS, Help, Parameter, describe, read_topic

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
CARDS = ("commands", "commands-stream", "commands-tiny")
GUIDES = {
    "record": "LISTEN.md#record-your-own-words",
    "synth": "TRAIN.md#no-recordings-yet",
    "check": "CHECK.md",
    "pack": "SCALING.md#shards",
    "cache": "TRAIN.md",
    "train": "TRAIN.md",
    "tune": "SCALING.md#searching-for-settings",
    "archs": "TRAIN.md",
    "predict": "PREDICT.md",
    "detect": "DETECT.md",
    "listen": "LISTEN.md",
    "serve": "SERVING.md",
    "wyoming": "HOME-ASSISTANT.md",
    "review": "MISTAKES.md",
    "calibrate": "EVALUATE.md#detection",
    "export": "EXPORT.md",
    "evaluate": "EVALUATE.md",
    "report": "EVALUATE.md#the-report",
    "compare": "COMPARE.md",
    "bench": "PREDICT.md#how-fast-it-is",
    "mix": "EVALUATE.md#detection",
    "verify": "MODEL.md",
    "explain": "EXPLAIN.md",
    "features": "EXPLAIN.md",
    "push": "MODEL.md#on-the-hugging-face-hub",
    "pull": "MODEL.md#on-the-hugging-face-hub",
}
"""The page of the manual that says more of a command."""


def literal(text: str) -> str:
    """Return text that Markdown takes for nothing but text."""
    return re.sub(r"([\\`*_\[\]<>|{}#])", r"\\\1", text)


def linked(text: str) -> str:
    """Return help as Markdown, with links to the commands and topics that it names."""

    def link(found: re.Match[str]) -> str:
        name = found[1]
        if name in TOPICS:
            return f"[{found[0]}](../topics/{name}.md)"
        return f"[{found[0]}](../commands/{name}.md)" if name in COMMANDS else found[0]

    return re.sub(r"(?:see )?help ([\w-]+)", link, literal(text))


def _table(parameters: Sequence[Parameter]) -> list[str]:
    lines = ["| option | what it does |", "| --- | --- |"]
    for parameter in parameters:
        names = parameter.names.replace("|", "\\|")
        lines.append(f"| `{names}` | {linked(parameter.text)} |")
    return lines


def command_page(told: Help) -> str:
    """Return the page of a command in Markdown."""
    guide = GUIDES.get(told.name)
    example = (EXAMPLES / f"{told.name}.txt").read_text(encoding="utf-8").rstrip("\n")
    lines = [f"# {PROGRAM} {told.name}", "", linked(told.summary), ""]
    for paragraph in told.paragraphs:
        lines += [linked(paragraph), ""]
    if guide:
        file, _, anchor = guide.partition("#")
        title = _title(ROOT / "docs" / file)
        lines += [f"More of it: [{title}](../{file}{f'#{anchor}' if anchor else ''}).", ""]
    lines += ["## Usage", "", "```text", told.usage, "```", "", "For example:", ""]
    lines += ["```sh", told.example, "```", "", "## What it prints", ""]
    lines += ["```console", example, "```", "", "## Options", ""]
    for panel, parameters in told.panels.items():
        usual = [parameter for parameter in parameters if not parameter.is_rare]
        if usual:
            lines += [f"### {panel}", "", *_table(usual), ""]
    rare = {panel: [one for one in own if one.is_rare] for panel, own in told.panels.items()}
    if any(rare.values()):
        shown_by = f"`{PROGRAM} {told.name} --help-all` shows them."
        lines += ["## Rarely used options", "", shown_by, ""]
    for panel, hidden in rare.items():
        if hidden:
            lines += [f"### {panel}, rarely used", "", *_table(hidden), ""]
    return "\n".join(lines)


def commands_page() -> str:
    """Return the list of all commands by purpose, and how a shell completes them."""
    lines = ["# Commands", "", COMMANDS_TEXT, ""]
    for group, texts in GROUPS.items():
        lines += [f"## {group}", "", "| command | what it does |", "| --- | --- |"]
        lines += [f"| [{name}]({name}.md) | {literal(text)} |" for name, text in texts.items()]
        lines += [""]
    lines += ["## Topics", "", "| `speechcls help` | what it explains |", "| --- | --- |"]
    lines += [f"| [{n}](../topics/{n}.md) | {literal(text)} |" for n, text in TOPICS.items()]
    return "\n".join([*lines, ""])


COMMANDS_TEXT = """\
The pages of this part are made of the help that the program prints, by the same code, each time
the manual is built. What the commands print there was recorded from real runs (`make examples`).
Results go to stdout, everything for people to stderr; [exit codes](../topics/exit-codes.md) are the
same everywhere. Man pages and completion come from the same source:
[Install](../INSTALL.md#completion-and-man-pages)."""


def topic_page(name: str) -> str:
    """Return the page of a topic, as the program prints it."""
    first, _, rest = read_topic(name).partition("\n\n")
    return f"# {first.rstrip('.')}\n\n`{PROGRAM} help {name}` prints:\n\n```text\n{rest}```\n"


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def generated() -> dict[str, str]:
    """Return the pages that are in no file of ``docs``, by their place in the manual."""
    pages = {f"commands/{name}.md": command_page(describe(name)) for name in COMMANDS}
    pages["commands/index.md"] = commands_page()
    pages |= {f"topics/{name}.md": topic_page(name) for name in TOPICS}
    for name in ("SECURITY.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        pages[name] = text.replace("](docs/", "](")
    for name in CARDS:
        card = (ROOT / "models" / name / "README.md").read_text(encoding="utf-8")
        # The lines that the Hub reads are settings of the page to MkDocs.
        pages[f"models/{name}.md"] = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)
    return pages


def on_config(config: Any) -> Any:
    """Add the commands and topics to the navigation."""
    for part in config["nav"]:
        if "Commands" in part:
            part["Commands"] += [{name: f"commands/{name}.md"} for name in COMMANDS]
            part["Commands"].append({"Topics": [{name: f"topics/{name}.md"} for name in TOPICS]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    for place, text in generated().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links out of ``docs`` to the pages that stand for those files, or to none."""
    up = "../" * page.file.src_uri.count("/")
    markdown = re.sub(rf"\]\({up}\.\./(SECURITY|CHANGELOG)\.md", rf"]({up}\1.md", markdown)
    markdown = re.sub(rf"\]\({up}\.\./models/([\w-]+)/README\.md", rf"]({up}models/\1.md", markdown)
    # The source is no part of the manual.
    return re.sub(rf"\[([^\]]+)\]\({up}\.\./(?!docs)[^)]+\)", r"\1", markdown)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Name the search for those who do not see it; the theme leaves that out."""
    search = '<div class="md-search" data-md-component="search" role="dialog"'
    return output.replace(search, f'{search} aria-label="Search"')
