"""The faults of a data set: levels, duplicates, leaks between splits, label errors.

``check`` finds them, ``findings`` lists their kinds, and ``report`` writes them and the fix list.
``signal`` judges levels, ``duplicates`` finds copies by ``fingerprint``, and ``label_errors`` finds
labels that a model contradicts.
"""
