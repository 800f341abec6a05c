"""Live sound: sources, detection in them, commands run for events, recorded takes.

``sources``: ``FileSource``, ``Pipe``, ``Block``. ``microphone``: ``Microphone``. ``listen``:
``detect_live``, ``LiveUpdate``. ``actions``: ``CommandRunner``. ``takes``: ``Takes``.
"""
