"""Live sound: sources, detection in them, commands run for events, kept events, takes.

``sources``: ``FileSource``, ``Pipe``, ``Block``. ``microphone``: ``Microphone``. ``listen``:
``detect_live``, ``LiveUpdate``. ``actions``: ``CommandRunner``. ``takes``: ``Takes``.
``recorder``: ``EventRecorder``. ``events``: ``EventFolder``, ``SavedEvent``, ``Verdict``.
``review``: ``add_missed``, ``read_verdicts``, ``play``.
"""
