"""Trainings that compare architectures or settings, and the figures of comparisons.

``sweep`` trains several architectures and seeds on one budget (``train_sweep``), ``delayed_recall``
measures how long after a word a network can still classify it (``run_delayed_recall``),
``recall_grid`` does so for several architectures, step lengths and seeds (``run_grid``), and
``figures`` draws the results.

``search`` tries settings with Optuna (``search``), ``search_space`` has those that it may choose,
``search_journal`` shares the trials among processes, and ``search_result`` writes the best model
and judges its gain (``conclude``).
"""
