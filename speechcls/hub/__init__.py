"""Models on the Hugging Face Hub, by its own library, huggingface_hub, which is imported late.

``repository``: ``Repository``, ``parse_repository``, and what the Hub's errors mean.
``transfer``: ``push``, ``pull``.
"""
