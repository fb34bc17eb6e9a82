"""Where a pod finds the API of its cluster."""

import pytest

from services.kubernetes.cluster_api import cluster_address
from shared.errors import ConfigInvalid


@pytest.mark.parametrize(
    ("host", "address"), [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_the_api_is_where_kubernetes_says(host: str, address: str) -> None:
    assert cluster_address({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}) == address


def test_outside_of_a_cluster_it_says_so() -> None:
    with pytest.raises(ConfigInvalid, match="runs in a pod of Kubernetes"):
        cluster_address({"KUBERNETES_SERVICE_HOST": "10.96.0.1"})
