"""Recordings made by the program: synthetic speech, and words mixed into background."""
