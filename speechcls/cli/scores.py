"""What is said of a model's scores, and the minimum that a script asks of them."""

from typing import TYPE_CHECKING, Annotated

from speechcls.cli.messages import Messages
from speechcls.cli.options import option
from speechcls.labels import UNKNOWN, is_command, list_names

if TYPE_CHECKING:
    from speechcls.evaluation.metrics import Scores

RELIABLE_RECALL = 0.8
"""Mean recall of its words, or recall of others, below which nobody should rely on a model."""
_OTHER_WORDS = f"a folder {UNKNOWN} of words that are said near them helps most"
FEW_CLIPS = 5
"""Clips of a word below which its recall says little: of five, 95 % intervals span a half."""

MinRecall = Annotated[
    float | None,
    option(
        "--min-recall",
        min=0.0,
        max=1.0,
        help="End with exit code 1 if the recall of a label is below this.",
    ),
]


def reach_recall(scores: "Scores", least: float | None, messages: Messages) -> bool:
    """Return whether every label has this recall; report those that do not.

    Parameters
    ----------
    least : None where any will do
    """
    if least is None:
        return True
    if unknown := scores.without_clips():
        messages.warn(f"no clip of {list_names(unknown)}: --min-recall does not judge it")
    low = scores.recalls_below(least)
    for label, recall in low.items():
        messages.error(f"{label}: recall {recall:.4f} is below --min-recall {least:g}")
    return not low


def describe_headline(
    balanced_accuracy: float, command_recall: float | None, accuracy: float
) -> tuple[str, str]:
    """Return the balanced accuracy, and what stands beside it, in per cent.

    Parameters
    ----------
    command_recall : None where it would be the same
    """
    commands = "" if command_recall is None else f"commands {100 * command_recall:.1f} %, "
    return f"{100 * balanced_accuracy:.1f} %", f"{commands}accuracy {100 * accuracy:.1f} %"


def describe_failures(validation: "Scores") -> list[str]:
    """Return what a model never recognises in the validation clips, a sentence each."""
    if only := validation.only_answer():
        return [f"the model answers {only} to every validation clip: it has learnt nothing of use"]
    missed, never = validation.never_recognised(), validation.never_predicted()
    failures = [
        f"{label}: no validation clip is predicted as it" for label in missed if label in never
    ]
    if others := [label for label in missed if label not in never]:
        failures.append(f"no validation clip of {list_names(others)} is recognised")
    if UNKNOWN in missed:
        failures.append(
            f"not to be relied on: it takes every other word for one of its own; {_OTHER_WORDS}"
        )
    return failures


def describe_trust(validation: "Scores") -> list[str]:
    """Return why nobody should rely on a model, as its validation clips show, a sentence each."""
    recall = validation.command_recall or validation.balanced_accuracy
    reasons = []
    if recall < RELIABLE_RECALL:
        reasons.append(
            f"not to be relied on: {100 * (1 - recall):.1f} % of its words are not recognised; more"
            " recordings by more people help most, and speechcls check finds what is wrong"
        )
    of_label = dict(zip(validation.labels, validation.per_label, strict=True))
    other = of_label.get(UNKNOWN)
    if other and other.n_clips and other.recall < RELIABLE_RECALL:
        reasons.append(
            f"not to be relied on: {100 * (1 - other.recall):.1f} % of other words are not told"
            f" from its own; {_OTHER_WORDS}"
        )
    few = [name for name, own in of_label.items() if 0 < own.n_clips < FEW_CLIPS]
    few = [name for name in few if is_command(name)]
    if few:
        reasons.append(
            f"fewer than {FEW_CLIPS} validation clips each of {list_names(few)}: how well they are"
            " recognised is not known yet"
        )
    return reasons
