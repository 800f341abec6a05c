"""What the README prints against what its commands print, and the anchors of Markdown texts."""

import re

import transcripts

# A network of another processor is another network in its last digits, and may be in its choices:
# a number with a decimal point may differ by so much, in that command. Everything else is equal.
TOLERANCES = {"train": 10.0, "evaluate": 10.0, "listen": 0.3}
# What depends on the machine's speed, and counts of what a trained network takes for a word.
LOOSE = [
    (r"[\d,]+ clips/s", "N clips/s"),
    (r"\d+ were taken for a word \([\d.]+ an hour; it may be up to \d+\)", "N were taken"),
    (r"best epoch \d+ of", "best epoch N of"),
    (r"loss [\d.]+", "loss X"),
    (r"accuracy [\d.]+ %, loss", "accuracy X %, loss"),
]
_NUMBER = re.compile(r"\d+\.\d+")


def matches(command, said, printed):
    """Whether lines are those that a document says a command prints; ``...`` stands for any."""
    if transcripts.REST in said:
        first = said.index(transcripts.REST)
        last = len(said) - 1 - first
        if len(printed) < first + last:
            return False
        printed = [*printed[:first], transcripts.REST, *printed[len(printed) - last :]]
    tolerance = next((TOLERANCES[word] for word in command.split() if word in TOLERANCES), 0.0)
    return len(said) == len(printed) and all(
        _alike(*pair, tolerance) for pair in zip(said, printed, strict=True)
    )


def _alike(said, printed, tolerance):
    if not tolerance:
        return said == printed
    for pattern, name in LOOSE:
        said, printed = (re.sub(pattern, name, line) for line in (said, printed))
    # Columns move with the width of their numbers.
    texts = (_NUMBER.sub("#", " ".join(line.split())) for line in (said, printed))
    numbers = (map(float, _NUMBER.findall(line)) for line in (said, printed))
    return len(set(texts)) == 1 and all(
        abs(one - other) <= tolerance for one, other in zip(*numbers, strict=True)
    )


def anchors(text):
    """The anchors of a Markdown text's headings, as GitHub and MkDocs make them."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    plain = (re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def links(text):
    """The links of a Markdown text, without those inside code."""
    outside = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", outside)
