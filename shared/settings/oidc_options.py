"""The settings of OpenID Connect: the provider, and the roles of its users."""

from shared.roles import ROLES
from shared.settings.option import GATEWAY, Option
from shared.settings.readers import group_roles, one_of, server_url, url, words
from shared.workspaces import NO_ROLE

__all__ = ["OIDC_OPTIONS"]

OIDC_OPTIONS = (
    Option(
        "oidc_issuer",
        "DAGWAY_AUTH_OIDC_ISSUER",
        url,
        GATEWAY,
        "issuer URL of the OpenID Connect provider, exactly as the provider publishes it",
        has_alias=True,
    ),
    Option(
        "oidc_client_id",
        "DAGWAY_AUTH_OIDC_CLIENT_ID",
        str,
        GATEWAY,
        "client id that the provider gave this application",
        has_alias=True,
    ),
    Option(
        "oidc_client_secret",
        "DAGWAY_AUTH_OIDC_CLIENT_SECRET",
        str,
        GATEWAY,
        "secret that belongs to the client id; use the environment variable: other users of the host can see options",
        secret=True,
        has_alias=True,
    ),
    Option(
        "oidc_client_url",
        "DAGWAY_AUTH_OIDC_CLIENT_URL",
        server_url,
        GATEWAY,
        "URL at which browsers reach this server; register <URL>/oidc-callback with the provider as redirect URI",
        has_alias=True,
    ),
    Option(
        "oidc_scopes",
        "DAGWAY_AUTH_OIDC_SCOPES",
        words,
        GATEWAY,
        "OpenID Connect scopes to request (openid,profile,email)",
        has_alias=True,
    ),
    Option(
        "oidc_whitelist",
        "DAGWAY_AUTH_OIDC_WHITELIST",
        words,
        GATEWAY,
        "email addresses that may log in, separated by commas (everyone whom the provider authenticates)",
        has_alias=True,
    ),
    Option(
        "oidc_groups_claim",
        "DAGWAY_AUTH_OIDC_GROUPS_CLAIM",
        str,
        GATEWAY,
        "claim of the ID token that lists the user's groups (groups)",
    ),
    Option(
        "oidc_roles",
        "DAGWAY_AUTH_OIDC_ROLES",
        group_roles,
        GATEWAY,
        "roles of the provider's groups: dagway-admins=admin,developers=operator, or in a workspace "
        "developers=acme:manager; the highest role counts (none)",
    ),
    Option(
        "oidc_default_role",
        "DAGWAY_AUTH_OIDC_DEFAULT_ROLE",
        one_of(*ROLES, NO_ROLE),
        GATEWAY,
        "role of users whose groups have no role in the default workspace; none: no role there (viewer)",
    ),
)
