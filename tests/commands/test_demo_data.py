"""`demo_data`: everything to try the console with, once."""

from __future__ import annotations

import pytest

from proctoring import demo, planning
from proctoring.models import Account, Candidate, Exam, Membership, Team, User
from proctoring.sandbox.server import Sandbox
from proctoring.vendors import registry
from tests.commands.console import rows, say, well
from tests.world import now

pytestmark = pytest.mark.django_db


class TestDemoData:
    def test_makes_a_team_with_its_people_and_an_account_at_every_vendor(self) -> None:
        said = well("demo_data")

        assert demo.PASSWORD in said.out
        assert set(Account.objects.values_list("vendor", flat=True)) == set(registry.VENDORS)
        assert set(Exam.objects.values_list("account__vendor", flat=True)) == set(registry.VENDORS)
        assert set(Membership.objects.values_list("role", flat=True)) == {role.value for _, role in demo.USERS}
        assert all(user.check_password(demo.PASSWORD) for user in User.objects.all())
        assert not User.objects.filter(is_superuser=True).exists()

    def test_changes_nothing_a_second_time_even_what_somebody_changed(self) -> None:
        well("demo_data")
        Candidate.objects.filter(external_id="C-1001").update(first_name="Changed")
        user = User.objects.get(username="lead")
        user.set_password("my-own-password")
        user.save()
        before = rows()

        well("demo_data")

        assert rows() == before
        assert Candidate.objects.get(external_id="C-1001").first_name == "Changed"
        assert User.objects.get(username="lead").check_password("my-own-password")

    def test_takes_only_its_own_credentials_to_where_the_sandbox_has_moved(self) -> None:
        well("demo_data")
        Account.objects.filter(vendor="campfire").update(
            credentials={"app_key": "of-mine-1", "app_secret": "of-mine-2"}
        )

        well("demo_data", "--sandbox-port", "9200")

        moved = Account.objects.get(vendor="campfire")
        assert moved.base_url == "http://127.0.0.1:9202"
        assert moved.credentials == registry.demo("campfire").CREDENTIALS

    def test_prints_json(self) -> None:
        said = well("demo_data", "--format", "json", "--sandbox-port", "9200")

        assert said.json["team"] == demo.TEAM
        assert {user["username"] for user in said.json["users"]} == {name for name, _ in demo.USERS}
        assert (
            said.json["accounts"]["scorpion"]
            == Account.objects.get(vendor="scorpion").base_url
            == "http://127.0.0.1:9201"
        )

    def test_can_be_delivered_at_once(self) -> None:
        well("demo_data")
        exam = Exam.objects.get(title="Certified Widget Inspector", account__vendor="scorpion")

        plan = planning.plan_candidates(exam, Candidate.objects.all(), now=now(), options={})

        assert plan.refusal == ""
        assert (len(plan.ready), len(plan.asks), len(plan.refused)) == (5, 1, 0)


class TestTheDemoAccounts:
    @pytest.mark.django_db(transaction=True)
    def test_work_at_the_sandbox(self) -> None:
        with Sandbox.running(dict.fromkeys(registry.VENDORS, 0)) as sandbox:
            demo.load(sandbox_urls={key: sandbox.url(key) for key in registry.VENDORS}, now=now())
            failed = {}
            for account in Account.objects.all():
                said = say("account", "check", account.name)
                if said.error:
                    failed[account.vendor] = f"{said.out} {said.error}"

        assert failed == {}
        assert Team.objects.get().name == demo.TEAM
