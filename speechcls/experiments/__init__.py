"""Trainings that compare architectures."""
