"""A rule for every page: who may, and what happens then, for each method and each kind of visitor."""

from __future__ import annotations

import pytest

from proctoring import attention
from proctoring.views import deliveries
from tests.access.rules import RULES
from tests.access.site import VISITORS
from tests.access.walk import Walk, addresses, admin_actions, ruled_actions, tells, unruled

ADD = "Add a line to tests/access/rules.py that says who may"


class TestRules:
    def test_stand_for_every_address(self) -> None:
        missing = sorted(set(addresses()) - {rule.name for rule in RULES})

        assert not missing, f"{ADD} use: {', '.join(missing)}"

    def test_stand_for_every_action_of_the_admin(self) -> None:
        missing = sorted(".".join(action) for action in admin_actions() - ruled_actions())

        assert not missing, f"{ADD} take the admin's action: {', '.join(missing)}"

    def test_stand_for_every_step(self) -> None:
        steps = {
            "delivery_step": set(deliveries.STEPS),
            "attention_step": {step.value for step in attention.Step},
            "attention_link": {step.value for step in attention.LinkStep},
        }
        for name, known in steps.items():
            missing = sorted(known - {rule.args[1] for rule in RULES if (rule.name, rule.method) == (name, "POST")})

            assert not missing, f"{ADD} take a step of {name}: {', '.join(missing)}"

    def test_stand_for_nothing_that_is_gone(self) -> None:
        assert {rule.name for rule in RULES} <= set(addresses())
        assert ruled_actions() <= admin_actions()


class TestEveryPage:
    @pytest.mark.parametrize("name", VISITORS)
    def test_answers_as_its_rule_says(self, walk: Walk, name: str) -> None:
        visitor = walk.site.visitors[name]
        client = visitor.client()

        asked = [rule for rule in (*RULES, *unruled()) if tells(rule, visitor)]
        complaints = [sentence for rule in asked for sentence in walk.complaints(rule, visitor, client)]

        assert asked
        assert not complaints, "\n".join(["The rules are in tests/access/rules.py.", *complaints])
