"""Serves one loaded model to other programs.

`engine_thread` owns the model: a `Request` goes in, events come out, whatever carries them.
`turns` is the fair queue before it.
"""
