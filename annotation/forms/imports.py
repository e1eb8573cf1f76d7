"""Forms for importing files: prompts and images, and rankings."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from annotation.models.prompts import Split
from annotation.services.imports import RankingOptions
from annotation.services.imports.archives import MANIFEST, MOST_BYTES
from annotation.services.imports.formats import READERS
from annotation.services.imports.uploads import OF_RANKINGS, SUFFIXES

WITHOUT, SKIPPED = "none", "unbroken"  # what is taken of a ranking's images


def material_field(*, required: bool) -> forms.FileField:
    return ImportField(
        command="import_generations",
        label="Prompts and images",
        required=required,
        widget=forms.ClearableFileInput(attrs={"accept": ",".join(SUFFIXES)}),
        help_text=f"Images: a .zip with a {MANIFEST}, a line a prompt: "
        '{"prompt_id": "1", "prompt": "a fox", "images": [{"file": "1a.png", "generator": "sd"}]}. '
        "Prompts alone: a .txt with one a line, .jsonl, .json, .csv, .tsv or .parquet.",
    )


class ImportField(forms.FileField):
    """A file small enough to be sent in one request. Args: command: of manage.py, for larger ones."""

    def __init__(self, *, command: str, **options: Any) -> None:
        super().__init__(**options)
        self.command = command

    def clean(self, data: UploadedFile[bytes] | None, initial: object = None) -> UploadedFile[bytes] | None:
        file: UploadedFile[bytes] | None = super().clean(data, initial)
        if file is not None and (file.size or 0) > MOST_BYTES:
            raise forms.ValidationError(
                f"A file may have {MOST_BYTES // 2**20} MiB. Larger ones are imported by "
                f"manage.py {self.command}."
            )
        return file


class MaterialForm(forms.Form):
    """More prompts or images for a project."""

    material = material_field(required=True)


class RankingsForm(forms.Form):
    """Rankings that people gave elsewhere."""

    rankings = ImportField(
        command="import_rankings",
        label="Rankings",
        widget=forms.ClearableFileInput(attrs={"accept": ",".join(OF_RANKINGS)}),
        help_text="They come in as accepted answers. A .zip with a table and the images it names, such as an "
        "export; or the table alone: .json, .jsonl, .csv, .tsv or .parquet.",
    )
    images = forms.ChoiceField(
        label="Their images",
        initial="all",
        choices=[
            ("all", "All must be there"),
            (SKIPPED, "Skip missing and broken ones"),
            (WITHOUT, "Import the rankings without images"),
        ],
        help_text="In the file or the project. A ranking without some of its images is in no dataset.",
    )
    format = forms.ChoiceField(
        required=False,
        choices=[("", "Recognized by its fields"), *((name, name) for name in sorted(READERS))],
    )
    split = forms.ChoiceField(
        required=False,
        label="Published split",
        choices=[("", "As the file says"), *Split.choices],
        help_text="Datasets keep its prompts there.",
    )

    def options(self) -> RankingOptions:
        """Return how the file is read."""
        images = self.cleaned_data["images"]
        return RankingOptions(
            format=self.cleaned_data["format"],
            split=self.cleaned_data["split"],
            without_images=images == WITHOUT,
            skip_broken=images == SKIPPED,
        )
