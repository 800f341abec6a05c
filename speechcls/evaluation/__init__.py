"""Scores of a model: on clips, on streams, against other models, and its speed.

``score`` evaluates a model on clips, ``score_stream`` on a long recording; ``compare`` runs several
models on the same clips, and ``significance`` tests whether they differ. ``metrics`` and
``detection_metrics`` are plain functions. ``calibration`` chooses thresholds and the temperature,
``benchmark`` measures time and memory, ``predictions`` saves what a report is drawn from, and
``held_out`` finds the clips that are new to a model and classifies them.
"""
