"""The compose files: valid, complete, and about processes and settings that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.embedded.settings import EmbeddedSettings
from services.ingest_chat.settings import ChatSettings
from services.ingest_email.__main__ import EmailProcessSettings
from services.ingest_email.settings import EmailSettings
from services.ingest_social.settings import SocialSettings
from services.router.settings import EngineSettings, RouterSettings
from shared.process import ProcessSettings
from shared.service import STOP_LIMIT_S
from shared.settings import Settings
from tests.support.compose import (
    DISTRIBUTED,
    EMBEDDED,
    EXAMPLE,
    REPOSITORY,
    THREE_BROKERS,
    NotSet,
    Service,
    compose,
    example_environment,
    variables,
)
from tests.support.jars import kafka_version

COMPOSITIONS = (DISTRIBUTED, THREE_BROKERS, EMBEDDED)
FILES = sorted({file for files in COMPOSITIONS for file in files})
COMMANDS: dict[tuple[str, ...], tuple[type[Settings], ...]] = {
    ("services.embedded",): (EmbeddedSettings,),
    ("services.router", "--role", "engine"): (ProcessSettings, EngineSettings),
    ("services.router", "--role", "api"): (ProcessSettings, RouterSettings),
    ("services.router", "workspace", "support"): (ProcessSettings,),
    ("services.ingest_chat",): (ProcessSettings, ChatSettings),
    ("services.ingest_social",): (ProcessSettings, SocialSettings),
    ("services.ingest_email",): (EmailProcessSettings, EmailSettings),
}
"""Every command, and the settings that it reads."""
GIVEN = {"LOG", "VIEWS", "HOST", "ADMIN_PORT"}
"""What has a default that would not do where there are several processes."""


def processes() -> list[Any]:
    """Every process of ours in every composition."""
    return [
        pytest.param(service, id=f"{files[-1]}:{service.name}")
        for files in COMPOSITIONS
        for service in compose(files, example_environment()).ours
    ]


def variables_of(model: type[Settings]) -> dict[str, bool]:
    """A model's variables, and whether each is required."""
    prefix = model.model_config.get("env_prefix") or ""
    return {(prefix + name).upper(): field.is_required() for name, field in model.model_fields.items()}


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_what_the_specification_says(file: str) -> None:
    check = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, file], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", processes())
def test_a_command_is_an_entry_point(service: Service) -> None:
    assert service.command in COMMANDS
    assert (REPOSITORY / service.command[0].replace(".", "/") / "__main__.py").is_file()


