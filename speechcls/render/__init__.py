"""How anything is drawn: figures, panels over time, HTML pages, text in a terminal."""
