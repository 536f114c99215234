"""Passkeys (WebAuthn, by `webauthn`): registered, listed, removed, and used to sign in or to show again who one is.

Called by the pages of sign-in, second factor and reauthentication, and by the scheduler. Each device is asked for its
owner (by finger, face or PIN), so a passkey counts as both factors. Whatever a browser answers, it answers a challenge
of ours, which is deleted by that: an answer works once. No attestation is asked for: which device it is, is theirs to
decide.
"""

import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    options_to_json_dict,
    parse_authentication_credential_json,
)
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from notifier.access import second_factor
from notifier.core.errors import Rejected
from notifier.ground import database
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.ground.languages import N_
from notifier.ground.log_texts import without_secrets
from notifier.models import Account, Passkey, PasskeyChallenge

MOST = 20  # of an account
LONGEST_NAME = 60
LONGEST_ANSWER = 16_384  # characters of JSON
LIFETIME = timedelta(minutes=5)  # of a challenge

_ADD, _USE = "add", "use"
_VERIFIED: Final = UserVerificationRequirement.REQUIRED

log = structlog.get_logger()


def is_possible() -> bool:
    """Browsers know passkeys of names only, reached by https or on the machine itself."""
    url = urlsplit(current_settings().public_url)
    host = url.hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return url.scheme == "https" or host == "localhost" or host.endswith(".localhost")
    return False


def of_account(account_id: UUID) -> Sequence[Passkey]:
    """The oldest first."""
    statement = sa.select(Passkey).where(Passkey.account_id == account_id).order_by(Passkey.id)
    return db.session.scalars(statement.execution_options(populate_existing=True)).all()


def begin_adding(account: Account) -> tuple[dict[str, Any], str]:
    """→ the options for `navigator.credentials.create`, and the challenge, which the browser's session keeps for `add`.
    Raises Rejected where there are MOST already.
    """
    account_id, email = account.id, account.email
    known = of_account(account_id)
    _check_room(len(known))
    challenge = _store_challenge(_ADD, account_id)
    options = generate_registration_options(
        rp_id=_host(),
        rp_name=second_factor.ISSUER,
        user_id=account_id.bytes,
        user_name=email,
        challenge=challenge,
        timeout=_timeout_ms(),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_VERIFIED
        ),
        exclude_credentials=_descriptors(known),
    )
    return options_to_json_dict(options), bytes_to_base64url(challenge)


def add(account_id: UUID, challenge: object, answer: str, name: str, *, here: str) -> list[str]:
    """Stores what `create` has answered; → recovery codes where it is the account's first second factor, which then
    ends all sessions but the one `here`. Raises Rejected.
    """
    expected = _redeem_challenge(_ADD, challenge)
    if expected is None or expected[1] != account_id:
        raise _too_late()
    try:
        verified = verify_registration_response(
            credential=answer[:LONGEST_ANSWER],
            expected_challenge=expected[0],
            expected_rp_id=_host(),
            expected_origin=_origin(),
            require_user_verification=True,
        )
    except Exception as error:  # the library's own, and of what it reads bytes with
        log.info("passkey.refused", error=without_secrets(str(error)))
        raise Rejected("validation_failed", N_("That is no passkey that can be used here.")) from None
    row = Passkey(
        account_id=account_id,
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        name=name,
    )
    try:
        with transaction() as session:
            codes = second_factor.turn_on(account_id, "account.passkey_added", here=here)
            theirs = sa.select(sa.func.count()).select_from(Passkey).where(Passkey.account_id == account_id)
            _check_room(session.scalar(theirs) or 0)
            session.add(row)
    except IntegrityError:
        raise Rejected("conflict", N_("That passkey is in use already.")) from None
    return codes


def begin_using(account_id: UUID | None) -> tuple[dict[str, Any], str]:
    """→ the options for `navigator.credentials.get`, and the challenge, which the browser's session keeps for `use`.
    `account_id`: the only one that may answer, if that is known.
    """
    known = of_account(account_id) if account_id else ()
    challenge = _store_challenge(_USE, account_id)
    options = generate_authentication_options(
        rp_id=_host(),
        challenge=challenge,
        timeout=_timeout_ms(),
        allow_credentials=_descriptors(known),
        user_verification=_VERIFIED,
    )
    return options_to_json_dict(options), bytes_to_base64url(challenge)


