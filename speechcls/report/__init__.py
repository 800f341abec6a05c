"""The page of an evaluation: tables, figures, the most confident mistakes.

``page`` writes a report, from the ``results`` that the registered ``tables`` and ``figures`` are
made of; ``mistakes`` are the wrong predictions with picture and sound. ``review_page`` is a page of
its own, on which kept events are judged.

A new table is a function and an entry in ``TABLES`` in ``tables``, a new figure one in ``FIGURES``
in ``figures``.
"""
