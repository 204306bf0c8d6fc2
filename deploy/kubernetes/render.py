"""Manifests for Kubernetes from values: `python deploy/kubernetes/render.py VALUES.yaml | kubectl apply -f -`.

Law: no secret is in a manifest; what is wrong with the values is said here, not by the cluster. What must be there
before: docs/deploy.md.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

HOME, DAGSTER_HOME, SCRATCH, SECRETS = "/var/lib/holovitals", "/opt/dagster", "/scratch", "/run/secrets/holovitals"
CODE_PORT, UI_PORT = 4000, 3000
SECRET_SETTINGS = {
    "HOLOVITALS_DATABASE_URL": "database-url",
    "HOLOVITALS_DAGSTER_DATABASE_URL": "dagster-database-url",
    "HOLOVITALS_BROKER_URL": "broker-url",
    "AWS_ACCESS_KEY_ID": "aws-access-key-id",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-access-key",
}
"""Environment variables and the keys of the Secret that hold them."""
SEALING_KEY = "secrets.key"
"""The key of the Secret that webhook secrets are sealed with."""


class BadValues(SystemExit):
    """Ends the program with the sentence."""


def render(values: Mapping[str, Any]) -> list[Manifest]:
    """All manifests, in the order in which they can be applied."""
    _check(values)
    return [
        *_shared(values),
        *_served(values, "api", _serve_command(values["api"]["port"]), values["api"], values["api"]["port"],
                 readiness=_http("/readyz", values["api"]["port"]), liveness=_http("/healthz", values["api"]["port"])),
        _deployment(values, "celery-worker", _celery_command(values["celeryWorker"]["parallel"]),
                    values["celeryWorker"], grace_seconds=600),
        _deployment(values, "worker", ["holovitals", "worker", "--json"], values["worker"], grace_seconds=60),
        *(_listener(values) if values["listener"]["ports"] else ()),
        *_dagster(values),
    ]  # fmt: skip


def _serve_command(port: int) -> list[str]:
    return ["holovitals", "serve", "--host", "0.0.0.0", "--port", str(port), "--plain-http"]  # noqa: S104 a pod's own


def _celery_command(parallel: int) -> list[str]:
    return ["holovitals", "celery-worker", "--parallel", str(parallel), "--json"]


def _check(values: Mapping[str, Any]) -> None:
    image = str(values.get("image", ""))
    tag = image.rpartition("/")[2].partition(":")[2]
    if "@sha256:" not in image and tag in ("", "latest"):
        raise BadValues(f"image: {image or 'none'} names no version; give a tag that is not 'latest', or a digest")
    for name in values.get("settings", {}):
        if f"HOLOVITALS_{name}" in SECRET_SETTINGS or "SECRET" in name or "PASSWORD" in name:
            raise BadValues(f"settings: {name} may hold a secret; put it into the Secret {values.get('secret')}")
    if re.search(r"://[^/\s]*:[^/\s]*@", yaml.safe_dump(dict(values))):
        raise BadValues("the values hold an address with a password; addresses with passwords belong into the Secret")


# what all services share


def _shared(values: Mapping[str, Any]) -> Iterator[Manifest]:
    settings = {
        "HOLOVITALS_HOME": HOME,
        "HOLOVITALS_SCRATCH": SCRATCH,
        "HOLOVITALS_EXECUTOR": "celery",
        "HOLOVITALS_SECRET_KEY_FILE": f"{SECRETS}/{SEALING_KEY}",
        "DAGSTER_HOME": DAGSTER_HOME,
        **{f"HOLOVITALS_{name}": str(value) for name, value in values.get("settings", {}).items()},
    }
    yield _manifest(values, "v1", "ConfigMap", "holovitals-settings", data=settings)
    instance = (files("holovitals_pipelines.deploy") / "dagster.distributed.yaml").read_text(encoding="utf-8")
    server = {"host": "holovitals-dagster-code", "port": CODE_PORT, "location_name": "holovitals_pipelines"}
    workspace = yaml.safe_dump({"load_from": [{"grpc_server": server}]})
    yield _manifest(
        values, "v1", "ConfigMap", "holovitals-dagster", data={"dagster.yaml": instance, "workspace.yaml": workspace}
    )
    claim: Manifest = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": values["home"]["size"]}},
    }
    if values["home"].get("storageClass"):
        claim["storageClassName"] = values["home"]["storageClass"]
    yield _manifest(values, "v1", "PersistentVolumeClaim", "holovitals-home", spec=claim)


def _manifest(values: Mapping[str, Any], version: str, kind: str, name: str, **content: Any) -> Manifest:
    metadata = {"name": name, "namespace": values["namespace"], "labels": {"app.kubernetes.io/part-of": "holovitals"}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def _labels(service: str) -> dict[str, str]:
    return {"app.kubernetes.io/part-of": "holovitals", "app.kubernetes.io/component": service}


def _deployment(
    values: Mapping[str, Any],
    service: str,
    command: Sequence[str],
    size: Mapping[str, Any],
    *,
    ports: Sequence[int] = (),
    readiness: Manifest | None = None,
    liveness: Manifest | None = None,
    grace_seconds: int = 30,
    alone: bool = False,
) -> Manifest:
    """`size`: replicas and resources. `alone`: the old pod ends before a new one begins."""
    container: Manifest = {
        "name": service,
        "image": values["image"],
        "imagePullPolicy": values["imagePullPolicy"],
        "command": list(command),
        "envFrom": [{"configMapRef": {"name": "holovitals-settings"}}],
        "env": [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": values["secret"], "key": key}}}
            for name, key in SECRET_SETTINGS.items()
        ],
        "resources": size["resources"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "home", "mountPath": HOME},
            {"name": "scratch", "mountPath": SCRATCH},
            {"name": "dagster-home", "mountPath": DAGSTER_HOME},
            {"name": "dagster", "mountPath": f"{DAGSTER_HOME}/dagster.yaml", "subPath": "dagster.yaml"},
            {"name": "dagster", "mountPath": f"{DAGSTER_HOME}/workspace.yaml", "subPath": "workspace.yaml"},
            {"name": "sealing-key", "mountPath": SECRETS, "readOnly": True},
        ],
    }
    if ports:
        container["ports"] = [{"name": f"port-{port}", "containerPort": port} for port in ports]
    if readiness:
        container["readinessProbe"] = readiness
    if liveness:
        container["livenessProbe"] = liveness
    pod = {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001},
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": grace_seconds,
        "containers": [container],
        "volumes": [
            {"name": "home", "persistentVolumeClaim": {"claimName": "holovitals-home"}},
            {"name": "scratch", "emptyDir": {"sizeLimit": values["scratchSize"]}},
            {"name": "dagster-home", "emptyDir": {}},
            {"name": "dagster", "configMap": {"name": "holovitals-dagster"}},
            {
                "name": "sealing-key",
                "secret": {
                    "secretName": values["secret"],
                    "items": [{"key": SEALING_KEY, "path": SEALING_KEY}],
                    "defaultMode": 0o440,
                },
            },
        ],
    }
    spec = {
        "replicas": size.get("replicas", 1),
        "selector": {"matchLabels": _labels(service)},
        "template": {"metadata": {"labels": _labels(service)}, "spec": pod},
    }
    if alone:
        spec["strategy"] = {"type": "Recreate"}
    return _manifest(values, "apps/v1", "Deployment", f"holovitals-{service}", spec=spec)


def _served(
    values: Mapping[str, Any], service: str, command: Sequence[str], size: Mapping[str, Any], *ports: int, **more: Any
) -> Iterator[Manifest]:
    """A deployment and the service that leads to its ports."""
    yield _deployment(values, service, command, size, ports=ports, **more)
    named = [{"name": f"port-{port}", "port": port, "targetPort": f"port-{port}"} for port in ports]
    yield _manifest(
        values, "v1", "Service", f"holovitals-{service}", spec={"selector": _labels(service), "ports": named}
    )


def _http(path: str, port: int) -> Manifest:
    return {"httpGet": {"path": path, "port": f"port-{port}"}, "initialDelaySeconds": 5, "periodSeconds": 10,
            "timeoutSeconds": 5, "failureThreshold": 6}  # fmt: skip


def _listener(values: Mapping[str, Any]) -> Iterator[Manifest]:
    ports = values["listener"]["ports"]
    probe = {"tcpSocket": {"port": f"port-{ports[0]}"}, "initialDelaySeconds": 5, "periodSeconds": 10}
    yield from _served(
        values, "listener", ["holovitals", "listen", "--json"], values["listener"], *ports,
        readiness=probe, liveness=probe, alone=True,
    )  # fmt: skip


# Dagster


def _dagster(values: Mapping[str, Any]) -> Iterator[Manifest]:
    sizes, workspace = values["dagster"], f"{DAGSTER_HOME}/workspace.yaml"
    health = {"exec": {"command": ["dagster", "api", "grpc-health-check", "-p", str(CODE_PORT)]},
              "initialDelaySeconds": 20, "periodSeconds": 30, "timeoutSeconds": 20, "failureThreshold": 6}  # fmt: skip
    yield from _served(
        values, "dagster-code",
        ["dagster", "code-server", "start", "-h", "0.0.0.0", "-p", str(CODE_PORT),  # noqa: S104 a pod's own
         "-m", "holovitals_pipelines.definitions"],
        {"resources": sizes["code"]}, CODE_PORT, readiness=health, grace_seconds=600, alone=True,
    )  # fmt: skip
    alive = {"exec": {"command": ["dagster-daemon", "liveness-check"]},
             "initialDelaySeconds": 120, "periodSeconds": 60, "timeoutSeconds": 30, "failureThreshold": 3}  # fmt: skip
    yield _deployment(
        values, "dagster-daemon", ["dagster-daemon", "run", "-w", workspace], {"resources": sizes["daemon"]},
        liveness=alive, alone=True,
    )  # fmt: skip
    yield from _served(
        values, "dagster-webserver",
        ["dagster-webserver", "-h", "0.0.0.0", "-p", str(UI_PORT), "-w", workspace],  # noqa: S104 a pod's own
        {"resources": sizes["webserver"]}, UI_PORT, readiness=_http("/server_info", UI_PORT),
    )  # fmt: skip
    # It asks nobody who he is: no other pod reaches it. `kubectl port-forward` does.
    yield _manifest(
        values, "networking.k8s.io/v1", "NetworkPolicy", "holovitals-dagster-webserver",
        spec={"podSelector": {"matchLabels": _labels("dagster-webserver")}, "policyTypes": ["Ingress"], "ingress": []},
    )  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    path = Path(arguments[0]) if arguments else Path(__file__).with_name("values.yaml")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    yaml.safe_dump_all(render(values), sys.stdout, sort_keys=False)


if __name__ == "__main__":
    main(sys.argv[1:])