def use(challenge: object, answer: str) -> UUID | None:
    """The account whose passkey has answered; None for any answer that does not prove it. Works once."""
    expected = _redeem_challenge(_USE, challenge)
    if expected is None:
        return None
    try:
        given = parse_authentication_credential_json(answer[:LONGEST_ANSWER])
    except Exception:  # as in `add`
        return None
    passkey = db.session.scalar(sa.select(Passkey).where(Passkey.credential_id == given.raw_id))
    if passkey is None or expected[1] not in (None, passkey.account_id):
        return None
    if (given.response.user_handle or None) not in (None, passkey.account_id.bytes):
        return None
    try:
        verified = verify_authentication_response(
            credential=given,
            expected_challenge=expected[0],
            expected_rp_id=_host(),
            expected_origin=_origin(),
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    except Exception as error:  # as in `add`
        # A count that goes back may be that of a copied device
        log.warning("passkey.refused", passkey=passkey.shown_id, error=without_secrets(str(error)))
        return None
    # Of two answers at once with the same count, one is not the device's
    unchanged = (Passkey.id == passkey.id, Passkey.sign_count == passkey.sign_count)
    values = {"sign_count": verified.new_sign_count, "used_at": now()}
    with transaction() as session:
        statement = sa.update(Passkey).where(*unchanged).values(**values).returning(Passkey.account_id)
        return session.scalar(statement.execution_options(synchronize_session=False))


def remove(account_id: UUID, shown_id: str, *, here: str) -> str | None:
    """→ its name; None if it is not one of the account's. Ends the account's other sessions."""
    mine = (Passkey.id == parse("psk", shown_id), Passkey.account_id == account_id)
    with transaction() as session:
        second_factor.hold(account_id)
        name = session.scalar(sa.delete(Passkey).where(*mine).returning(Passkey.name))
        if name is not None:
            second_factor.turn_off_unless_left(account_id, "account.passkey_removed", here=here)
    return name


def prune() -> int:
    """Forgets challenges that nobody has answered; → how many. Called by the scheduler."""
    return database.prune(PasskeyChallenge.__table__, PasskeyChallenge.expires_at < now())


def _store_challenge(purpose: str, account_id: UUID | None) -> bytes:
    challenge = secrets.token_bytes(32)
    row = {"digest": _digest(challenge), "purpose": purpose, "account_id": account_id, "expires_at": now() + LIFETIME}
    with transaction() as session:
        session.execute(sa.insert(PasskeyChallenge).values(**row))
    return challenge


def _redeem_challenge(purpose: str, challenge: object) -> tuple[bytes, UUID | None] | None:
    """→ the challenge, and who may answer it."""
    if not isinstance(challenge, str):
        return None
    plain = base64url_to_bytes(challenge)
    good = (PasskeyChallenge.digest == _digest(plain), PasskeyChallenge.purpose == purpose)
    with transaction() as session:
        found = session.execute(
            sa.delete(PasskeyChallenge)
            .where(*good)
            .returning(PasskeyChallenge.account_id, PasskeyChallenge.expires_at)
            .execution_options(synchronize_session=False)
        ).first()
    return None if found is None or found.expires_at < now() else (plain, found.account_id)


def _descriptors(passkeys: Sequence[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=one.credential_id) for one in passkeys]


def _check_room(number: int) -> None:
    if number >= MOST:
        raise Rejected("conflict", N_("You have as many passkeys as an account can have. Remove one first."))


def _too_late() -> Rejected:
    return Rejected("conflict", N_("That took too long, or was begun in another window. Try again."))


def _digest(challenge: bytes) -> bytes:
    return hashlib.sha256(challenge).digest()


def _timeout_ms() -> int:
    return int(LIFETIME.total_seconds() * 1000)


def _host() -> str:
    """The relying party's id: passkeys are good for the host of PUBLIC_URL alone."""
    return urlsplit(current_settings().public_url).hostname or ""


def _origin() -> str:
    """As browsers write it."""
    url = urlsplit(current_settings().public_url)
    default = {"https": 443, "http": 80}[url.scheme]
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{url.scheme}://{host}" if url.port in (None, default) else f"{url.scheme}://{host}:{url.port}"
