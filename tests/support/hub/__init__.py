"""A hub on the loopback interface: the Hub's protocol, and every way in which it can fail."""
