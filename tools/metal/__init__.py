"""What only a Mac's GPU can show, as one report to paste: `make test-metal`."""
