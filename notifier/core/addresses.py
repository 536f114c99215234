"""Which of a person's addresses a channel may use.

Asked by `core.questions`; `core.plan` asks it again of the one address that a delivery goes to.
"""

from notifier.core.facts import AddressFacts, ChannelFacts, Facts, of_channel


def usable(facts: Facts, channel: ChannelFacts) -> list[AddressFacts]:
    """The addresses this channel would use, in a stable order: every active one, the primary one, or the one that is
    meant.
    """
    enabled = [a for a in facts.addresses if a.channel == channel.name and a.disabled_reason is None]
    if facts.only_address is not None:
        return [a for a in enabled if a.id == facts.only_address]
    verified = [a for a in enabled if a.is_verified]
    verified.sort(key=lambda a: (not a.is_primary, str(a.id)))
    if not verified:
        dead = [
            a
            for a in facts.addresses
            if a.channel == channel.name and a.is_verified and may_try_again(facts, channel, a)
        ]
        return sorted(dead, key=lambda a: (not a.is_primary, str(a.id)))[:1]
    return verified if channel.every_address else verified[:1]


def may_try_again(facts: Facts, channel: ChannelFacts, address: AddressFacts) -> bool:
    """An address that bounced a day ago may work again, and what is mandatory is worth finding out."""
    return address.is_due_again and facts.type.mandatory and channel.name in facts.type.channels


def is_suppressed(facts: Facts, channel: ChannelFacts, address: AddressFacts) -> bool:
    """`*` stands for a bounce. A category stands for somebody's complaint, and a channel for their STOP, which are
    never tried again.
    """
    if not address.suppressed_for:
        return False
    bounced = set() if may_try_again(facts, channel, address) else {"*"}
    return bool(address.suppressed_for & {facts.type.category, of_channel(channel.name), *bounced})


def why_none(addresses: tuple[AddressFacts, ...], channel: ChannelFacts) -> dict[str, str]:
    """The detail of a skip for want of an address: what disabled one, if anything did."""
    disabled = [a.disabled_reason for a in addresses if a.channel == channel.name and a.disabled_reason]
    return {"disabled_reason": disabled[0]} if disabled else {}
