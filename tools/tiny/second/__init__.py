"""The second generation of the embedded model's pictures, questions and wordings.

It is what the next weights are trained on; the shipped weights are of the first generation, which
`tools.tiny` itself holds. When weights of this generation ship, these modules replace those.
"""
