"""The workflow language: YAML text in, an immutable typed model out, every problem with its line.

- ``model``: what a workflow means. ``load``: from text to the model. ``schema``: the same for editors.
- ``yaml``: YAML to plain data with places, typed readers of fields, and the base configuration.
- ``steps``: the fields of steps, and the graph of a dag's steps.
- ``expansion``: the variable language. The scheduler applies its pure parts, workers also run commands.
"""
