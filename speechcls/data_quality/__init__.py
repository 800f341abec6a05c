"""The faults of a data set: levels, duplicates, leaks between splits, label errors.

``check`` finds them, ``findings`` lists their kinds, and ``report`` writes them and the fix list.
``signal`` finds faults of levels, ``duplicates`` copies, ``label_errors`` labels that a
model contradicts, ``giveaways`` what else recordings of a label have in common.
"""
