"""A model's internals on one clip: gates, attention, posteriors over time, occlusion.

``trace`` computes them (``explain``, ``Explanation``), ``panels`` arranges them, ``figures`` draws
them and ``page`` writes them as HTML. ``recurrence`` has the equations of every recurrent cell in
NumPy (``EQUATIONS``, ``lstm_step`` ...), ``unroll`` carries them over time (``run_recurrence``).
"""
