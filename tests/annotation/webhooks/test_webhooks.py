"""Webhooks: who is told of what, that it is us who says it, and that nobody is led into our own network."""

import base64
import hashlib
import hmac
import json
import re
import socket
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from annotation.models import Delivery, Event, Webhook
from annotation.services.assignments.assignments import claim_next
from annotation.services.exports.worker import EXPORT_READY
from annotation.services.judgements.judgements import JUDGEMENT_SUBMITTED, submit_judgement
from annotation.services.judgements.reviews import REVIEW_MADE, accept
from annotation.services.webhooks.deliveries import BACK_OFF, LEASE, claim_due, send_due
from annotation.services.webhooks.events import KEPT, announce, forget_events
from annotation.services.webhooks.posting import BadAddress, Target, Undeliverable, is_public, post
from annotation.services.webhooks.webhooks import create_webhook, enable_webhook, redeliver, renew_secret
from annotation.tasks import forget, send_webhooks
from tests.cast import NOW, answer_for, luck

PAGE = "/projects/{}/webhooks/"


class Receiver:
    """Somebody's server: keeps what it is sent, and answers with `status`."""

    def __init__(self):
        self.got, self.status, self.drips = [], 204, False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.headers, body))
                if receiver.drips:
                    drip(self.wfile)
                    return
                self.send_response(receiver.status)
                self.send_header("Location", "http://169.254.169.254/")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?key=1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def messages(self):
        return [json.loads(body) for _, body in self.got]


def drip(file):
    """A header without end, a byte at a time."""
    try:
        for _ in range(100):
            file.write(b"HTTP/1.1 200 OK\r\n"[:1])
            file.flush()
            time.sleep(0.05)
    except OSError:
        return


@pytest.fixture
def receiver(settings):
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def hook(receiver, project, ada) -> Webhook:
    kinds = [JUDGEMENT_SUBMITTED, REVIEW_MADE]
    return create_webhook(project=project, url=receiver.url, kinds=kinds, by=ada)


def happens(project, kind=JUDGEMENT_SUBMITTED):
    return announce(kind, project=project, data={"assignment": 7})


def sweep(at=None):
    return send_due(clock=lambda: at or timezone.now())


# What is told


def test_answers_and_reviews_are_told_to_who_asked(hook, receiver, alice, rita, project, a_prompt):
    prompt = a_prompt()
    task = claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    for _ in range(2):  # sent twice, told once
        submit_judgement(
            assignment=task, annotator=alice, judgement=answer_for(task), now=NOW, generator=luck()
        )
    accept(assignment=task, inspector=rita, now=NOW)
    assert sweep() == 2
    submitted, reviewed = receiver.messages()
    assert (submitted["type"], submitted["project"]) == ("judgement.submitted", project.slug)
    assert submitted["data"] == {
        "assignment": task.pk,
        "prompt": prompt.key,
        "annotator": "alice",
        "is_inspected": True,
    }
    assert (reviewed["type"], reviewed["data"]["verdict"]) == ("review.made", "accepted")


def test_nobody_is_told_what_they_did_not_ask_for_or_of_another_project(hook, project, a_project, ada):
    assert happens(project, EXPORT_READY) is None
    assert happens(a_project()) is None
    enable_webhook(hook, enabled=False, by=ada)
    assert happens(project) is None
    assert not Event.objects.exists()


def test_what_did_not_happen_in_the_end_is_not_told(hook, project):
    with transaction.atomic():
        assert happens(project) is not None
        transaction.set_rollback(True)
    assert sweep() == 0


# The signature


