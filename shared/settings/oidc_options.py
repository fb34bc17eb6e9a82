"""The settings of OpenID Connect: the provider, and the roles of its users."""

from shared.roles import ROLES
from shared.settings.option import GATEWAY, Option
from shared.settings.readers import group_roles, one_of, server_url, url, words
from shared.workspaces import NO_ROLE

__all__ = ["OIDC_OPTIONS"]

OIDC_OPTIONS = (
    Option(
        "DAGWAY_AUTH_OIDC_ISSUER",
        url,
        GATEWAY,
        "issuer URL of the OpenID Connect provider, exactly as the provider publishes it",
        field_name="oidc_issuer",
        has_alias=True,
    ),
    Option(
        "DAGWAY_AUTH_OIDC_CLIENT_ID",
        str,
        GATEWAY,
        "client id that the provider gave this application",
        field_name="oidc_client_id",
        has_alias=True,
    ),
    Option(
        "DAGWAY_AUTH_OIDC_CLIENT_SECRET",
        str,
        GATEWAY,
        "secret that belongs to the client id; use the environment variable: other users of the host can see options",
        field_name="oidc_client_secret",
        secret=True,
        has_alias=True,
    ),
    Option(
        "DAGWAY_AUTH_OIDC_CLIENT_URL",
        server_url,
        GATEWAY,
        "URL at which browsers reach this server; register <URL>/oidc-callback with the provider as redirect URI",
        field_name="oidc_client_url",
        has_alias=True,
    ),
    Option(
        "DAGWAY_AUTH_OIDC_SCOPES",
        words,
        GATEWAY,
        "OpenID Connect scopes to request (openid,profile,email)",
        field_name="oidc_scopes",
        has_alias=True,
    ),
    Option(
        "DAGWAY_AUTH_OIDC_WHITELIST",
        words,
        GATEWAY,
        "email addresses that may log in, separated by commas (everyone whom the provider authenticates)",
        field_name="oidc_whitelist",
        has_alias=True,
    ),
    Option(
        "DAGWAY_AUTH_OIDC_GROUPS_CLAIM",
        str,
        GATEWAY,
        "claim of the ID token that lists the user's groups (groups)",
        field_name="oidc_groups_claim",
    ),
    Option(
        "DAGWAY_AUTH_OIDC_ROLES",
        group_roles,
        GATEWAY,
        "roles of the provider's groups: dagway-admins=admin,developers=operator, or in a workspace "
        "developers=acme:manager; the highest role counts (none)",
        field_name="oidc_roles",
    ),
    Option(
        "DAGWAY_AUTH_OIDC_DEFAULT_ROLE",
        one_of(*ROLES, NO_ROLE),
        GATEWAY,
        "role of users whose groups have no role in the default workspace; none: no role there (viewer)",
        field_name="oidc_default_role",
    ),
)
