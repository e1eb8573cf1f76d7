"""The form of a webhook."""

from __future__ import annotations

from django import forms
from django.conf import settings

from annotation.models import Webhook
from annotation.registry import event_choices
from annotation.services.webhooks.posting import BadAddress, Target


class WebhookForm(forms.Form):
    """A new webhook."""

    url = forms.CharField(
        label="Address",
        max_length=Webhook._meta.get_field("url").max_length,
        widget=forms.URLInput(attrs={"placeholder": "https://"}),
    )
    kinds = forms.MultipleChoiceField(
        label="Events",
        choices=event_choices,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose what it is told of."},
    )

    def clean_url(self) -> str:
        """Reject URLs that would not be posted to."""
        url: str = self.cleaned_data["url"]
        try:
            Target.parse(url, private=settings.WEBHOOKS_TO_PRIVATE_ADDRESSES)
        except BadAddress as error:
            raise forms.ValidationError(str(error)) from None
        return url
