"""The manifests agree with Kubernetes' schemas, with each other and with the code."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate
import pytest
import yaml

from orchestrator.cli.parts import MODEL_SERVICES, PARTS
from services.common.config.folders import DEFAULT_PROFILE
from services.common.config.layers import Settings
from services.common.rpc.channels import service_name
from tests.conftest import ROOT
from tests.deploy.settings import (
    called_addresses,
    image_version,
    load_all,
    metrics_port_of,
    port_of,
)

KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
KUBERNETES_VERSIONS = ("1.35", "1.36", "1.37")
CUSTOM_KINDS = {"Certificate", "Issuer", "InferenceService", "PodMonitor", "PrometheusRule"}
KSERVE_FIELDS = ("labels", "maxReplicas", "minReplicas", "scaleMetric", "scaleTarget")
"""Fields of a predictor in addition to those of a pod."""
CLUSTER_KINDS = {"Namespace"}
MADE_BY_USER = {("Secret", "database"), ("Secret", "ui-login"), ("ClusterIssuer", "letsencrypt")}
"""What deploy/README.md says to create before `production` is applied."""
REFERENCES = {  # the keys under which a manifest names another object, and that object's kind
    "secretName": "Secret",
    "secretKeyRef": "Secret",
    "secretRef": "Secret",
    "configMapRef": "ConfigMap",
    "configMapKeyRef": "ConfigMap",
    "configMap": "ConfigMap",
    "claimName": "PersistentVolumeClaim",
    "serviceAccountName": "ServiceAccount",
    "serviceName": "Service",
    "service": "Service",
    "issuerRef": "Issuer",
    "scaleTargetRef": "Deployment",
}
NAME = "app.kubernetes.io/name"
Document = dict[str, Any]


@functools.cache
def built(overlay: str) -> list[Document]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl (1.27 or newer) is not installed")
    command = [kubectl, "kustomize", str(KUBERNETES / "overlays" / overlay)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return list(yaml.safe_load_all(answer.stdout))


def of_kind(overlay: str, kind: str) -> list[Document]:
    return [document for document in built(overlay) if document["kind"] == kind]


def named(overlay: str, kind: str, name: str) -> Document:
    (found,) = [one for one in of_kind(overlay, kind) if one["metadata"]["name"] == name]
    return found


def pods(overlay: str) -> dict[str, tuple[dict[str, str], Document]]:
    """Returns labels and specs of every component's pods."""
    found = {}
    for document in built(overlay):
        if document["kind"] in ("Deployment", "StatefulSet"):
            template = document["spec"]["template"]
            found[template["metadata"]["labels"][NAME]] = (
                template["metadata"]["labels"],
                template["spec"],
            )
        if document["kind"] == "InferenceService":
            predictor = dict(document["spec"]["predictor"])
            own = {name: predictor.pop(name, None) for name in KSERVE_FIELDS}
            labels = {**document["metadata"]["labels"], **own["labels"]}
            found[labels[NAME]] = (labels, predictor)
    return found


def parts(overlay: str) -> dict[str, Document]:
    """Returns the container of each of our parts."""
    found = {name: spec["containers"] for name, (_, spec) in pods(overlay).items()}
    assert all(len(containers) == 1 for containers in found.values())
    return {name: only for name, (only,) in found.items() if name != "postgresql"}


def environment(overlay: str) -> dict[str, str]:
    return dict(named(overlay, "ConfigMap", "settings")["data"])


@functools.cache
def settings_of(overlay: str) -> dict[str, Settings]:
    return load_all(environment(overlay), profile(overlay))


def profile(overlay: str) -> str:
    """Returns the profile that all parts use."""
    profiles = {
        argument.removeprefix("--profile=")
        for container in parts(overlay).values()
        for argument in container.get("args", [])
        if argument.startswith("--profile=")
    }
    assert len(profiles) <= 1
    return profiles.pop() if profiles else DEFAULT_PROFILE


