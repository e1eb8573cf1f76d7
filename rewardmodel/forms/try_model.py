"""Images that somebody wants to see scored."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat

PROMPT_LENGTH = 20_000


class _FilesInput(forms.FileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """One file or several."""

    def clean(self, data: Any, initial: Any = None) -> Any:
        files = [super(FilesField, self).clean(file, initial) for file in data or [None]]
        if len(files) > settings.SCORES_MAX_IMAGES:
            raise forms.ValidationError(f"At most {settings.SCORES_MAX_IMAGES} at a time.")
        if sum(file.size for file in files) > settings.SCORES_MAX_BYTES:
            raise forms.ValidationError(f"At most {filesizeformat(settings.SCORES_MAX_BYTES)} at a time.")
        return files


class TryForm(forms.Form):
    """A prompt, and images made for it."""

    prompt = forms.CharField(max_length=PROMPT_LENGTH, widget=forms.Textarea(attrs={"rows": 2}))
    images = FilesField(
        allow_empty_file=True,  # the scorer says what is no image
        widget=_FilesInput(attrs={"accept": "image/png,image/jpeg,image/webp", "multiple": True}),
        help_text="PNG, JPEG or WebP. Choose several, or drop them here. They are not kept.",
    )

    @property
    def files_sent(self) -> list[UploadedFile[bytes]]:
        sent: list[UploadedFile[bytes]] = self.cleaned_data["images"]
        return sent
