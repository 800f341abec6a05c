"""A Wyoming server, by which Home Assistant and its satellites detect words.

``server``: ``serve``. ``connection`` answers one client, ``listener`` detects words in its sound.
``events`` reads what clients send, within the limits of ``settings``. ``service`` describes what
there is to detect; ``discovery`` announces it by zeroconf. The library of the protocol, wyoming, is
imported late: ``load_wyoming`` in ``settings``.
"""
