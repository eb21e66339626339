"""The Pod Security Standards: what a level forbids in a pod's spec, in Kubernetes' words. Pure. Linux pods only."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from k8s.devcluster.resources import Obj

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")

_ADDED_IN_BASELINE = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
_SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}  # fmt: skip
_RESTRICTED_VOLUMES = (
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret", "image",
)  # fmt: skip
_SECCOMP = ("RuntimeDefault", "Localhost")

Finding = tuple[str, str]
"""(what is wrong, where)"""


def level(namespace: Obj, mode: str) -> tuple[str, str]:
    """(level, version) that a namespace's labels set for `mode`: enforce, warn or audit.

    `warn` and `audit` follow `enforce` unless they have a label of their own.
    """
    labels = namespace["metadata"].get("labels") or {}
    for asked in (mode, "enforce"):
        found = labels.get(PREFIX + asked)
        if found is not None:
            # Kubernetes takes an unknown level for the strictest.
            version = labels.get(f"{PREFIX}{asked}-version", "latest")
            return (found if found in LEVELS else "restricted"), version
    return "privileged", "latest"


def violations(spec: Obj, asked: str) -> str:
    """Everything in a pod's spec that the level `asked` forbids, as a single text; empty if nothing is."""
    checks: tuple[_Check, ...] = ()
    if asked != "privileged":
        checks = _BASELINE if asked == "baseline" else _RESTRICTED
    found = [finding for check in checks for finding in check(spec)]
    return ", ".join(f"{reason} ({where})" for reason, where in found)


def _containers(spec: Obj) -> Iterator[tuple[str, Obj]]:
    """(name, security context), in the order in which Kubernetes visits them."""
    for place in ("initContainers", "containers"):
        for container in spec.get(place) or []:
            yield container["name"], container.get("securityContext") or {}


def _named(names: Iterable[str], what: str = "container") -> str:
    quoted = [f'"{name}"' for name in names]
    return f"{what}{'s' if len(quoted) > 1 else ''} {', '.join(quoted)}"


def _having(spec: Obj, wrong: Callable[[Obj], bool]) -> list[str]:
    return [name for name, context in _containers(spec) if wrong(context)]


def _pod_context(spec: Obj) -> Obj:
    found: Obj = spec.get("securityContext") or {}
    return found


def _host_namespaces(spec: Obj) -> list[Finding]:
    used = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return [("host namespaces", ", ".join(used))] if used else []


def _host_path(spec: Obj) -> list[Finding]:
    names = [volume["name"] for volume in spec.get("volumes") or [] if "hostPath" in volume]
    return [("hostPath volumes", _named(names, "volume"))] if names else []


def _host_ports(spec: Obj) -> list[Finding]:
    names, ports = [], set()
    for place in ("initContainers", "containers"):
        for container in spec.get(place) or []:
            used = {port["hostPort"] for port in container.get("ports") or [] if port.get("hostPort")}
            names += [container["name"]] if used else []
            ports |= used
    if not ports:
        return []
    word, verb = ("hostPort", "uses") if len(ports) == 1 else ("hostPorts", "use")
    verb = "uses" if len(names) == 1 else verb
    return [("hostPort", f"{_named(names)} {verb} {word} {', '.join(str(port) for port in sorted(ports))}")]


def _privileged(spec: Obj) -> list[Finding]:
    names = _having(spec, lambda context: bool(context.get("privileged")))
    return [("privileged", f"{_named(names)} must not set securityContext.privileged=true")] if names else []


def _proc_mount(spec: Obj) -> list[Finding]:
    names = _having(spec, lambda context: context.get("procMount") not in (None, "Default"))
    return [("procMount", f'{_named(names)} must not set securityContext.procMount to "Unmasked"')] if names else []


def _sysctls(spec: Obj) -> list[Finding]:
    names = [item["name"] for item in _pod_context(spec).get("sysctls") or [] if item["name"] not in _SAFE_SYSCTLS]
    return [("forbidden sysctls", ", ".join(names))] if names else []


def _unconfined(spec: Obj) -> list[Finding]:
    names = _having(spec, lambda context: (context.get("seccompProfile") or {}).get("type") == "Unconfined")
    setters = ["pod"] if (_pod_context(spec).get("seccompProfile") or {}).get("type") == "Unconfined" else []
    setters += [_named(names)] if names else []
    why = 'must not set securityContext.seccompProfile.type to "Unconfined"'
    return [("seccompProfile", f"{' and '.join(setters)} {why}")] if setters else []


