"""How the settings of an executor's ``config`` are spelled; Dagu takes them in any case, and so do we."""

from typing import Any

__all__ = ["canonical_keys"]

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
    "exclude dryRun verbose followSymlinks verifyIntegrity continueOnError",
    "hitl": "prompt input required",
    "docker": _DOCKER,
    "container": _DOCKER,
    "gha": _GHA,
    "github_action": _GHA,
    "github-action": _GHA,
}
_SPELLED = {kind: {name.lower(): name for name in names.split()} for kind, names in _NAMES.items()}


def canonical_keys(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return ``config`` of a step of type ``kind`` with its settings spelled as the executor reads them.

    A setting that is there in the right spelling wins. Types of others' packages are left as they are.
    """
    spelled = _SPELLED.get(kind, {})
    found = {spelled.get(name.lower(), name): value for name, value in config.items()}
    return found | {name: config[name] for name in found if name in config}
