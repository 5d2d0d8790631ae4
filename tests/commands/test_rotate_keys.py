"""`manage.py rotate_keys`: after it, the old key is not needed any more."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings

from proctoring.models import Account, Delivery
from proctoring.models.fields import WrongKey
from tests import factories
from tests.commands.console import well

pytestmark = pytest.mark.django_db


class TestRotateKeys:
    def test_lets_the_old_key_go(self, settings: LazySettings) -> None:
        old, new = list(settings.FIELD_ENCRYPTION_KEYS), Fernet.generate_key().decode()
        team = factories.make_team()
        exam = factories.make_exam(factories.make_account(team))
        delivery = factories.make_delivery(exam, factories.make_candidate(team), state="created")
        settings.FIELD_ENCRYPTION_KEYS = [new, *old]

        well("rotate_keys")

        settings.FIELD_ENCRYPTION_KEYS = [new]
        assert Delivery.objects.get(pk=delivery.pk).take_url == factories.TAKE_URL
        assert Account.objects.get().credentials == {"token": factories.TOKEN}

    def test_is_needed_before_the_old_key_goes(self, settings: LazySettings) -> None:
        factories.make_account(factories.make_team())

        settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

        with pytest.raises(WrongKey):
            Account.objects.get()