def _added(spec: Obj, allowed: set[str]) -> list[str]:
    """What is wrong with added capabilities: a sentence, or nothing."""
    names, forbidden = [], set()
    for name, context in _containers(spec):
        extra = set((context.get("capabilities") or {}).get("add") or []) - allowed
        names += [name] if extra else []
        forbidden |= extra
    listed = ", ".join(f'"{capability}"' for capability in sorted(forbidden))
    return [f"{_named(names)} must not include {listed} in securityContext.capabilities.add"] if names else []


def _baseline_capabilities(spec: Obj) -> list[Finding]:
    return [("non-default capabilities", where) for where in _added(spec, _ADDED_IN_BASELINE)]


def _capabilities(spec: Obj) -> list[Finding]:
    undropped = _having(spec, lambda context: "ALL" not in ((context.get("capabilities") or {}).get("drop") or []))
    wrong = [f'{_named(undropped)} must set securityContext.capabilities.drop=["ALL"]'] if undropped else []
    wrong += _added(spec, {"NET_BIND_SERVICE"})
    return [("unrestricted capabilities", "; ".join(wrong))] if wrong else []


def _escalation(spec: Obj) -> list[Finding]:
    names = _having(spec, lambda context: context.get("allowPrivilegeEscalation") is not False)
    where = f"{_named(names)} must set securityContext.allowPrivilegeEscalation=false"
    return [("allowPrivilegeEscalation != false", where)] if names else []


def _volumes(spec: Obj) -> list[Finding]:
    wrong: dict[str, list[str]] = {}
    for volume in spec.get("volumes") or []:
        for kind in volume.keys() - {"name", *_RESTRICTED_VOLUMES}:
            wrong.setdefault(kind, []).append(volume["name"])
    if not wrong:
        return []
    names = [name for volumes in wrong.values() for name in volumes]
    kinds = ", ".join(f'"{kind}"' for kind in sorted(wrong))
    verb = "uses" if len(names) == 1 else "use"
    where = f"{_named(names, 'volume')} {verb} restricted volume type{'s' if len(wrong) > 1 else ''} {kinds}"
    return [("restricted volume types", where)]


def _non_root(spec: Obj) -> list[Finding]:
    pod = _pod_context(spec).get("runAsNonRoot")
    said = _having(spec, lambda context: context.get("runAsNonRoot") is False)
    setters = (["pod"] if pod is False else []) + ([_named(said)] if said else [])
    if setters:
        return [("runAsNonRoot != true", f"{' and '.join(setters)} must not set securityContext.runAsNonRoot=false")]
    silent = [] if pod else _having(spec, lambda context: context.get("runAsNonRoot") is None)
    where = f"pod or {_named(silent)} must set securityContext.runAsNonRoot=true"
    return [("runAsNonRoot != true", where)] if silent else []


def _root(spec: Obj) -> list[Finding]:
    names = _having(spec, lambda context: context.get("runAsUser") == 0)
    setters = (["pod"] if _pod_context(spec).get("runAsUser") == 0 else []) + ([_named(names)] if names else [])
    return [("runAsUser=0", f"{' and '.join(setters)} must not set runAsUser=0")] if setters else []


def _seccomp(spec: Obj) -> list[Finding]:
    def kind(context: Obj) -> Any:
        return (context.get("seccompProfile") or {}).get("type")

    pod = kind(_pod_context(spec))
    bad = _having(spec, lambda context: kind(context) not in (None, *_SECCOMP))
    setters = (["pod"] if pod not in (None, *_SECCOMP) else []) + ([_named(bad)] if bad else [])
    if setters:
        return _unconfined(spec)
    silent = [] if pod else _having(spec, lambda context: kind(context) is None)
    where = f'pod or {_named(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return [("seccompProfile", where)] if silent else []


_Check = Callable[[Obj], list[Finding]]
_COMMON: tuple[_Check, ...] = (_host_namespaces, _host_ports, _privileged, _proc_mount)
_BASELINE = (_baseline_capabilities, _host_namespaces, _host_path, _host_ports, _privileged, _proc_mount, _unconfined,
             _sysctls)  # fmt: skip
_RESTRICTED = (*_COMMON, _sysctls, _escalation, _capabilities, _volumes, _non_root, _root, _seccomp)
