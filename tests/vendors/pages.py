"""What a browser sends of a form: the values of its inputs as they are rendered."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

from django import forms
from django.http import QueryDict

from proctoring.vendors.base import HttpRequest, HttpResponse
from proctoring.vendors.formfields import RowsWidget, VendorForm


def posted(form: forms.Form, **typed: str) -> QueryDict:
    """The POST data of the form as shown, but for what was `typed`."""
    data = QueryDict(mutable=True)
    for bound in form:
        for name, value in _inputs(bound):
            data.appendlist(name, value)
    for name, value in typed.items():
        data.setlist(name, [value])
    return data


def unlisted(form: type[VendorForm]) -> set[str]:
    """Fields that the form's sections leave out, name twice, or name although there is no such field."""
    visible = [name for name, field in form.base_fields.items() if not field.widget.is_hidden]
    listed = [name for _, names in form.SECTIONS for name in names]
    return set(visible) ^ set(listed) | {name for name in listed if listed.count(name) > 1}


def no_call(request: HttpRequest, *, is_effect: bool) -> HttpResponse:
    """The transport of an adapter that is only asked what it would send."""
    raise AssertionError(f"{request.method} {request.url} was sent")


def _inputs(bound: forms.BoundField) -> Iterator[tuple[str, str]]:
    widget = bound.field.widget
    if isinstance(widget, RowsWidget):
        for row in widget.get_context(bound.html_name, bound.value(), {})["rows"]:
            yield from ((cell["name"], str(cell["value"])) for cell in row)
        return
    reader = _Inputs()
    reader.feed(str(bound))
    yield from reader.found


class _Inputs(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.name = ""
        self.text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, Any] = dict(attrs)
        if tag == "input":
            self._input(given)
        elif tag in ("select", "textarea"):
            self.name, self.text = given["name"], [] if tag == "textarea" else None
        elif tag == "option" and "selected" in given:
            self.found.append((self.name, given["value"]))

    def _input(self, given: dict[str, Any]) -> None:
        if given.get("type") not in ("checkbox", "radio"):
            self.found.append((given["name"], given.get("value") or ""))
        elif "checked" in given:
            self.found.append((given["name"], given.get("value", "on")))

    def handle_data(self, data: str) -> None:
        if self.text is not None:
            self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self.text is not None:
            text = "".join(self.text).removeprefix("\n")
            self.found.append((self.name, text.replace("\r\n", "\n").replace("\n", "\r\n")))
            self.text = None
