"""The admin: lists and forms over what the domain keeps. Importing this package registers every page."""

from django.contrib import admin
from django.contrib.auth.models import Group

from proctoring.admin import accounts, candidates, deliveries, exams, ledger, people
from proctoring.admin.base import settle_site

__all__ = ["accounts", "candidates", "deliveries", "exams", "ledger", "people"]

# Rights come from roles in teams; groups would promise something that nothing here reads.
if admin.site.is_registered(Group):
    admin.site.unregister(Group)
settle_site()
