"""Recordings made by the program: spoken clips, and words mixed into background sound.

``espeak``: ``synthesise``, ``make_voices``, ``EspeakSynthesiser``. ``mixing``: ``choose_clips``,
``write_mix``, ``MixSettings``.
"""
