"""Samples to features, as torch modules that export to ONNX.

``mel`` has every kind of features (``FEATURES``, ``LogMel``, ``MFCC``, ``clip_features``),
``onnx_fft`` the power spectrum in operators that every ONNX engine has (``PowerSpectrum``).
"""
