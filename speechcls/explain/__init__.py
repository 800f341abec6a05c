"""A model's internals on one clip: gates, attention, posteriors over time, occlusion.

``trace`` computes them (``explain``, ``Explanation``), ``panels`` arranges them, ``figures`` draws
them and ``page`` writes them as HTML, ``beside`` those of several models. ``in_page`` is what that
page needs to run the network itself, and ``lookback`` how far a network looks back, by gradients.
``habits`` finds what the units respond to over a data set, which ``page`` shows as well.
``recurrence`` has the equations of every recurrent cell in NumPy (``EQUATIONS``, ``lstm_step``
...), ``unroll`` carries them over time (``run_recurrence``).
"""
