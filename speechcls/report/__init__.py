"""The page of an evaluation: tables, figures, the most confident mistakes."""
