"""The user's settings: config file and environment."""
