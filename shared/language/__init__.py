"""The workflow language: turns YAML text into an immutable typed model, and reports every problem with its line.

- ``model``: the classes of the model, such as ``Dag`` and ``Step``.
- ``load``: reads a text into the model.
- ``schema``: the JSON Schema of workflow files, for editors; ``reference``: what it and the docs say about each field.
- ``yaml``: reads YAML into plain data with line numbers, reads typed fields, and merges the base configuration.
- ``dagu2``: rewrites documents of Dagu 2 into the fields of this language.
- ``steps``: the fields of steps, and the graph of a dag's steps.
- ``expansion``: the variable language (``${NAME}``). The scheduler uses its pure parts; workers also run commands.
"""
