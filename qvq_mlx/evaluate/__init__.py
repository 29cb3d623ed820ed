"""The four benchmarks that QVQ is known by: questions, a resumable run, official scores, a report.

Law: a model's text is judged by rules alone. It is never executed, nothing is guessed for it, and
judging it takes a bounded time. Heavy libraries have one home each: sympy, latex2sympy2_extended
and math_verify in `scoring/latex.py`, pyarrow in `parquet.py`.
"""
