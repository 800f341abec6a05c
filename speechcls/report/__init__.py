"""The page of an evaluation: tables, figures, the most confident mistakes.

``page`` writes a report, from the ``results`` that the registered ``tables`` and ``figures`` are
made of; ``summary`` is what it says first, ``matrix`` its confusions, ``mistakes`` are the wrong
predictions with picture and sound. Pages of their own are ``compare_page``, models side by side,
and ``review_page``, on which kept events are judged.

A new table is a function and an entry in ``TABLES`` in ``tables``, a new figure one in ``FIGURES``
in ``figures``.
"""
