"""Prompts and images, sent from a browser."""

from __future__ import annotations

from django import forms
from django.core.files.uploadedfile import UploadedFile

from annotation.services.imports.uploads import MANIFEST, MOST_BYTES, SUFFIXES


def material_field(*, required: bool) -> forms.FileField:
    return MaterialField(
        label="Prompts and images",
        required=required,
        widget=forms.ClearableFileInput(attrs={"accept": ",".join(SUFFIXES)}),
        help_text=f"Images: a .zip with a {MANIFEST}, a line a prompt: "
        '{"prompt_id": "1", "prompt": "a fox", "images": [{"file": "1a.png", "generator": "sd"}]}. '
        "Prompts alone: a .txt with one a line, .jsonl, .json, .csv or .parquet.",
    )


class MaterialField(forms.FileField):
    """A file that is not too large to be read while somebody waits."""

    def clean(self, data: UploadedFile[bytes] | None, initial: object = None) -> UploadedFile[bytes] | None:
        file: UploadedFile[bytes] | None = super().clean(data, initial)
        if file is not None and (file.size or 0) > MOST_BYTES:
            raise forms.ValidationError(
                f"A file may have {MOST_BYTES // 2**20} MiB. Larger ones are imported by "
                "manage.py import_generations."
            )
        return file


class MaterialForm(forms.Form):
    """More prompts or images for a project."""

    material = material_field(required=True)
