"""How good a model is: on clips, on streams, against other models, and how fast."""
