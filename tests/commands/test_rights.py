"""In whose name a command is done, must be somebody who may do it on a page, too."""

from __future__ import annotations

import pytest

from proctoring.models import Role
from tests import factories
from tests.commands.console import rows, say

KEY = "token=c2VjcmV0LXRva2VuLW9mLXRlc3Rz"


class TestBy:
    @pytest.mark.parametrize(
        ("command", "role", "least"),
        [
            (("exam", "send", "Widgets"), Role.VIEWER, "a coordinator"),
            (("exam", "add", "Gadgets", "--account", "Scorpion"), Role.VIEWER, "a coordinator"),
            (
                *(("account", "add", "New", "--team", "Northern exams", "--vendor", "scorpion", "--credential", KEY),),
                *(Role.LEAD, "an administrator"),
            ),
            (("account", "credentials", "Scorpion", "--credential", KEY), Role.LEAD, "an administrator"),
            (("account", "check", "Scorpion"), Role.LEAD, "an administrator"),
        ],
    )
    def test_is_refused_where_the_role_does_not_allow_it(
        self, db: None, command: tuple[str, ...], role: Role, least: str
    ) -> None:
        team = factories.make_team("Northern exams")
        factories.make_exam(factories.make_account(team, name="Scorpion"), title="Widgets")
        factories.make_user(role=role, team=team, username="una")
        before = rows()

        said = say(*command, "--by", "una")

        assert said.error is not None
        assert f"It takes {least} of that team." in said.error
        assert rows() == before
