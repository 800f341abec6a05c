"""Samples from files, pipes and long recordings, and what can be measured on them.

``decode``: ``read_clip``, ``read_native``. ``blocks``: ``open_recording``. ``sound``:
``open_sound``, by libsndfile or ``ffmpeg``. ``sniff``: ``SUFFIXES``, ``is_audio``. ``samples``:
``Samples``, ``PCM``, ``to_mono``, ``resample``, ``to_pcm``, ``to_float``, ``fit_length``.
``wav``: ``read_wav_header``, ``wav_bytes``. ``level``: ``level_db``, ``snr_db``,
``clipped_ratio``. ``speech``: ``find_speech``, ``UtteranceFinder``. ``spectrogram``.
"""
