"""Samples to features, as torch modules that export to ONNX.

``mel`` has every kind of features (``FEATURES``, ``LogMel``, ``MFCC``, ``clip_features``),
``onnx_fft`` the power spectrum in operators that every ONNX engine has (``PowerSpectrum``).

A new kind is a class and an entry in ``FEATURES`` in ``mel``, and its facts are an entry in
``FEATURE_KINDS`` in ``speechcls.config``.
"""
