"""Shapes of OAuth 2: what the RFCs name, and no more."""

from typing import Literal

from pydantic import Field

from notifier.api.schemas.base import Answer


class AccessTokenOut(Answer):
    """RFC 6749, section 5.1."""

    access_token: str = Field(description="A JWT (RFC 9068); send it as `Authorization: Bearer <token>`.")
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="Seconds.")
    scope: str


class OAuthErrorOut(Answer):
    """RFC 6749, section 5.2."""

    error: str
    error_description: str


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
