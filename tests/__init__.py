"""The suite plays a person at a terminal, also where a CI system runs it: `CI` would draw nothing."""

import os

os.environ.pop("CI", None)
