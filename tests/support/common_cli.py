"""What tests of the command line share: a hard name, the split of a model, Ctrl-C in time."""

import csv
import signal

LONG_NAME = "low\nand 'quiet', \"é\".wav"


def read_split(model):
    """The rows of a model's ``split.csv`` by their columns."""
    with (model / "split.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def interrupt_after(process, words, number=signal.SIGINT):
    """Send a signal once a line of stderr holds ``words``; return code, stdout and stderr."""
    seen = line = ""
    while words not in line:
        line = process.stderr.readline().decode()
        assert line, f"ended before it said {words!r}: {seen}"
        seen += line
    process.send_signal(number)
    code = process.wait(60)
    return code, process.stdout.read().decode(), seen + process.stderr.read().decode()