def test_a_receiver_can_tell_that_it_was_us_and_when(hook, receiver, project):
    event = happens(project)
    sweep()
    ((headers, body),) = receiver.got
    sent = headers["webhook-timestamp"]
    key = base64.b64decode(hook.secret.removeprefix("whsec_"))
    expected = hmac.new(key, f"{event.pk}.{sent}.".encode() + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert headers["webhook-id"] == str(event.pk) == json.loads(body)["id"]
    assert abs(int(sent) - time.time()) < 60


def test_a_new_secret_replaces_the_old_which_signs_along_for_a_day(hook, receiver, project, ada):
    old, now = hook.secret, timezone.now()
    new = renew_secret(hook, by=ada, now=now)
    assert new == Webhook.objects.get().secret != old
    happens(project)
    sweep()
    assert signs(old, *receiver.got[-1])
    assert signs(new, *receiver.got[-1])
    Webhook.objects.update(old_until=now)
    happens(project)
    sweep()
    assert not signs(old, *receiver.got[-1])
    assert signs(new, *receiver.got[-1])


def test_a_secret_renewed_twice_ends_the_first_at_once(hook, receiver, project, ada):
    first = hook.secret
    renew_secret(hook, by=ada, now=timezone.now())
    renew_secret(hook, by=ada, now=timezone.now())
    happens(project)
    sweep()
    assert not signs(first, *receiver.got[-1])


def test_the_documented_check_believes_us_and_nobody_else(hook, receiver, project):
    documented = re.search(r"```python\n(.*?)```", Path("docs/running.md").read_text(), re.S).group(1)
    found = {}
    exec(documented, found)
    happens(project)
    sweep()
    ((headers, body),) = receiver.got
    assert found["is_ours"](hook.secret, headers, body)
    assert not found["is_ours"](hook.secret, headers, body + b" ")
    assert not found["is_ours"]("whsec_" + base64.b64encode(bytes(32)).decode(), headers, body)
    late = dict(headers.items()) | {"webhook-timestamp": str(int(time.time()) - 301)}
    assert not found["is_ours"](hook.secret, late, body)


def signs(secret, headers, body):
    """Whether one of the signatures is of this secret."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{expected}" in headers["webhook-signature"].split(" ")


# Trying again


def test_a_failed_delivery_is_tried_again_later_and_later_then_given_up(hook, receiver, project, ada):
    receiver.status = 500
    happens(project)
    at = timezone.now()
    for wait in BACK_OFF:
        assert sweep(at) == 1
        assert sweep(at + wait - timedelta(seconds=1)) == 0
        at += wait
    assert sweep(at) == 1
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.status) == ("failed", len(BACK_OFF) + 1, 500)
    assert sweep(at + timedelta(days=9)) == 0
    assert len({body for _, body in receiver.got}) == 1
    receiver.status = 200
    redeliver(delivery, by=ada, now=at)
    sweep(at)
    assert Delivery.objects.get().state == "delivered"


def test_a_webhook_that_fails_does_not_hold_up_the_others(hook, receiver, project, ada):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}/"
    create_webhook(project=project, url=dead, kinds=[JUDGEMENT_SUBMITTED], by=ada)
    for _ in range(3):
        happens(project)
    assert sweep() == 4
    assert len(receiver.got) == 3
    assert "ConnectionRefusedError" in Delivery.objects.get(webhook__url=dead, attempts=1).error


def test_a_redirect_is_not_followed(hook, receiver, project):
    receiver.status = 302
    happens(project)
    sweep()
    assert "redirects are not followed" in Delivery.objects.get().error


def test_what_a_worker_died_over_is_sent_by_another_when_its_lease_ends(hook, project):
    happens(project)
    now = timezone.now()
    assert claim_due(now=now).attempts == 1
    assert claim_due(now=now + LEASE - timedelta(seconds=1)) is None
    assert claim_due(now=now + LEASE).attempts == 2


def test_what_waits_for_a_webhook_that_is_off_goes_out_when_it_is_on_again(hook, receiver, project, ada):
    happens(project)
    enable_webhook(hook, enabled=False, by=ada)
    assert sweep() == 0
    enable_webhook(hook, enabled=True, by=ada)
    send_webhooks()
    assert len(receiver.got) == 1


def test_old_events_are_forgotten(hook, project):
    happens(project)
    forget()
    assert Event.objects.count() == 1
    forget_events(now=timezone.now() + KEPT)
    assert not Event.objects.exists()
    assert not Delivery.objects.exists()


# Where it may lead


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/",
        "ftp://hooks.example.org/",
        "https://",
        "https://user:secret@hooks.example.org/",
        "https://127.0.0.1/",
        "https://[::1]:8443/",
        "https://169.254.169.254/latest/",
        "https://10.1.2.3/",
        "https://hooks.example.org:port/",
        "https://hooks.example.org/a b",
        "https://münchen.example/",
        "https://hooks.example.org/\r\nX: y",
    ],
)
def test_an_address_that_is_none_of_the_public_internet_is_refused(url):
    with pytest.raises(BadAddress):
        Target.parse(url, private=False)


def test_an_address_of_the_public_internet_is_taken():
    target = Target.parse("https://hooks.example.org:8443/a?b=1", private=False)
    assert (target.host, target.port, target.path) == ("hooks.example.org", 8443, "/a?b=1")
    assert target.authority == "hooks.example.org:8443"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("::ffff:93.184.216.34", True),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("192.168.1.1", False),
        ("224.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::127.0.0.1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2001:0:7f00:1::", False),
    ],
)
def test_which_addresses_are_public(address, public):
    assert is_public(address) == public


def test_a_name_that_resolves_into_our_network_is_not_posted_to(hook, receiver, project, settings):
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = False
    Webhook.objects.update(url=f"https://localhost:{receiver.server.server_port}/")
    happens(project)
    sweep()
    assert Delivery.objects.get().error == "localhost is in a private network"
    assert receiver.got == []


def test_a_server_that_drips_is_hung_up_on(receiver):
    receiver.drips = True
    begun = time.monotonic()
    with pytest.raises(Undeliverable):
        post(Target.parse(receiver.url, private=True), body=b"{}", headers={}, seconds=0.3)
    assert time.monotonic() - begun < 3


# The pages


@pytest.fixture
def page(project):
    return PAGE.format(project.slug)


def test_an_admin_makes_a_webhook_sees_its_secret_once_and_tries_it(page, ada, client, receiver):
    client.force_login(ada)
    made = client.post(page + "add/", {"url": receiver.url, "kinds": ["run.failed", "export.ready"]})
    hook = Webhook.objects.get()
    assert hook.secret in made.text
    assert hook.secret not in client.get(f"{page}{hook.pk}/").text
    client.post(f"{page}{hook.pk}/ping/")
    assert "waiting" in client.get(f"{page}{hook.pk}/", headers={"HX-Request": "true"}).text
    sweep()
    assert receiver.messages()[0]["type"] == "ping"
    assert "delivered" in client.get(f"{page}{hook.pk}/").text
    client.post(f"{page}{hook.pk}/deliveries/{Delivery.objects.get().pk}/")
    sweep()
    assert len(receiver.got) == 2
    renewed = client.post(f"{page}{hook.pk}/secret/")
    assert Webhook.objects.get().secret in renewed.text
    client.post(f"{page}{hook.pk}/switch/", {"enabled": "off"})
    assert not Webhook.objects.get().enabled
    client.post(f"{page}{hook.pk}/remove/")
    assert not Webhook.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "https://10.0.0.1/", "kinds": ["run.failed"]},
        {"url": "https://hooks.example.org/", "kinds": []},
        {"url": "https://hooks.example.org/", "kinds": ["ping"]},
        {"kinds": ["run.failed"]},
    ],
)
def test_a_bad_webhook_is_not_made(page, ada, client, fields):
    client.force_login(ada)
    assert client.post(page + "add/", fields).status_code == 422
    assert not Webhook.objects.exists()


def test_only_admins_of_the_project_see_its_webhooks(hook, page, alice, rita, eve, ada, a_project):
    paths = [page, f"{page}{hook.pk}/", f"{page}{hook.pk}/ping/", f"{page}{hook.pk}/secret/"]
    for person in (alice, rita, eve):
        client = Client()
        client.force_login(person)
        for path in paths:
            answers = [client.get(path).status_code, client.post(path).status_code]
            assert set(answers) <= {404, 405}
    client = Client()
    client.force_login(ada)
    assert client.get(f"{PAGE.format(a_project().slug)}{hook.pk}/").status_code == 404
