"""What `deploy/` gives to paste: it names settings, commands and files that exist, and shares no folder."""

import re
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from django.urls import reverse

from config.lines import without_keys
from tests.test_docs import settings_read

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {name: each for name, each in COMPOSE["services"].items() if "laurel" in each["image"]}
WEBLESS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}  # boto's own


def test_services_are_given_settings_that_exist():
    for name, service in OURS.items():
        assert set(service["environment"]) - WEBLESS <= settings_read(), name
    unit = re.findall(r"^([A-Z_0-9]+)=", (DEPLOY / "systemd/laurel.env").read_text(), re.MULTILINE)
    assert set(unit) <= settings_read()


def test_what_compose_asks_for_is_in_the_example_of_its_environment():
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z_0-9]+):?\?", (DEPLOY / "compose.yaml").read_text()))
    given = re.findall(r"^([A-Z_0-9]+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE)
    assert asked <= set(given)


def test_services_share_no_folder_but_what_never_runs_beside_another():
    volumes = [volume.split(":")[0] for each in OURS.values() for volume in each["volumes"]]
    assert {volume for volume in volumes if volumes.count(volume) > 1} == {"migrate"}


def test_pages_short_tasks_and_beat_need_no_image_with_torch():
    assert {name for name, each in OURS.items() if each["image"] == "laurel-worker"} == {
        *("gpu", "scorer", "backup")
    }


def test_queues_are_those_that_tasks_are_sent_to(settings):
    commands = [str(service.get("command", "")) for service in OURS.values()]
    commands += [file.read_text() for file in DEPLOY.glob("systemd/*.service")]
    commands += [(DEPLOY / "Dockerfile").read_text()]
    queues = {queue for command in commands for queue in re.findall(r"--queues (\w+)", command)}
    sent = {settings.CELERY_TASK_DEFAULT_QUEUE, *(to["queue"] for to in settings.CELERY_TASK_ROUTES.values())}
    assert queues == sent


def test_temporary_files_lie_on_the_volume_of_each_service():
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    (folder,) = re.findall(r"\bTMPDIR=(\S+)", dockerfile)
    (made,) = re.findall(r"install -d -o laurel (.*)", dockerfile)
    assert folder in made.split()  # else Python takes /tmp, which is memory, and says nothing
    for name, service in OURS.items():
        volumes = [volume.split(":")[1] for volume in service["volumes"]]
        assert any(folder.startswith(f"{volume}/") for volume in volumes), name


def test_folders_that_units_need_are_made_by_the_steps_before_any_unit_starts():
    units = "".join(file.read_text() for file in DEPLOY.glob("systemd/*"))
    lists = re.findall(r"^(?:LAUREL_VAR|ReadWritePaths)=(.*)$", units, re.MULTILINE)
    steps = (ROOT / "docs/serving.md").read_text().partition("runuser -u laurel")[0]
    (made,) = re.findall(r"^install -d -o laurel .*?(/.*)$", steps, re.MULTILINE)
    assert {folder for folders in lists for folder in folders.split()} <= set(made.split())


def test_postgres_is_ready_when_others_reach_it():
    test = COMPOSE["services"]["postgres"]["healthcheck"]["test"]
    assert test[test.index("--host") + 1] == "127.0.0.1"  # its image first runs one on a socket alone


def test_health_is_asked_with_no_variable_but_those_given():
    asked = {name: str(each.get("healthcheck")) for name, each in COMPOSE["services"].items()}
    asked |= {"image": "".join(re.findall(r"^HEALTHCHECK.*\n.*", (DEPLOY / "Dockerfile").read_text(), re.M))}
    for name, test in asked.items():
        given = COMPOSE["services"].get(name, {}).get("environment", {})
        assert set(re.findall(r"\$([A-Z_0-9]+)", test)) <= set(given), name  # HOSTNAME: of Docker's alone


def test_the_proxy_is_given_every_variable_it_reads_and_none_is_empty():
    proxy = COMPOSE["services"]["proxy"]["environment"]
    assert set(re.findall(r"\{\$(\w+)", (DEPLOY / "proxy/Caddyfile").read_text())) == set(proxy)
    assert all(not value.endswith(":-}") for value in proxy.values())  # Caddy's default is for one not set


@pytest.mark.parametrize("page", ["join", "reset-password", "confirm-address", "public-study"])
def test_nginx_logs_the_key_of_no_link(page):
    (link,) = re.findall(r"~\*(\S+) \$1\*\*\*;", (DEPLOY / "proxy/nginx.conf").read_text())
    address = reverse(page, args=[uuid4()])
    assert f"{re.match(link, address)[1]}***/" == without_keys(address)


def test_a_change_of_code_leaves_the_layer_of_packages_as_it_was():
    stages = re.split(r"^FROM ", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    with_code = [stage for stage in stages if "COPY . ." in stage]
    assert len(with_code) == 2  # web and worker
    for stage in with_code:
        assert -1 < stage.find("COPY --from=") < stage.find("COPY . ."), stage


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("hadolint", ["deploy/Dockerfile"]),
        ("promtool", ["check", "rules", "deploy/monitoring/alerts.yml"]),
        ("caddy", ["validate", "--adapter", "caddyfile", "--config", "deploy/proxy/Caddyfile"]),
    ],
)
def test_what_is_pasted_is_well_formed(program, arguments, tmp_path):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not here")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LAUREL_HOST": "laurel.test"}
    command = [shutil.which(program), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
