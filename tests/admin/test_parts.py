from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.urls import reverse

from proctoring.admin.parts import MASK, masked
from proctoring.models import Account, Exam, Role
from proctoring.vendors import registry
from tests import factories
from tests.admin.conftest import World, signed_in

pytestmark = pytest.mark.django_db

VENDORS = list(registry.VENDORS)


def inputs(page: str) -> set[str]:
    return {name.replace("&amp;", "&") for name in re.findall(r'name="(settings-[^"]+|credentials-[^"]+)"', page)}


def shown(form: Any, part: str, names: set[str]) -> list[str]:
    """The fields of a form that the page has no input for."""
    keys = [f"{part}-{key}" for key in form.base_fields]
    return [key for key in keys if not any(name == key or name.startswith(f"{key}-") for name in names)]


class TestVendorsForms:
    @pytest.mark.parametrize("vendor", VENDORS)
    def test_appear_whole_on_an_accounts_page(self, world: World, vendor: str) -> None:
        address = f"{reverse('admin:proctoring_account_add')}?team={world.team.pk}&vendor={vendor}"

        names = inputs(signed_in(world.members[Role.ADMINISTRATOR]).get(address).content.decode())

        assert shown(registry.forms(vendor).AccountForm, "settings", names) == []
        assert shown(registry.forms(vendor).CredentialsForm, "credentials", names) == []

    @pytest.mark.parametrize("vendor", VENDORS)
    def test_appear_whole_on_an_exams_page_and_say_what_they_miss(self, world: World, vendor: str) -> None:
        account = factories.make_account(world.team, vendor=vendor)
        client = signed_in(world.members[Role.COORDINATOR])
        address = f"{reverse('admin:proctoring_exam_add')}?account={account.pk}"

        names = inputs(client.get(address).content.decode())
        refused = client.post(address, {"account": str(account.pk), "shown_vendor": vendor})

        assert shown(registry.forms(vendor).ExamForm, "settings", names) == []
        assert refused.status_code == 200
        assert "This field is required" in refused.content.decode()
        assert Exam.objects.filter(account=account).count() == 0

    @pytest.mark.parametrize("vendor", VENDORS)
    def test_keep_a_demo_exam_as_it_is_when_it_is_saved_again(self, world: World, vendor: str) -> None:
        demo = registry.demo(vendor)
        account = factories.make_account(
            world.team, vendor=vendor, settings=demo.SETTINGS, permissions=demo.PERMISSIONS
        )
        form = registry.forms(vendor).ExamForm({"a": "b", **_texts(demo.EXAMS[0]["settings"], vendor)})
        assert form.is_valid(), form.errors
        exam = factories.make_exam(account, settings=form.settings())
        client = signed_in(world.members[Role.COORDINATOR])
        address = reverse("admin:proctoring_exam_change", args=[exam.pk])

        page = client.get(address)
        response = client.post(address, _as_posted(page.context["adminform"].form))

        exam.refresh_from_db()
        assert response.status_code == 302, response.context["adminform"].form.errors
        assert exam.settings == form.settings()

    def test_show_no_saved_secret_and_keep_it_when_left_empty(self, world: World) -> None:
        account = factories.make_account(world.team, vendor="cirrus")
        settings = {**registry.demo("cirrus").EXAMS[0]["settings"], "pin": "4711"}
        form = registry.forms("cirrus").ExamForm(_texts(settings, "cirrus"))
        assert form.is_valid(), form.errors
        exam = factories.make_exam(account, settings=form.settings())
        client = signed_in(world.members[Role.COORDINATOR])
        address = reverse("admin:proctoring_exam_change", args=[exam.pk])

        page = client.get(address)
        response = client.post(address, _as_posted(page.context["adminform"].form))

        exam.refresh_from_db()
        assert 'value="4711"' not in page.content.decode()
        assert "settings-pin-remove" in page.content.decode()
        assert response.status_code == 302, response.context["adminform"].form.errors
        assert exam.settings == form.settings()
        assert "4711" in str(exam.settings)

    def test_show_no_saved_secret_to_those_who_only_look(self, world: World) -> None:
        account = factories.make_account(world.team, vendor="cirrus")
        exam = factories.make_exam(account, settings={"pin": "pin-4711", "company": "Acme"})

        page = signed_in(world.members[Role.VIEWER]).get(reverse("admin:proctoring_exam_change", args=[exam.pk]))

        assert "pin-4711" not in page.content.decode()


def _texts(settings: dict[str, Any], vendor: str) -> dict[str, Any]:
    """Stored settings as the command line gives them to a form."""
    form = registry.forms(vendor).ExamForm
    unbound = form(initial=form.initial_from(settings))
    return {name: value for name in unbound.fields if (value := unbound[name].value()) not in (None, "")}


def _as_posted(form: Any) -> dict[str, Any]:
    """What a browser posts back of a form that nobody touched: read from its own inputs."""
    inputs = Inputs()
    for bound in form:
        inputs.feed(str(bound.as_widget()))
    return {**inputs.lists, **inputs.texts}


class Inputs(HTMLParser):
    """The values of a page's inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, list[str]] = {}
        self.texts: dict[str, str] = {}
        self.select = self.area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        if tag == "select":
            self.select = values["name"]
        elif tag == "textarea":
            self.area = values["name"]
            self.texts[self.area] = ""
        elif tag == "option" and "selected" in values:
            self.lists.setdefault(self.select, []).append(values["value"])
        elif tag == "input" and values.get("type") not in ("checkbox", "radio"):
            self.lists.setdefault(values["name"], []).append(values.get("value", ""))
        elif tag == "input" and "checked" in values:
            self.lists.setdefault(values["name"], []).append(values.get("value", "on"))

    def handle_endtag(self, tag: str) -> None:
        self.area = "" if tag == "textarea" else self.area

    def handle_data(self, data: str) -> None:
        if self.area:
            self.texts[self.area] += data if self.texts[self.area] else data.lstrip("\r\n")


class TestMasked:
    def test_hides_links_and_the_vendors_secrets_at_any_depth(self) -> None:
        value = {
            "order": {"options": {"password": "x", "city": "Oslo"}},
            "rows": [{"pin": "1"}],
            "take_url": "https://a",
        }

        assert masked(value, "cirrus") == {
            "order": {"options": {"password": MASK, "city": "Oslo"}},
            "rows": [{"pin": MASK}],
            "take_url": MASK,
        }

    def test_leaves_what_is_empty_as_it_is(self) -> None:
        assert masked({"pin": "", "x": None}, "cirrus") == {"pin": "", "x": None}


class TestAccountsOfEveryVendor:
    @pytest.mark.parametrize("vendor", VENDORS)
    def test_are_saved_again_as_they_are(self, world: World, vendor: str) -> None:
        demo = registry.demo(vendor)
        credentials, settings = dict(demo.CREDENTIALS), dict(demo.SETTINGS)
        account = factories.make_account(world.team, vendor=vendor, credentials=credentials, settings=settings)
        client = signed_in(world.members[Role.ADMINISTRATOR])
        address = reverse("admin:proctoring_account_change", args=[account.pk])

        page = client.get(address)
        response = client.post(address, _as_posted(page.context["adminform"].form))

        saved = Account.objects.get(pk=account.pk)
        assert response.status_code == 302, response.context["adminform"].form.errors
        assert saved.credentials == credentials
        assert {key: saved.settings[key] for key in settings} == settings
        for secret in credentials.values():
            assert secret not in page.content.decode()
