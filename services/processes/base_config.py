"""The file with the base configuration, for all that start runs or show what one would do."""

from shared.errors import ConfigInvalid
from shared.language.load import load
from shared.settings.config import Config

__all__ = ["read_base_config"]


def read_base_config(config: Config) -> str:
    """Return the text of the base configuration that every DAG inherits, or "" if ``DAGWAY_BASE_CONFIG`` is not set.

    Raises:
        ConfigInvalid: the file cannot be read or has errors, so no run could start.
    """
    if config.base_config is None:
        return ""
    try:
        text = config.base_config.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"DAGWAY_BASE_CONFIG: cannot read the file: {error}") from error
    if errors := load("steps: ['true']", file_name="any", base=text).errors:
        raise ConfigInvalid(f"DAGWAY_BASE_CONFIG: {config.base_config}: {'; '.join(map(str, errors))}")
    return text
