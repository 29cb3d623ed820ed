"""Everything that is printed or saved as JSON, and read back."""
