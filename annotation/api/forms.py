"""Fields of requests that are those of a page's form, the only place that says what may be in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from rest_framework import serializers
from rest_framework.fields import empty

from annotation.api.serializers import AxesOfProject
from annotation.forms.axes import AxesField
from annotation.forms.programs import check_known, filled_in

F = TypeVar("F", bound=forms.BaseForm)


class Flag(serializers.BooleanField):
    """True or false; a form-encoded body, too, does not send what it leaves out: it is no page."""

    default_empty_html = empty


class FormSerializer(serializers.Serializer[Any]):
    """Fields of a form; any other is refused."""

    def to_internal_value(self, data: Any) -> Any:
        names = data if isinstance(data, Mapping) else ()
        try:
            check_known((name.partition("[")[0] for name in names), self.fields)  # a form's list: name[0]part
        except ValidationError as error:
            raise serializers.ValidationError(error.message_dict) from None
        return super().to_internal_value(data)


def fields_of(form: type[forms.BaseForm], *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Return a serializer's fields, by name, none of them required: the form knows what it needs."""
    blank = form()
    return {name: _field(blank, name) for name in blank.fields if name not in set(without)}


def filled_by(form: type[F], values: Mapping[str, Any], **options: Any) -> F:
    """Return the valid form. Raises: the API's ValidationError, as `filled_in` says."""
    try:
        return filled_in(form, values, **options)
    except ValidationError as error:
        raise serializers.ValidationError(error.message_dict) from None


def _field(form: forms.BaseForm, name: str) -> serializers.Field[Any, Any, Any, Any]:
    field = form.fields[name]
    options: dict[str, Any] = {"required": False, "help_text": " ".join(_words(field))}
    if isinstance(field, forms.BooleanField):
        return Flag(**options)
    if isinstance(field, forms.FloatField):
        return serializers.FloatField(**options, **_limits(form, name))
    if isinstance(field, forms.IntegerField):
        return serializers.IntegerField(**options, **_limits(form, name))
    if isinstance(field, forms.ChoiceField) and isinstance(field.widget, forms.Select):
        return serializers.ChoiceField(choices=list(field.widget.choices), **options)
    if isinstance(field, AxesField):
        return AxesOfProject(allow_null=True, **options)
    longest = getattr(field, "max_length", None)
    return serializers.CharField(
        **options, max_length=longest, allow_blank=not field.required, trim_whitespace=False
    )


def _words(field: forms.Field) -> Iterable[str]:
    """Yield the label and the help of the field, each as a sentence."""
    for text in (field.label, field.help_text):
        if text:
            yield f"{str(text).rstrip('.')}."


def _limits(form: forms.BaseForm, name: str) -> dict[str, Any]:
    """Return the least and the highest number, of the form's field or of its model's."""
    validators = list(form.fields[name].validators)
    if isinstance(form, forms.BaseModelForm):
        validators += form._meta.model._meta.get_field(name).validators
    lows = [v.limit_value for v in validators if isinstance(v, MinValueValidator)]
    highs = [v.limit_value for v in validators if isinstance(v, MaxValueValidator)]
    return {"min_value": max(lows, default=None), "max_value": min(highs, default=None)}
