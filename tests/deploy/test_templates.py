"""The templates in `deploy/`: rendered, and judged without a cluster, a container or a network."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from holovitals_pipelines.api.health import routes as health_routes
from holovitals_pipelines.cli.app import Commands
from holovitals_pipelines.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
VARIABLES = {f"HOLOVITALS_{name.upper()}" for name in Settings.model_fields}
OTHERS_VARIABLES = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "DAGSTER_HOME"}
WITH_PASSWORDS = {"HOLOVITALS_DATABASE_URL", "HOLOVITALS_DAGSTER_DATABASE_URL", "HOLOVITALS_BROKER_URL"}

Manifest = dict[str, Any]


@cache
def renderer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", DEPLOY / "kubernetes" / "render.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def values() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text(encoding="utf-8"))
    return loaded | {"listener": loaded["listener"] | {"ports": [2575, 2576]}}


@cache
def manifests() -> list[Manifest]:
    rendered: list[Manifest] = renderer().render(values())
    return rendered


def of_kind(kind: str) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one for one in manifests() if one["kind"] == kind}


def containers() -> Iterator[tuple[str, Manifest, Manifest]]:
    """Deployment, pod and container."""
    for name, deployment in of_kind("Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        for container in pod["containers"]:
            yield name, pod, container


def read_env(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


# the settings file


def test_the_settings_file_says_everything_that_several_machines_need(monkeypatch: pytest.MonkeyPatch) -> None:
    told = read_env(DEPLOY / "distributed.env.example")
    assert set(told) - VARIABLES == OTHERS_VARIABLES
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.is_distributed and settings.executor == "celery"
    assert settings.resolved_database_url.startswith("postgresql") and settings.resolved_landing_url.startswith("s3://")
    assert Path(told["DAGSTER_HOME"]) == settings.dagster_home
    assert not settings.scratch_folder.is_relative_to(settings.root), "what spills stays on the machine"


# Kubernetes


def test_the_command_renders_what_the_cluster_is_given() -> None:
    said = subprocess.run(
        [sys.executable, DEPLOY / "kubernetes" / "render.py"], capture_output=True, text=True, timeout=60, check=True
    )
    documents = list(yaml.safe_load_all(said.stdout))
    assert [one["kind"] for one in documents if one["metadata"]["name"] == "holovitals-listener"] == []
    assert {one["kind"] for one in documents} == {
        "ConfigMap", "PersistentVolumeClaim", "Deployment", "Service", "NetworkPolicy",
    }  # fmt: skip


def test_every_manifest_has_a_name_of_its_own_in_the_namespace() -> None:
    places = [(one["kind"], one["metadata"]["name"]) for one in manifests()]
    assert len(set(places)) == len(places)
    assert {one["metadata"]["namespace"] for one in manifests()} == {values()["namespace"]}
    assert all(re.fullmatch(r"[a-z][a-z0-9-]{0,62}", name) for _, name in places)


def test_every_variable_is_a_setting_and_settings_are_one_configuration_for_all() -> None:
    config = of_kind("ConfigMap")["holovitals-settings"]["data"]
    for name, _, container in containers():
        named = {one["name"] for one in container["env"]} | set(config)
        assert named <= VARIABLES | OTHERS_VARIABLES, name
        assert container["envFrom"] == [{"configMapRef": {"name": "holovitals-settings"}}]
    fields = {name.removeprefix("HOLOVITALS_").lower(): text for name, text in config.items() if name in VARIABLES}
    assert Settings(**fields).executor == "celery"
    assert all(isinstance(text, str) for text in config.values())


def test_secrets_are_references_and_nothing_else() -> None:
    assert of_kind("Secret") == {}
    config = of_kind("ConfigMap")["holovitals-settings"]["data"]
    assert not WITH_PASSWORDS & set(config)
    for name, _, container in containers():
        assert {one["name"] for one in container["env"]} >= WITH_PASSWORDS, name
        for one in container["env"]:
            assert set(one) == {"name", "valueFrom"}
            assert one["valueFrom"]["secretKeyRef"]["name"] == values()["secret"]


def test_every_service_leads_to_a_port_that_its_pods_listen_on() -> None:
    deployments = {
        tuple(sorted(one["spec"]["template"]["metadata"]["labels"].items())): one
        for one in of_kind("Deployment").values()
    }
    for name, service in of_kind("Service").items():
        deployment = deployments[tuple(sorted(service["spec"]["selector"].items()))]
        assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"], name
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        opened = {port["name"]: port["containerPort"] for port in container["ports"]}
        for port in service["spec"]["ports"]:
            assert opened[port["targetPort"]] == port["port"]
            if name != "holovitals-listener":  # its ports are declared with the connections
                assert str(port["port"]) in container["command"], name


def test_the_workspace_names_the_code_server_where_it_listens() -> None:
    config = of_kind("ConfigMap")["holovitals-dagster"]["data"]
    [location] = yaml.safe_load(config["workspace.yaml"])["load_from"]
    host, port = location["grpc_server"]["host"], location["grpc_server"]["port"]
    assert port in [one["port"] for one in of_kind("Service")[host]["spec"]["ports"]]
    packaged = Path(sys.modules["holovitals_pipelines"].__path__[0]) / "deploy" / "dagster.distributed.yaml"
    assert config["dagster.yaml"] == packaged.read_text(encoding="utf-8")


def test_probes_ask_what_the_api_answers() -> None:
    answered = {route.path for route in health_routes.routes}
    [container] = of_kind("Deployment")["holovitals-api"]["spec"]["template"]["spec"]["containers"]
    asked = {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
    assert asked == {"/healthz", "/readyz"} <= answered
    opened = {port["name"] for _, _, one in containers() for port in one.get("ports", ())}
    for _, _, one in containers():
        for probe in ("livenessProbe", "readinessProbe"):
            for how in ("httpGet", "tcpSocket"):
                if how in one.get(probe, {}):
                    assert one[probe][how]["port"] in opened


def test_every_command_is_one_of_ours_or_dagsters() -> None:
    ours = {command.name for command in Commands.on_demand}
    for name, _, container in containers():
        program, *arguments = container["command"]
        assert program in ("holovitals", "dagster", "dagster-daemon", "dagster-webserver"), name
        if program == "holovitals":
            assert arguments[0] in ours


def test_pods_have_limits_no_privileges_and_the_volumes_they_mount() -> None:
    configs, claims = of_kind("ConfigMap"), of_kind("PersistentVolumeClaim")
    for name, pod, container in containers():
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        assert "memory" in container["resources"]["limits"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        declared = {volume["name"]: volume for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == set(declared)
        assert declared["home"]["persistentVolumeClaim"]["claimName"] in claims
        for mount in container["volumeMounts"]:
            if "configMap" in declared[mount["name"]]:
                assert mount["subPath"] in configs[declared[mount["name"]]["configMap"]["name"]]["data"]
    assert claims["holovitals-home"]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_dagster_ui_which_asks_nobody_who_he_is_is_reached_by_no_pod() -> None:
    policy = of_kind("NetworkPolicy")["holovitals-dagster-webserver"]["spec"]
    deployment = of_kind("Deployment")["holovitals-dagster-webserver"]
    assert policy["podSelector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert policy["policyTypes"] == ["Ingress"] and policy["ingress"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"image": "registry.example.org/holovitals"},
        {"image": "registry.example.org:5000/holovitals:latest"},
        {"settings": {"BROKER_URL": "redis://broker:6379/0"}},
        {"settings": {"NOTIFY_URL": "https://me:password@example.org"}},
    ],
)
def test_values_that_would_do_harm_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SystemExit):
        renderer().render(values() | change)


# containers


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def test_the_composed_services_fit_together() -> None:
    services = compose()["services"]
    ours = {command.name for command in Commands.on_demand}
    for name, service in services.items():
        assert ":" in service["image"] and not service["image"].endswith(":latest"), name
        assert "healthcheck" in service, name
        assert set(service.get("depends_on", {})) <= set(services)
        for awaited, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"} and "test" in services[awaited]["healthcheck"]
        assert set(service.get("environment", {})) <= VARIABLES | OTHERS_VARIABLES | {
            "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB",
        }  # fmt: skip
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose()["volumes"], mount
        if service.get("command", [""])[0] == "holovitals":
            assert service["command"][1] in ours
        for port in service.get("ports", ()):
            address, outside, inside = port.split(":")
            assert address == "127.0.0.1" and outside == inside and inside in service["command"]
    [location] = yaml.safe_load((DEPLOY / "compose.workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    assert str(location["grpc_server"]["port"]) in services[location["grpc_server"]["host"]]["command"]


def test_the_image_is_of_a_version_and_does_not_run_as_root() -> None:
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert bases and all(":" in base and not base.endswith(":latest") for base in bases)
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001"]
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY") and "--from" not in line]
    for source in (one for sources in copied for one in sources):
        assert (DEPLOY.parent / source).exists(), source
