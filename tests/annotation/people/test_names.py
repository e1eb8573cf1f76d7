"""Names that look alike: there is one account of each look."""

import re

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from annotation.models import User
from annotation.names import skeleton
from annotation.services.people.accounts import NameTaken, create_account, open_account, propose_name

ALIKE = ["ANNA", "\u0430nna", "\uff41\uff4e\uff4e\uff41", "\U0001d41anna", "ann\u0251"]
# Source and prototype of lines of Unicode's confusables.txt.
CONFUSABLES = [
    ("0435", "0065"),
    ("0440", "0070"),
    ("03BF", "006F"),
    ("0031", "006C"),
    ("006D", "0072 006E"),
    ("0455", "0073"),
    ("0501", "0064"),
    ("13A2", "0054"),
]


@pytest.mark.parametrize("name", ALIKE)
def test_there_is_one_account_of_each_look(name, ada, project):
    User.objects.create_user("anna")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(username=name)
    with pytest.raises(NameTaken):
        create_account(username=name, project=project, by=ada)
    with pytest.raises(NameTaken):
        open_account(username=name, password="a long secret")
    with pytest.raises(ValidationError, match="looks like"):
        User(username=name).clean()
    with pytest.raises(CommandError, match="looks like it"):
        call_command("createsuperuser", username=name, email="", interactive=False)


@pytest.mark.parametrize(("source", "prototype"), CONFUSABLES)
def test_skeletons_are_as_unicode_has_them(source, prototype):
    letters, expected = (
        "".join(chr(int(code, 16)) for code in codes.split()) for codes in (source, prototype)
    )
    assert skeleton(f"x{letters}y") == skeleton(f"x{expected}y")
    assert skeleton(expected) == skeleton(skeleton(expected))


def test_names_that_differ_stay_apart():
    names = [
        "anna",
        "anne",
        "ana",
        "anna-2",
        "anna-3",
        "\u00e5nna",
        "hanna",
        "\u0438\u0432\u0430\u043d",
        "\u660e",
    ]
    assert len({skeleton(name) for name in names}) == len(names)


def test_a_renamed_account_leaves_its_name_to_others(db):
    user = User.objects.create_user("anna")
    user.username = "berta"
    user.save()
    assert User.objects.create_user("ANNA").skeleton == "anna"
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("Berta")


def test_imported_annotators_are_never_in_the_way(db):
    for name in ("imported:p:1", "imported:p:l"):
        assert User.objects.create(username=name, is_active=False).skeleton is None


def test_a_proposed_name_is_free_and_always_has_a_number(db):
    for wish in ("anna", "berta"):
        name = propose_name(wish)
        assert name.startswith(f"{wish}-")
        open_account(username=name, password="a long secret")
    taken = [f"carl-{number}" for number in range(100, 820)]
    User.objects.bulk_create(User(username=name) for name in taken)
    assert int(propose_name("carl").removeprefix("carl-")) >= 820


def test_a_wish_of_which_every_number_is_taken_gets_a_longer_one(db, django_assert_max_num_queries):
    wish = "w" * 146
    User.objects.bulk_create(User(username=f"{wish}-{number}") for number in range(100, 1000))
    with django_assert_max_num_queries(2):
        name = propose_name(wish)
    assert re.fullmatch(r"w{145}-\d{4}", name)


def test_accounts_that_looked_alike_before_go_on_and_the_migration_goes_back(migrate_back, client):
    old = migrate_back("annotation", "0033_stored_files_are_looked_at").get_model("annotation", "User")
    for name in ("anna", "ANNA", "imported:p:1"):
        old.objects.create(username=name)
    call_command("migrate", verbosity=0)
    assert dict(User.objects.values_list("username", "skeleton")) == {
        "anna": "anna",
        "ANNA": None,
        "imported:p:1": None,
    }
    second = User.objects.get(username="ANNA")
    second.set_password("a long secret")
    second.save()
    second.clean()
    assert client.post("/sign-in/", {"username": "ANNA", "password": "a long secret"}).status_code == 302
