"""The settings of all services and commands.

- ``options``: the table of all settings; ``option``: what the table says about one. The modules ``*_options`` are parts
  of the table, and ``readers`` makes values of texts.
- ``config``: reads the settings of this process into one object; ``dagu``: those that a user of Dagu has already.
- ``command_defaults``: defaults that depend on the command; ``effective``: what applies, as administrators read it.
"""
