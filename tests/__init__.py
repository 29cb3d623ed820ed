"""The suite plays a person at a terminal, also where a CI system runs it."""

import os

os.environ.pop("CI", None)  # with it, nothing is drawn over
