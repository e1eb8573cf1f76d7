"""Whoever is signed in stays so: sessions move to the new table, and back."""

from django.core import signing
from django.db import migrations
from django.utils import timezone

# As django.contrib.sessions signs them.
SALT = "django.contrib.sessions.SessionStore"
SERIALIZER = signing.JSONSerializer


def move(apps, schema_editor):
    Session = apps.get_model("sessions", "Session")
    BrowserSession = apps.get_model("annotation", "BrowserSession")
    people = set(apps.get_model("annotation", "User").objects.values_list("pk", flat=True))
    now = timezone.now()
    for session in Session.objects.filter(expire_date__gt=now):
        try:
            data = signing.loads(session.session_data, salt=SALT, serializer=SERIALIZER)
        except signing.BadSignature:
            continue
        user = int(data.get("_auth_user_id", 0))
        BrowserSession.objects.create(
            session_key=session.session_key,
            session_data=session.session_data,
            expire_date=session.expire_date,
            user_id=user if user in people else None,
            seen_at=now,
        )
    Session.objects.all().delete()


def move_back(apps, schema_editor):
    Session = apps.get_model("sessions", "Session")
    for session in apps.get_model("annotation", "BrowserSession").objects.all():
        Session.objects.create(
            session_key=session.session_key,
            session_data=session.session_data,
            expire_date=session.expire_date,
        )


class Migration(migrations.Migration):
    dependencies = [("annotation", "0038_sessions_know_their_browser"), ("sessions", "0001_initial")]

    operations = [migrations.RunPython(move, move_back)]