@pytest.mark.parametrize("service", processes())
def test_an_environment_is_known_and_complete(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    models = COMMANDS[service.command]
    known = {name: required for model in models for name, required in variables_of(model).items()}
    required = {name for name, needed in known.items() if needed} | (GIVEN & set(known) if "LOG" in known else set())
    assert set(service.environment) <= set(known)
    assert required <= set(service.environment)
    for name in known:
        monkeypatch.delenv(name, raising=False)
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    for model in models:
        model.read()


@pytest.mark.parametrize("service", processes())
def test_a_process_is_held_to_little(service: Service) -> None:
    content = service.content
    assert content["read_only"] is True
    assert content["cap_drop"] == ["ALL"]
    assert content["security_opt"] == ["no-new-privileges:true"]
    assert int(content["stop_grace_period"].rstrip("s")) > STOP_LIMIT_S
    assert content["build"]["dockerfile"] == "deploy/Dockerfile"


@pytest.mark.parametrize("service", [each for each in processes() if each.values[0].runs_on])
def test_health_is_readiness_on_the_admin_port(service: Service) -> None:
    (script,) = service.content["healthcheck"]["test"][-1:]
    (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)/readyz", script)
    default = str(EmbeddedSettings.model_fields["admin_port"].default)
    assert service.environment.get("ADMIN_PORT", default) == port
    compile(script, service.name, "exec")


@pytest.mark.parametrize("files", COMPOSITIONS, ids=lambda files: str(files[-1]))
def test_only_this_machine_reaches_a_port_and_somebody_listens_there(files: tuple[str, ...]) -> None:
    composition = compose(files, example_environment())
    outer = [port for service in composition.services.values() for _, ports, _ in service.published for port in ports]
    assert len(outer) == len(set(outer))
    for service in composition.services.values():
        assert {address for address, _, _ in service.published} <= {"127.0.0.1"}
    for service in composition.ours:
        if service.command[0] != "services.embedded":
            open_ports = {service.environment[name] for name in ("PORT", "SMTP_PORT") if name in service.environment}
            assert {str(inner) for _, _, inner in service.published} == open_ports


@pytest.mark.parametrize("files", COMPOSITIONS, ids=lambda files: str(files[-1]))
def test_names_lead_somewhere(files: tuple[str, ...]) -> None:
    composition = compose(files, example_environment())
    used = set()
    for service in composition.services.values():
        for other, condition in service.waits_for.items():
            assert condition == "service_healthy"
            assert "disable" not in composition.services[other].content["healthcheck"]
        for source, _ in service.mounted:
            if source.startswith("."):
                assert (REPOSITORY / source).is_file(), source
            else:
                used.add(source)
        brokers = re.findall(r"[/,@]([a-z0-9-]+):909[23]", " ".join(service.environment.values()))
        stores = re.findall(r"redis://([a-z0-9-]+):6379", service.environment.get("VIEWS", ""))
        assert {*brokers, *stores} <= set(composition.services)
    assert used == composition.volumes


def test_engines_have_names_of_their_own() -> None:
    engines = [s for s in compose(DISTRIBUTED, example_environment()).ours if s.command[1:] == ("--role", "engine")]
    assert len({engine.environment["ROUTER_NAME"] for engine in engines}) == len(engines) == 2


@pytest.mark.parametrize(("files", "brokers", "min_isr"), [(DISTRIBUTED, 1, 1), (THREE_BROKERS, 3, 2)])
def test_brokers_and_services_agree_about_copies(files: tuple[str, ...], brokers: int, min_isr: int) -> None:
    composition = compose(files, example_environment())
    nodes = {name: one for name, one in composition.services.items() if name.startswith("kafka")}
    assert len(nodes) == brokers
    addresses = ",".join(f"{name}:9092" for name in nodes)
    for service in composition.ours:
        assert service.environment["LOG"] == (
            f"kafka://{addresses}?prefix=switchdesk&partitions=6&replication={brokers}&min_isr={min_isr}"
        )
        if service.runs_on:
            assert {name for name in service.waits_for if name.startswith("kafka")} == set(nodes)
    for number, (name, node) in enumerate(nodes.items(), start=1):
        assert node.environment["KAFKA_NODE_ID"] == str(number)
        assert node.environment["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{name}:9092"
        assert node.environment["KAFKA_MIN_INSYNC_REPLICAS"] == str(min_isr)
        assert node.environment["KAFKA_DEFAULT_REPLICATION_FACTOR"] == str(brokers)
        assert [node.environment["KAFKA_LOG_DIRS"]] == [target for _, target in node.mounted]
        # A single copy has to be on the disk before it is acknowledged.
        assert (node.environment["KAFKA_LOG_FLUSH_INTERVAL_MESSAGES"] == "1") == (brokers == 1)
    voters = {node.environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] for node in nodes.values()}
    assert voters == {",".join(f"{number}@{name}:9093" for number, name in enumerate(nodes, start=1))}
    assert len({node.environment["CLUSTER_ID"] for node in nodes.values()}) == 1


def test_kafka_is_the_one_that_the_tests_run_on() -> None:
    composition = compose(THREE_BROKERS, example_environment())
    images = {service.image for name, service in composition.services.items() if name.startswith("kafka")}
    assert images == {f"apache/kafka:{kafka_version()}"}


def test_redis_keeps_everything_in_memory_and_evicts_nothing() -> None:
    command = compose(DISTRIBUTED, example_environment()).services["redis"].command
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert command[command.index("--appendonly") + 1] == "no"


@pytest.mark.parametrize("secret", [name for name in example_environment() if name.endswith("_SECRET")])
def test_nothing_starts_without_a_secret(secret: str) -> None:
    environment = example_environment()
    del environment[secret]
    with pytest.raises(NotSet, match=f"{secret}: .* at least "):
        compose(DISTRIBUTED, environment)


def test_the_example_names_every_variable_and_holds_no_secret() -> None:
    text = "".join((REPOSITORY / file).read_text() for file in FILES)
    example = variables(EXAMPLE.read_text())
    assert set(re.findall(r"\$\{(\w+)", text)) == set(example)
    assert [name for name, value in example.items() if re.search("SECRET|PASSWORD|TOKEN", name) and value] == []
    assert "/.env" in (REPOSITORY / ".gitignore").read_text().split()
    assert ".env" in (REPOSITORY / ".dockerignore").read_text().split()


def test_prometheus_asks_every_process() -> None:
    composition = compose(DISTRIBUTED, example_environment())
    config = yaml.safe_load((REPOSITORY / "deploy" / "prometheus" / "prometheus.yml").read_text())
    asked: dict[str, str] = {}
    for job in config["scrape_configs"]:
        for fixed in job.get("static_configs", ()):
            asked |= dict(target.split(":") for target in fixed["targets"])
        for named in job.get("dns_sd_configs", ()):
            asked |= {name: str(named["port"]) for name in named["names"]}
    running = {service.name: service.environment["ADMIN_PORT"] for service in composition.ours if service.runs_on}
    assert asked == running
    # One process each has one name; what is asked of DNS may be any number of them, and then no port may be one only.
    scaled = {
        name for job in config["scrape_configs"] for named in job.get("dns_sd_configs", ()) for name in named["names"]
    }
    assert scaled == {service.name for service in composition.ours if service.published}
    for name in scaled:
        assert [len(ports) >= 10 for _, ports, _ in composition.services[name].published] == [True]
        assert "container_name" not in composition.services[name].content
    mounted = {Path(source).name: target for source, target in composition.services["prometheus"].mounted}
    for file in ("prometheus.yml", *config["rule_files"]):
        assert mounted[file] == f"/etc/prometheus/{file}"


def test_the_settings_of_every_service_are_documented() -> None:
    page = (REPOSITORY / "docs" / "configuration.md").read_text()
    variables = {name for models in COMMANDS.values() for model in models for name in variables_of(model)}
    assert [name for name in sorted(variables) if f"`{name}`" not in page] == []


def test_one_process_is_published_where_the_image_opens_ports() -> None:
    (service,) = compose(EMBEDDED, {}).ours
    dockerfile = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    (exposed,) = re.findall(r"^EXPOSE (.*)$", dockerfile, re.MULTILINE)
    assert {str(inner) for _, _, inner in service.published} == set(exposed.split())
    ((_, data),) = service.mounted
    assert f"DATA_DIR={data} " in dockerfile
    assert f"VOLUME {data}\n" in dockerfile