@pytest.fixture(scope="module")
def _schemas_read_once() -> Iterator[None]:
    """The library reads megabytes of schemas for each object."""
    read = functools.cache(kubernetes_validate.utils.schema_contents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", read)
        yield


@pytest.mark.usefixtures("_schemas_read_once")
@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_is_valid(overlay: str, version: str) -> None:
    assert built(overlay)
    for document in built(overlay):
        if document["kind"] in CUSTOM_KINDS:
            continue
        kubernetes_validate.validate(document, version, strict=True)
    for labels, spec in pods(overlay).values():
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "any", "labels": labels},
            "spec": spec,
        }
        kubernetes_validate.validate(pod, version, strict=True)


def test_the_volume_in_the_readme_binds_the_claim_for_photos() -> None:
    text = (ROOT / "deploy/README.md").read_text()
    volume = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    kubernetes_validate.validate(volume, KUBERNETES_VERSIONS[-1], strict=True)
    spec, reference = volume["spec"], volume["spec"]["claimRef"]
    claim = named("local", "PersistentVolumeClaim", reference["name"])
    assert reference["namespace"] == claim["metadata"]["namespace"]
    assert spec["accessModes"] == claim["spec"]["accessModes"]
    assert spec["capacity"] == claim["spec"]["resources"]["requests"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_code_reads_every_setting_and_serves_where_the_manifests_look(overlay: str) -> None:
    settings = settings_of(overlay)
    assert set(parts(overlay)) == set(PARTS)
    for name, container in parts(overlay).items():
        assert {"configMapRef": {"name": "settings"}} in container["envFrom"]
        ports = {port["containerPort"] for port in container["ports"]}
        assert port_of(settings, name) in ports
        if len(ports) > 1:
            assert ports == {port_of(settings, name), metrics_port_of(settings, name)}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_check_the_services_in_the_code(overlay: str) -> None:
    settings = settings_of(overlay)
    is_tls = settings["shared"].tls.certificate_file is not None  # type: ignore[attr-defined]
    for name, container in parts(overlay).items():
        probes = [container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
        if name == "ui":
            for probe in probes:
                assert probe["httpGet"]["path"] == "/healthz"
                assert probe["httpGet"].get("scheme", "HTTP") == ("HTTPS" if is_tls else "HTTP")
        elif is_tls:  # the kubelet's gRPC probe does not support TLS
            for probe in probes[:2]:
                assert "services.common.rpc.probe" in probe["exec"]["command"][-1]
            assert probes[2]["tcpSocket"]
        else:
            assert all(probe["grpc"]["port"] == port_of(settings, name) for probe in probes)
            assert [probe["grpc"].get("service") for probe in probes] == [
                *(service_name(name), service_name(name)),
                None,
            ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_match_the_dockerfile(overlay: str) -> None:
    for name, container in parts(overlay).items():
        image, tag = container["image"].rsplit(":", 1)
        assert image.rsplit("/", 1)[-1] == f"bestshot-{name}"
        cuda = "-cuda" if overlay == "gpu" and name in MODEL_SERVICES else ""
        assert tag == image_version() + cuda


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_address_that_a_part_calls_is_a_service_of_the_right_pods(overlay: str) -> None:
    services = {document["metadata"]["name"]: document for document in of_kind(overlay, "Service")}
    labels = {name: found for name, (found, _) in pods(overlay).items()}
    for (_, called), (host, port) in called_addresses(settings_of(overlay)).items():
        spec = services[host]["spec"]
        assert spec["clusterIP"] == "None", "a client must see all replicas"
        assert [one["port"] for one in spec["ports"]] == [port]
        assert selected(spec["selector"], labels) == {called}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_network_policies_allow_only_the_necessary_calls(overlay: str) -> None:
    settings = settings_of(overlay)
    labels = {name: found for name, (found, _) in pods(overlay).items()}
    wanted = {(caller, called, port) for (caller, called), (_, port) in
              called_addresses(settings).items()}  # fmt: skip
    if "postgresql" in labels:
        wanted.add(("orchestrator", "postgresql", 5432))
    policies = of_kind(overlay, "NetworkPolicy")
    ports = {port for _, _, port in wanted}
    allowed = {
        (caller, called, port)
        for caller in labels
        for called in labels
        for port in ports
        if allows(policies, "egress", labels[caller], labels[called], port)
        and allows(policies, "ingress", labels[called], labels[caller], port)
    }
    assert allowed == wanted


def allows(
    policies: list[Document], way: str, own: Mapping[str, str], peer: Mapping[str, str], port: int
) -> bool:
    """Whether the policies of a pod labelled `own` allow calls to or from one labelled `peer`."""
    for policy in policies:
        if not matches(policy["spec"]["podSelector"], own):
            continue
        for rule in policy["spec"].get(way, []):
            peers = rule.get("from" if way == "ingress" else "to")
            if port not in {one["port"] for one in rule["ports"]}:
                continue
            if peers is None or any(
                "podSelector" in one and matches(one["podSelector"], peer) for one in peers
            ):
                return True
    return False


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    pairs = selector.get("matchLabels", {}).items()
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions)
    return all(labels.get(key) == value for key, value in pairs) and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )


def selected(pairs: Mapping[str, str], labels: Mapping[str, Mapping[str, str]]) -> set[str]:
    return {name for name, found in labels.items() if matches({"matchLabels": pairs}, found)}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_restricted(overlay: str) -> None:
    for name, (_, spec) in pods(overlay).items():
        assert spec["enableServiceLinks"] is False, "these would set unknown BESTSHOT_ variables"
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_budgets_and_autoscalers_refer_to_existing_objects(overlay: str) -> None:
    labels = {name: found for name, (found, _) in pods(overlay).items()}
    deployments = {document["metadata"]["name"] for document in of_kind(overlay, "Deployment")}
    for budget in of_kind(overlay, "PodDisruptionBudget"):
        assert len(selected(budget["spec"]["selector"]["matchLabels"], labels)) == 1
    scaled = {
        scaler["spec"]["scaleTargetRef"]["name"]
        for scaler in of_kind(overlay, "HorizontalPodAutoscaler")
    }
    assert scaled <= deployments
    if overlay in ("gpu", "production"):
        assert scaled == {f"{name}-service" for name in MODEL_SERVICES}


def test_production_requires_authentication_everywhere() -> None:
    settings = settings_of("production")
    tls = settings["shared"].tls  # type: ignore[attr-defined]
    assert tls.require_client_certificate
    assert settings["ui"].username  # type: ignore[attr-defined]
    mounted = {"tls.crt", "tls.key", "ca.crt"}
    assert {path.name for path in (tls.certificate_file, tls.key_file, tls.ca_file)} == mounted
    certificates = {
        document["spec"]["secretName"]: document["spec"]
        for document in of_kind("production", "Certificate")
    }
    called = {called: host for (_, called), (host, _) in called_addresses(settings).items()} | {
        "ui": "ui"
    }
    for name, container in parts("production").items():
        assert "--insecure" not in container.get("args", [])
        _, spec = pods("production")[name]
        (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "tls"]
        names = certificates[volume["secret"]["secretName"]]["dnsNames"]
        assert called[name] in names
        assert "localhost" in names, "the probe uses this name"
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["tls"] == str(tls.certificate_file.parent)


def test_the_orchestrators_of_production_share_a_database_and_files() -> None:
    settings: Any = settings_of("production")["orchestrator"]
    assert settings.database_url.startswith("postgresql://")
    deployment = named("production", "Deployment", "orchestrator")
    assert deployment["spec"]["replicas"] > 1
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    for claim in of_kind("production", "PersistentVolumeClaim"):
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for overlay in set(OVERLAYS) - {"production"}:  # SQLite supports one orchestrator
        alone = named(overlay, "Deployment", "orchestrator")
        assert (alone["spec"]["replicas"], alone["spec"]["strategy"]["type"]) == (1, "Recreate")


def test_the_alerts_of_the_operator_equal_those_of_prometheus() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yaml").read_text())
    (custom,) = of_kind("production", "PrometheusRule")
    assert custom["spec"] == rules


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_page_answers_to_the_name_of_its_ingress(overlay: str) -> None:
    names = settings_of(overlay)["shared"].allowed_hosts  # type: ignore[attr-defined]
    for ingress in of_kind(overlay, "Ingress"):
        assert {rule["host"] for rule in ingress["spec"]["rules"]} <= set(names)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_models_come_from_the_image_unless_a_volume_is_mounted(overlay: str) -> None:
    folder = environment(overlay).get("BESTSHOT_MODELS_DIR")
    assert (folder is not None) == (overlay == "gpu")
    for name in MODEL_SERVICES:
        mounts = {one["name"]: one for one in parts(overlay)[name]["volumeMounts"]}
        mount = mounts.get("models")
        assert (mount["mountPath"] if mount else None) == folder


def references(node: Any) -> set[tuple[str, str]]:
    """Returns the kind and name of every object that a manifest names, at any depth."""
    found: set[tuple[str, str]] = set()
    if isinstance(node, list):
        return found.union(*map(references, node))
    if not isinstance(node, dict):
        return found
    for key, value in node.items():
        name = value.get("name") if isinstance(value, dict) else value
        is_probe = key == "service" and isinstance(value, str)  # a gRPC service
        if key in REFERENCES and isinstance(name, str) and not is_probe:
            kind = value.get("kind") if isinstance(value, dict) else None
            found.add((kind or REFERENCES[key], name))
        else:
            found |= references(value)
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_in_the_namespace(overlay: str) -> None:
    for document in built(overlay):
        if document["kind"] in CLUSTER_KINDS:
            continue
        name = f"{document['kind']} {document['metadata']['name']}"
        assert document["metadata"].get("namespace") == "bestshot", name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_that_a_manifest_names_exists(overlay: str) -> None:
    existing = {(document["kind"], document["metadata"]["name"]) for document in built(overlay)}
    existing |= {
        ("Secret", document["spec"]["secretName"]) for document in of_kind(overlay, "Certificate")
    }
    named_by: dict[tuple[str, str], str] = {}
    for document in built(overlay):
        source = f"{document['kind']} {document['metadata']['name']}"
        named_by |= dict.fromkeys(references(document.get("spec")), source)
    for ingress in of_kind(overlay, "Ingress"):
        # cert-manager makes the certificate of an Ingress that names an issuer
        issuer = ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"]
        named_by["ClusterIssuer", issuer] = "Ingress"
        existing |= {("Secret", one["secretName"]) for one in ingress["spec"]["tls"]}
    missing = {one: source for one, source in named_by.items() if one not in existing}
    assert missing.keys() <= (MADE_BY_USER if overlay == "production" else set()), missing


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_ingress_and_a_disruption_budget_find_pods(overlay: str) -> None:
    labels = {name: found for name, (found, _) in pods(overlay).items()}
    for service in of_kind(overlay, "Service"):
        (name,) = selected(service["spec"]["selector"], labels)
        (container,) = pods(overlay)[name][1]["containers"]
        names = {port.get("name") for port in container["ports"]}
        numbers = {port["containerPort"] for port in container["ports"]}
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in names | numbers
    for ingress in of_kind(overlay, "Ingress"):
        for path in (path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]):
            backend = path["backend"]["service"]
            ports = named(overlay, "Service", backend["name"])["spec"]["ports"]
            assert backend["port"]["name"] in {port["name"] for port in ports}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_can_ask_for_names_in_the_cluster_and_on_its_node(overlay: str) -> None:
    policy = named(overlay, "NetworkPolicy", "names")["spec"]
    assert policy["podSelector"] == {}
    (rule,) = policy["egress"]
    ports = {(port["protocol"], port["port"]) for port in rule["ports"]}
    assert ports == {("UDP", 53), ("TCP", 53)}
    in_cluster = {"kubernetes.io/metadata.name": "kube-system"}  # CoreDNS, also that of k3s
    assert {"namespaceSelector": {"matchLabels": in_cluster}} in rule["to"]
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in rule["to"]  # NodeLocal DNSCache


@pytest.mark.parametrize("overlay", ["local", "gpu"])
def test_one_of_each_fits_on_a_node_with_four_cores(overlay: str) -> None:
    requests = sum(
        cores(container["resources"]["requests"]["cpu"]) for container in parts(overlay).values()
    )
    assert requests <= 3.5, "the cluster's own pods request about half a core"


def cores(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)
