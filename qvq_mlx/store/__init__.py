"""Model cards, and the files of models."""
