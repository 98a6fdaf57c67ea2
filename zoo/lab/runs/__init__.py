"""One training in a folder: its settings, checkpoints, pictures, summary, and how to open it again."""
