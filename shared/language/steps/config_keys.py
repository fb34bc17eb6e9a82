"""The keys of an executor's ``config``. Authors may write them in any letter case, as in Dagu."""

from typing import Any

from shared.language.steps.executor_types import CONTAINER_TYPES, GHA_TYPES

__all__ = ["CONFIG_KEYS", "canonical_keys"]

_DOCKER = (
    "image containerName pull autoRemove platform workingDir volumes container host network exec env user ports name "
    "pullPolicy keepContainer startup command waitFor logPattern restartPolicy"
)
_GHA = (
    "runner autoRemove network githubInstance dockerSocket artifacts reuseContainers forceRebuild containerOptions "
    "privileged capabilities"
)
_NAMES = {
    "http": "timeout headers query body silent debug json skipTLSVerify retries caFile clientCert clientKey",
    "jq": "raw timeout",
    "mail": "from to subject message attachments",
    "ssh": "user host ip port key password strictHostKey knownHostFile shell shellArgs",
    "archive": "source destination format compressionLevel password overwrite preservePaths stripComponents include "
    "exclude dryRun verbose followSymlinks verifyIntegrity continueOnError maxBytes maxEntries maxRatio",
    "hitl": "prompt input required",
    **dict.fromkeys(CONTAINER_TYPES, _DOCKER),
    **dict.fromkeys(GHA_TYPES, _GHA),
}
CONFIG_KEYS = {kind: tuple(names.split()) for kind, names in _NAMES.items()}
"""The keys by executor type."""
_SPELLED = {kind: {name.lower(): name for name in names} for kind, names in CONFIG_KEYS.items()}


def canonical_keys(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return ``config`` with its keys in the letter case that the executor of type ``kind`` reads.

    If ``config`` has a key in several letter cases, the right one wins. Keys of plugins' executors are not changed.
    """
    spelled = _SPELLED.get(kind, {})
    found = {spelled.get(name.lower(), name): value for name, value in config.items()}
    return found | {name: config[name] for name in found if name in config}
