"""qvq: ask a visual-reasoning model about an image, on your own machine."""

__version__ = "0.1.0"
