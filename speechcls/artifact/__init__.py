"""A trained model on disk: its format, how it is written, read and found."""
