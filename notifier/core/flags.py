"""For whom a channel or a provider is on: a percentage of the users, always the same ones."""

import hashlib


def is_in_rollout(name: str, percentage: int, user_id: str) -> bool:
    """`name` is `sms` or `sms:twilio`. Who is in at 10 % is in at 20 % too; flags of two names draw apart."""
    if percentage >= 100:
        return True
    drawn = int.from_bytes(hashlib.sha256(f"{name}\0{user_id}".encode()).digest()[:8], "big")
    return drawn % 10_000 < percentage * 100
