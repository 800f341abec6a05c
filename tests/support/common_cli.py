"""What tests of the command line share: a name that is hard to quote, the split of a model."""

import csv

LONG_NAME = "low\nand 'quiet', \"é\".wav"


def read_split(model):
    """The rows of a model's ``split.csv`` by their columns."""
    with (model / "split.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
