"""The suite plays a person at a terminal, also where CI is set: that alone would draw nothing."""

import os

os.environ.pop("CI", None)  # with it, nothing is drawn over
