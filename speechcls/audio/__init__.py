"""Samples from files, pipes and long recordings, and what can be measured on them."""
