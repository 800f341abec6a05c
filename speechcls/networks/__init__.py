"""The networks, from features to logits, and the whole recogniser around them."""
