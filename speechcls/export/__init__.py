"""A trained recogniser as a graph for other engines, checked against torch."""
