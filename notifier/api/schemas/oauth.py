"""Shapes of OAuth 2: what the RFCs name, and no more."""

from typing import Literal

from pydantic import BaseModel, Field

from notifier.api.schemas.base import Answer


class ClientForm(BaseModel):
    """The client, where it does not show itself by HTTP Basic. (RFC 6749 has forms; Authlib reads them.)"""

    client_id: str | None = Field(default=None, description="What the key begins with.")
    client_secret: str | None = Field(default=None, description="The key.")


class TokenForm(ClientForm):
    """RFC 6749, section 4.4.2."""

    grant_type: Literal["client_credentials"]
    scope: str | None = Field(default=None, description="Separated by spaces; left out: all that the key has.")


class RevocationForm(ClientForm):
    """RFC 7009, section 2.1."""

    token: str
    token_type_hint: str | None = None


class AccessTokenOut(Answer):
    """RFC 6749, section 5.1."""

    access_token: str = Field(description="A JWT (RFC 9068); send it as `Authorization: Bearer <token>`.")
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="Seconds.")
    scope: str


class OAuthErrorOut(Answer):
    """RFC 6749, section 5.2."""

    error: str
    error_description: str | None = None


class JwksOut(Answer):
    """RFC 7517."""

    keys: list[dict[str, str]]


class MetadataOut(Answer):
    """RFC 8414."""

    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    scopes_supported: list[str]
    response_types_supported: list[str]
    grant_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    service_documentation: str
