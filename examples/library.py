"""Ask questions from Python with one loaded model: python examples/library.py."""

from qvq_mlx import Model

with Model("tiny") as model:
    result = model.answer("examples/shapes.png", "How many red circles are there?")
    print(result.boxed)
    for event in model.ask("examples/chart.png", "Which bar is the tallest?"):
        print(event)
