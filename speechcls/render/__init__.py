"""How figures, HTML pages and terminal pictures are drawn.

``figures`` has the style of all figures and writes them, ``panels`` draws values over time,
``curves`` the learning curves of a training,
``html`` makes pages from templates, and ``terminal`` draws with characters.
"""
