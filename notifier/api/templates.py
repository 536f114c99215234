"""Templates of event types: drafts, publishing, rolling back."""

import re
from collections.abc import Sequence
from dataclasses import asdict

from flask import Response

from notifier.api import auth
from notifier.api.answers import answer
from notifier.api.auth import Door, allow, refuse_test_keys
from notifier.api.schemas.catalogue import (
    TemplateAboutIn,
    TemplateContentsIn,
    TemplateIn,
    TemplateOut,
    TemplatePage,
    TemplatePreviewIn,
    TemplatePreviewOut,
    TemplatePublishedOut,
    TemplateWords,
)
from notifier.catalogue import about, templates
from notifier.channels import CHANNELS, FIELDS
from notifier.core.errors import Fault, Rejected
from notifier.core.wording import DRAFT, VARIANT, About, Words
from notifier.operations import template_trial
from notifier.queries import templates as sources
from notifier.queries import types as queries
from notifier.words.render import RenderFault

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}(?:@[0-9]{1,9})?\Z")
_VERSION = re.compile(r"([A-Za-z0-9_.-]{1,64})@([0-9]{1,9})\Z")

_DRAFTS = "a test key sees published templates only"

bp = Door("api_templates", __name__, url_prefix="/api/v1/templates", tag="Templates")


@bp.get("")
@allow("read", "templates")
@bp.output(TemplatePage)
def list_templates() -> Response:
    """The published version of every template"""
    return answer({"data": queries.published_templates(), "next": None})


@bp.get("/<name>")
@allow("read", "templates")
@bp.output(TemplateOut)
def get_template(name: str) -> Response:
    """One template with its words

    `key` is the published version, `key@3` version 3.
    """
    if not _NAME.match(name):
        raise Rejected("not_found", f"there is no template {name[:80]!r}")
    found = queries.one_template(name)
    if found["status"] in (DRAFT, VARIANT):
        refuse_test_keys(_DRAFTS)
    return answer(found)


@bp.post("")
@allow("templates", is_live_only=True)
@bp.input(TemplateIn)
@bp.output(TemplateOut, 201)
def create_template(json_data: TemplateIn) -> Response:
    """Begin a draft

    A new version of the template, which is not used before it is published. Templates of mandatory types, of system
    types, and of types that the key may not submit need the scope `admin`, drafts included.
    """
    check_owner(json_data.key)
    contents = None if json_data.contents is None else contents_of(json_data.contents)
    _check_about(json_data.about)
    version = templates.create(json_data.key, contents, base=json_data.base)
    _keep_about(json_data.key, json_data.about)
    return answer(queries.one_template(f"{json_data.key}@{version}"), 201)


@bp.put("/<name>")
@allow("templates", is_live_only=True)
@bp.input(TemplateContentsIn)
@bp.output(TemplateOut)
def write_template(name: str, json_data: TemplateContentsIn) -> Response:
    """Write the texts of a draft

    `name` is `key@version`. Texts that are not given are removed.
    """
    key, version = _version(name)
    check_owner(key)
    _check_about(json_data.about)
    templates.save(key, version, contents_of(json_data.contents), is_whole=True)
    _keep_about(key, json_data.about)
    return answer(queries.one_template(name))


@bp.post("/<name>/publish")
@allow("templates", is_live_only=True)
@bp.output(TemplatePublishedOut)
def publish_template(name: str) -> Response:
    """Publish a draft, or roll back to an older version

    `name` is `key@version`. It replaces the published version; every process uses it within seconds. `warnings` are
    worth a look, and have stopped nothing.
    """
    key, version = _version(name)
    check_owner(key)
    templates.publish(key, version)
    found, contents = queries.one_template(name), sources.source(key, version).contents
    in_order = {
        place: contents[place] for one in found["contents"] if (place := (one["channel"], one["locale"])) in contents
    }
    return answer({**found, "warnings": [asdict(warning) for warning in templates.warnings(key, in_order)]})


@bp.post("/<name>/preview")
@allow("templates")
@bp.input(TemplatePreviewIn)
@bp.output(TemplatePreviewOut)
def preview_template(name: str, json_data: TemplatePreviewIn) -> Response:
    """Put a version into words with sample data

    `name` is `key@version`. Nothing is stored or sent.
    """
    if json_data.channel not in CHANNELS:
        raise Rejected(
            "validation_failed",
            "no such channel",
            (Fault("/channel", "unknown_channel", f"there is no channel {json_data.channel!r}"),),
        )
    key, version = _version(name)
    version_ = queries.one_template(name)
    if version_["status"] == DRAFT:
        refuse_test_keys(_DRAFTS)
    found = template_trial.preview(
        sources.source(key, version), json_data.channel, json_data.locale, json_data.data, sources.type_of(key)
    )
    if isinstance(found, RenderFault):
        raise Rejected("validation_failed", str(found), (Fault("/data", "template_error", str(found), found.line),))
    shown = asdict(found)
    extra = shown.pop("extra")
    shown["about"] = version_["about"]
    return answer({**shown, **{name: extra.get(name, field.nothing) for name, field in FIELDS.items()}})


def _about(given: TemplateAboutIn) -> About:
    return About(given.name, given.description, given.metadata)


def _check_about(given: TemplateAboutIn | None) -> None:
    """Before anything is stored. Raises Rejected."""
    if given is not None:
        about.check(_about(given), "/about")


def _keep_about(key: str, given: TemplateAboutIn | None) -> None:
    if given is not None:
        about.save(key, _about(given))


def check_owner(key: str) -> None:
    """A template that reaches everybody could lead codes and sign-in links elsewhere. Raises Rejected."""
    auth.may_change(key, is_everybodys=key in queries.keys_of_everybody())


def _version(name: str) -> tuple[str, int]:
    found = _VERSION.match(name)
    if found is None:
        raise Rejected("not_found", f"there is no version {name[:80]!r}: name one as key@3")
    return found[1], int(found[2])


def contents_of(given: Sequence[TemplateWords]) -> dict[tuple[str, str], Words]:
    """The texts by channel and language. Raises Rejected for a pair that occurs twice, which a mapping
    could not show.
    """
    faults = templates.place_faults([(one.channel, one.locale) for one in given])
    if faults:
        raise Rejected("validation_failed", "; ".join(fault.message for fault in faults[:3]), tuple(faults))
    return {(one.channel, one.locale): Words.of(one.model_dump(exclude={"channel", "locale"})) for one in given}
