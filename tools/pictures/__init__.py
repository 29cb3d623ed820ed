"""What transformers' own image processors make of pictures, recorded for the tests."""
