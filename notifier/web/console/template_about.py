"""What people keep about a template: its name, description and metadata. Viewers read; admins write."""

from typing import Any

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from wtforms import HiddenField, StringField, TextAreaField, ValidationError
from wtforms.validators import Length

from notifier.catalogue import about
from notifier.core.errors import Rejected
from notifier.core.wording import About
from notifier.queries import about as queries
from notifier.queries import templates
from notifier.web.access import allow, page_blueprint
from notifier.web.forms import ConsoleForm, JsonField, stripped

pages = page_blueprint("template_about", url_prefix="/admin/templates")


class AboutForm(ConsoleForm):
    name = StringField("Name", [Length(max=about.LONGEST_NAME)], filters=[stripped])
    description = TextAreaField("Description", [Length(max=about.LONGEST_DESCRIPTION)], filters=[stripped])
    metadata = JsonField("Metadata")
    seen = HiddenField()

    def validate_metadata(self, field: Any) -> None:
        if not all(isinstance(value, str) for value in (field.data or {}).values()):
            raise ValidationError('Every value is a text: { "team": "checkout" }.')


@pages.get("/<key>/about")
@allow("viewer")
def edit(key: str) -> ResponseReturnValue:
    kept = queries.one(key)
    data = {"name": kept.name, "description": kept.description, "metadata": kept.metadata}
    return _page(key, AboutForm(formdata=None, data={**data, "seen": about.revision_of(kept)}))


@pages.post("/<key>/about")
@allow("admin")
def save(key: str) -> ResponseReturnValue:
    form = AboutForm()
    try:
        form.check()
        kept = About(form.name.data, form.description.data, form.metadata.data or {})
        about.save(key, kept, seen=form.seen.data or None)
    except Rejected as error:
        return _page(key, form.refuse(error)), 422
    flash(f"What is kept about {key} is saved.")
    return redirect(url_for("templates.one", key=key), 303)


def _page(key: str, form: AboutForm) -> str:
    templates.versions(key)  # there is such a template
    return render_template("admin/template_about.html", key=key, form=form)
