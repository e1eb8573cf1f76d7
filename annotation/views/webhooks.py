"""A project's webhooks and their deliveries, for its admins."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from annotation.access import MemberRequest, admin_required
from annotation.forms.webhooks import WebhookForm
from annotation.models import Delivery, Project, Webhook
from annotation.services.webhooks.webhooks import (
    create_webhook,
    delete_webhook,
    enable_webhook,
    ping,
    redeliver,
    renew_secret,
)

LIST = "annotation/webhooks/list.html"
WEBHOOK = "annotation/webhooks/webhook.html"
PER_PAGE = 50


@require_safe
@admin_required
def webhooks(request: MemberRequest, project: Project) -> HttpResponse:
    return render(request, LIST, _list_context(project, WebhookForm()))


@require_POST
@never_cache
@admin_required
def add_webhook(request: MemberRequest, project: Project) -> HttpResponse:
    """Create a webhook. Its secret is shown only in this response."""
    form = WebhookForm(request.POST)
    if not form.is_valid():
        return render(request, LIST, _list_context(project, form), status=422)
    added = create_webhook(project=project, by=request.user, **form.cleaned_data)
    return render(request, WEBHOOK, {**_webhook_context(request, added), "secret": added.secret})


@require_safe
@never_cache
@admin_required
def webhook(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """List the webhook's deliveries, newest first; the page polls while some are waiting."""
    context = _webhook_context(request, _webhook_of(project, pk))
    return render(request, f"{WEBHOOK}#deliveries" if request.htmx else WEBHOOK, context)


@require_POST
@admin_required
def ping_webhook(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    webhook = _webhook_of(project, pk)
    if not webhook.enabled:
        messages.error(request, "It is switched off: switch it on first.")
    else:
        ping(webhook, by=request.user)
        messages.success(request, "A test is on its way.")
    return redirect("project-webhook", project.slug, pk)


@require_POST
@admin_required
def switch_webhook(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    enabled = request.POST.get("enabled") == "on"
    enable_webhook(_webhook_of(project, pk), enabled=enabled, by=request.user)
    return redirect("project-webhook", project.slug, pk)


@require_POST
@never_cache
@admin_required
def renew_webhook_secret(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Renew the secret, shown only in this response; the old one also signs for a day."""
    webhook = _webhook_of(project, pk)
    secret = renew_secret(webhook, by=request.user, now=timezone.now())
    return render(
        request, WEBHOOK, {**_webhook_context(request, webhook), "secret": secret, "is_renewed": True}
    )


@require_POST
@admin_required
def remove_webhook(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    webhook = _webhook_of(project, pk)
    delete_webhook(webhook, by=request.user)
    messages.success(request, f"{webhook.url} is told nothing any more.")
    return redirect("project-webhooks", project.slug)


@require_POST
@admin_required
def send_again(request: MemberRequest, project: Project, pk: int, delivery: int) -> HttpResponse:
    sent = get_object_or_404(Delivery, pk=delivery, webhook=_webhook_of(project, pk))
    redeliver(sent, by=request.user, now=timezone.now())
    messages.success(request, "The event is on its way again.")
    return redirect("project-webhook", project.slug, pk)


def _webhook_of(project: Project, pk: int) -> Webhook:
    return get_object_or_404(project.webhooks, pk=pk)


def _list_context(project: Project, form: WebhookForm) -> dict[str, object]:
    states = {
        f"is_{state}": Count("deliveries", filter=Q(deliveries__state=state)) for state in Delivery.State
    }
    webhooks = project.webhooks.annotate(**states)
    return {"project": project, "tab": "webhooks", "webhooks": webhooks, "form": form}


def _webhook_context(request: MemberRequest, webhook: Webhook) -> dict[str, object]:
    page = Paginator(webhook.deliveries.select_related("event"), PER_PAGE).get_page(request.GET.get("page"))
    return {
        "project": webhook.project,
        "tab": "webhooks",
        "webhook": webhook,
        "page": page,
        "is_moving": any(delivery.state == Delivery.State.WAITING for delivery in page),
    }
