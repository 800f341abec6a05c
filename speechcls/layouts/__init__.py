"""Data sets as they lie on disk: which clips they have, and what is known before these are read.

``load`` has ``load_dataset`` and every layout; ``examples`` what it returns, ``Example`` and
``Dataset``, and the recordings below a folder; ``manifest`` reads and writes lists of clips;
``annotations`` are words and their times in long recordings.

A new layout of folders is an entry in ``LAYOUTS`` in ``load``, a new form of manifest one in
``FORMATS`` in ``manifest``.
"""
