"""What sending invitations needs: which deliveries the preview showed, and a token that a second press repeats."""

from __future__ import annotations

from django import forms

from proctoring.forms.fields import UuidListField


class TokenForm(forms.Form):
    """The token of one press."""

    token = forms.UUIDField(widget=forms.HiddenInput)


class InviteForm(TokenForm):
    """The deliveries that the preview showed; `again` are those of them that have an invitation and get another."""

    deliveries = UuidListField(label="Deliveries")
    is_again = forms.BooleanField(required=False)
