"""`python -m qvq_mlx` is `qvq`."""

from qvq_mlx.cli import run

run()
