"""A variable that looks like a setting of ours and is read by nothing is told."""

import pytest

from notifier.ground.unknown_settings import unknown_settings


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("NOTIFIER_COLOUR", {"NOTIFIER_COLOUR": None}),
        ("DATABSE_URL", {"DATABSE_URL": "DATABASE_URL"}),
        ("PUBLIC_URLS", {"PUBLIC_URLS": "PUBLIC_URL"}),
        ("SMTP_ULR", {"SMTP_ULR": "SMTP_URL"}),
        ("VAPID_CONTCT", {"VAPID_CONTCT": "VAPID_CONTACT"}),
        ("DATABASE_URL", {}),
        ("SECRET_KEY_FILE", {}),
        ("VAPID_CONTACT", {}),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", {}),
        ("HOME", {}),
        ("HOSTNAME", {}),
        ("PATH", {}),
        ("NOTIFIER_SERVICE_HOST", {}),
        ("NOTIFIER_PORT_80_TCP_ADDR", {}),
    ],
)
def test_a_setting_that_nothing_reads_is_told_with_its_nearest_neighbour(
    name: str, found: dict[str, str | None]
) -> None:
    assert unknown_settings({name: "x"}, {"SMTP_URL", "VAPID_CONTACT"}) == found
