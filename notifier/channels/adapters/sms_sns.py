"""SMS by Amazon SNS, by its query protocol: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html.

Amazon tells nobody by HTTP what became of an SMS (it writes to CloudWatch Logs, up to three days later), so `sent` is
the last that is known of one.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlencode

from notifier.channels.contract import Adapter, Setting
from notifier.channels.table import SMS
from notifier.channels.wire import amazon
from notifier.channels.wire.answers import AMBIGUOUS, STATUSES, Family, Response, explain_code, not_understood
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, OptedOut, Permanent, RateLimited
from notifier.core.message import Message, Receipt, Recipient
from notifier.ground.clock import now

_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_SENDER_ID = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9-]{1,11}")
_MESSAGE_ID = re.compile(rb"<MessageId>([\w-]+)</MessageId>")
# Amazon's route for what must arrive costs more than the one for offers.
_PROMOTIONAL = {"marketing", "social"}

_CODES: dict[str | int, Family] = {
    **amazon.CODES,
    "InternalError": AMBIGUOUS,
    "InternalFailure": AMBIGUOUS,
    "Throttled": RateLimited,
    "KMSThrottling": RateLimited,
    "InvalidParameter": Permanent,
    "ParameterValueInvalid": Permanent,
    "ValidationError": Permanent,
    "OptedOut": OptedOut,
    "EndpointDisabled": Misconfigured,
    "InvalidSecurity": Misconfigured,
    "NotFound": Misconfigured,
    "PlatformApplicationDisabled": Misconfigured,
    "KMSAccessDenied": Misconfigured,
    "KMSDisabled": Misconfigured,
    "KMSInvalidState": Misconfigured,
    "KMSNotFound": Misconfigured,
    "KMSOptInRequired": Misconfigured,
}
_STATUSES: dict[int, Family] = {**STATUSES, 404: Misconfigured, 500: AMBIGUOUS, 502: AMBIGUOUS}
# The same code for every parameter: its sentence alone says which.
_OF_THE_NUMBER = re.compile(rb"<Message>Invalid parameter: PhoneNumber\b")


class Sns(Adapter):
    channel = SMS
    provider = "sns"
    label = "Amazon SNS"
    settings = (
        Setting("SNS_REGION", "region of the account", example="eu-central-1"),
        Setting("SNS_ACCESS_KEY", "id of an access key that may call `sns:Publish`", example="AKIAIOSFODNN7EXAMPLE"),
        Setting("SNS_SECRET_KEY", "its secret", is_secret=True, example="je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY"),
        Setting(
            "SNS_SENDER_ID", "name that SMS come from, where the country allows one", is_required=False, example="Shop"
        ),
        Setting(
            "SNS_URL",
            "base of the API, instead of `https://sns.REGION.amazonaws.com`",
            is_required=False,
            example="https://sns.eu-central-1.amazonaws.com",
        ),
    )
    per_second = 20.0  # https://docs.aws.amazon.com/general/latest/gr/sns.html

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        self._signer = amazon.Signer.of("sns", self.options, "SNS")
        sender = self.options.get("SNS_SENDER_ID")
        if sender and not _SENDER_ID.fullmatch(sender):
            raise ValueError("SNS_SENDER_ID: must be a name of 11 letters and digits")

    def send(self, message: Message, to: Recipient) -> Receipt:
        """No field takes the delivery's id; a header holds it, for whoever stands between."""
        self.check_complete()
        assert self._signer is not None
        attributes = {"SMSType": "Promotional" if message.category in _PROMOTIONAL else "Transactional"}
        if self.options.get("SNS_SENDER_ID"):
            attributes["SenderID"] = self.options["SNS_SENDER_ID"]
        fields = {
            "Action": "Publish",
            "Version": "2010-03-31",
            "PhoneNumber": to.address,
            "Message": message.content.body,
        }
        for number, (name, value) in enumerate(attributes.items(), 1):
            entry = f"MessageAttributes.entry.{number}"
            fields |= {
                f"{entry}.Name": f"AWS.SNS.SMS.{name}",
                f"{entry}.Value.DataType": "String",
                f"{entry}.Value.StringValue": value,
            }
        base = self.options.get("SNS_URL") or f"https://{amazon.host('sns', self._signer.region)}"
        url, body = base.rstrip("/") + "/", urlencode(fields, errors="replace").encode()
        headers = {**self._signer.headers(url, body, _FORM, now()), "X-Request-Id": message.delivery_id}
        response = self.http.post(url, body, headers, explain=self.explain)
        found = _MESSAGE_ID.search(response.body)
        assert found is not None
        return Receipt("sent", provider_message_id=found[1].decode())

    def explain(self, response: Response) -> DeliveryError | None:
        if response.is_success:
            return None if _MESSAGE_ID.search(response.body) else not_understood(response)
        error = explain_code(amazon.code_of(response), response, _CODES, _STATUSES)
        if isinstance(error, Permanent) and _OF_THE_NUMBER.search(response.body):
            return InvalidRecipient("Amazon takes this for no number", code=error.code)
        return error
