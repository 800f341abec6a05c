"""Data sets as they lie on disk: which clips they have, and what is known before these are read.

``load`` has ``load_dataset`` and every layout; ``examples`` what it returns, ``Example`` and
``Dataset``, and the recordings below a folder; ``folders`` what folders mean, ``lists`` the split
lists in them; ``manifest`` reads, finds and writes lists of clips:
``tables`` has their rows in every form of file, ``columns`` what the columns mean, ``places`` where
the recordings are; ``annotations`` are words and their times in long recordings; ``names`` what
people call splits and labels.

A new layout of folders is an entry in ``LAYOUTS`` in ``load``, another name of a column one in
``NAMES`` in ``columns``.
"""
