"""The rows of each benchmark's data set as questions."""
