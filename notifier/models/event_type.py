"""Event types and their templates."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Integer, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from notifier.ground.clock import now
from notifier.ground.extensions import Base
from notifier.ground.ids import new_id
from notifier.models.types import PlainJSON, UtcDateTime

TYPE_SAVED = "type.saved"  # by a person or a key, in the audit trail


class EventType(Base):
    """A kind of event. `channels` are used when a submission names none; `schema` is JSON Schema 2020-12 of its data.

    `resend_unknown`: whether a send that may have gone out is repeated (None: yes for transactional and system).
    `titles` holds its name for people by locale, `descriptions` a sentence on when it comes. `is_internal`: raised by
    the product itself, never by a producer.
    `routing` is used when a submission names none; `escalate_after_s` is how long its step waits to be read.
    `dedupe_window_s`: repeats within it are left out, even if a submission does not ask for that; 0 or None: they are
    not; `dedupe_near`: repeats that differ in case, spaces or the formatting of numbers count too. `tracks_opens`,
    `tracks_clicks`: its mails carry a pixel, and links of our own that lead on; never those of mandatory types.
    """

    __tablename__ = "event_type"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    titles: Mapped[dict[str, str]] = mapped_column(PlainJSON)
    descriptions: Mapped[dict[str, str]] = mapped_column(PlainJSON, default=dict, server_default="{}")
    category: Mapped[str] = mapped_column(String(32))
    priority: Mapped[str] = mapped_column(String(16))
    channels: Mapped[list[str]] = mapped_column(PlainJSON)
    schema: Mapped[dict[str, Any]] = mapped_column(PlainJSON)
    is_mandatory: Mapped[bool] = mapped_column(default=False)
    to_admins: Mapped[bool] = mapped_column(default=False)
    resend_unknown: Mapped[bool | None] = mapped_column()
    is_internal: Mapped[bool] = mapped_column(default=False)
    routing: Mapped[str | None] = mapped_column(String(16))
    escalate_after_s: Mapped[int | None] = mapped_column(Integer)
    dedupe_window_s: Mapped[int | None] = mapped_column(Integer)
    dedupe_near: Mapped[bool] = mapped_column(default=False)
    tracks_opens: Mapped[bool] = mapped_column(default=False, server_default=false())
    tracks_clicks: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, onupdate=now)

    @property
    def resends_unknown(self) -> bool:
        return self.category in ("transactional", "system") if self.resend_unknown is None else self.resend_unknown


class Template(Base):
    """One version of a template: draft, published or archived. `key` is that of its type unless a producer names
    another.

    A published version never changes; a notification records the one it used.
    """

    __tablename__ = "template"
    __table_args__ = (
        UniqueConstraint("key", "version"),
        Index(
            "uq_template_published",
            "key",
            unique=True,
            sqlite_where=text("status = 'published'"),
            postgresql_where=text("status = 'published'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    key: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16), default="draft")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class TemplateAbout(Base):
    """What people keep about a template, all its versions together: never sent, and no part of its words.

    `pairs` are free keys and values, bounded by `catalogue.about`.
    """

    __tablename__ = "template_about"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    description: Mapped[str] = mapped_column(Text, default="")
    pairs: Mapped[dict[str, str]] = mapped_column("metadata", PlainJSON)


class TemplateContent(Base):
    """The words of a template for one channel (`*`: any channel that has none of its own) and locale.

    All fields are Jinja2 source. `html` is the inner part of a mail; the layout around it is ours. `extra`: by name,
    what the shapes of channels declare (`core.shape_fields`).
    """

    __tablename__ = "template_content"

    template_id: Mapped[UUID] = mapped_column(ForeignKey("template.id", ondelete="CASCADE"), primary_key=True)
    channel: Mapped[str] = mapped_column(String(32), primary_key=True)
    locale: Mapped[str] = mapped_column(String(35), primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text)
    html: Mapped[str | None] = mapped_column(Text)
    action_label: Mapped[str | None] = mapped_column(Text)
    action_url: Mapped[str | None] = mapped_column(Text)
    image: Mapped[str | None] = mapped_column(Text)
    secondary_label: Mapped[str | None] = mapped_column(Text)
    secondary_url: Mapped[str | None] = mapped_column(Text)
    extra: Mapped[dict[str, str]] = mapped_column(PlainJSON, default=dict)
