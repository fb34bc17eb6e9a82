"""The two requests to the cluster's API: list pods, and annotate one.

Sources: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ (where a pod finds the API and its token)
and https://kubernetes.io/docs/reference/using-api/api-concepts/ (pages of lists).
"""

import json
import ssl
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

import urllib3

from services.kubernetes.costs import ANNOTATION, CostChange, WorkerPod, worker_pod
from shared.errors import ConfigInvalid, Unavailable
from shared.foreign_json import read_json

__all__ = ["SUBRESOURCE", "ClusterApi", "ClusterUnavailable", "Written", "cluster_address"]

SUBRESOURCE = "status"
"""What of a pod is patched. The API ignores changes of the spec here, so our token cannot change what a pod runs."""
Written = Literal["written", "gone"]
_PAGE = 100
"""Pods for each page: some 10 kB each."""
_WAIT = urllib3.Timeout(connect=3, read=10)


class ClusterUnavailable(Unavailable):
    """The cluster's API cannot be asked, or does not do what it was asked. ``status`` is 0 without a response.

    ``invalid`` has the fields that the API called invalid, such as ``metadata.uid``.
    """

    def __init__(self, text: str, status: int = 0, invalid: frozenset[str] = frozenset()) -> None:
        super().__init__(text)
        self.status = status
        self.invalid = invalid


def cluster_address(environ: Mapping[str, str]) -> str:
    """Return the URL of the API of the cluster that this process runs in. Raises ``ConfigInvalid`` elsewhere."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise ConfigInvalid(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this command runs in a pod of Kubernetes"
        )
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


class ClusterApi:
    """A connection to the API with the token of this pod, for some seconds: Kubernetes replaces token and authority.

    ``folder`` has the files ``token``, ``ca.crt`` and ``namespace``.

    Raises:
        ClusterUnavailable: a file cannot be read.
    """

    def __init__(self, address: str, folder: Path) -> None:
        try:
            token = (folder / "token").read_text().strip()
            namespace = (folder / "namespace").read_text().strip()
            trust = _trust(folder / "ca.crt")
        except (OSError, ValueError) as error:
            raise ClusterUnavailable(f"{folder}: the token of the service account cannot be read: {error}") from error
        self._pods = f"{address}/api/v1/namespaces/{quote(namespace, safe='')}/pods"
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._pool = urllib3.PoolManager(timeout=_WAIT, retries=False, maxsize=1, ssl_context=trust)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.clear()

    def worker_pods(self, selector: str) -> Iterator[WorkerPod]:
        """Yield the pods of this namespace that the label selector selects and whose cost matters.

        Raises:
            ClusterUnavailable: some of them cannot be listed.
        """
        following = ""
        while True:
            fields = {"labelSelector": selector, "limit": str(_PAGE)} | ({"continue": following} if following else {})
            page = self._ask("GET", self._pods, fields=fields)
            try:
                pods = [worker_pod(item) for item in page["items"]]
                following = page.get("metadata", {}).get("continue", "")
            except (KeyError, TypeError, AttributeError) as error:
                raise ClusterUnavailable(f"the cluster's API returned no list of pods: {error!r}") from error
            yield from (pod for pod in pods if pod is not None)
            if not following:
                return

    def write(self, change: CostChange) -> Written:
        """Annotate a pod. It is ``gone`` if it does not exist any more, or another one has its name.

        Raises:
            ClusterUnavailable: the API refused the request, or failed.
        """
        pod = change.pod
        # The uid is a condition: the API answers 422, as no pod's uid can change, if another pod has the name now.
        body = {"metadata": {"uid": pod.uid, "annotations": {ANNOTATION: str(change.cost)}}}
        url = f"{self._pods}/{quote(pod.name, safe='')}/{SUBRESOURCE}"
        kind = {"Content-Type": "application/merge-patch+json"}
        try:
            self._ask("PATCH", url, body=json.dumps(body).encode(), headers=self._headers | kind)
        except ClusterUnavailable as error:
            if error.status == HTTPStatus.NOT_FOUND or "metadata.uid" in error.invalid:
                return "gone"
            raise
        return "written"

    def _ask(self, method: str, url: str, **how: Any) -> dict[str, Any]:
        try:
            response = self._pool.request(method, url, redirect=False, **{"headers": self._headers, **how})
        except urllib3.exceptions.HTTPError as error:
            raise ClusterUnavailable(f"the cluster's API cannot be reached: {error}") from error
        try:
            answer = read_json(response.data)
        except ValueError:
            answer = {}
        if response.status != 200 or not isinstance(answer, dict):
            said = answer.get("message") if isinstance(answer, dict) else None
            text = f"{method} of pods: the cluster's API answers {response.status}: {str(said)[:300]}"
            raise ClusterUnavailable(text, response.status, _invalid_fields(answer))
        return answer


def _invalid_fields(answer: Any) -> frozenset[str]:
    try:
        return frozenset(cause["field"] for cause in answer["details"]["causes"])
    except (KeyError, TypeError):
        return frozenset()


def _trust(authority: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority))
    # Python 3.13 would also demand key identifiers, which the authorities of many clusters do not have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
