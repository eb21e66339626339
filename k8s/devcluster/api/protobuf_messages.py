"""Fields of the protobuf messages that kubectl sends, by their numbers in Kubernetes' generated.proto files.

Fields that this server has no use for, such as most types of volumes, are left out.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """`type`: a message's name, text, bytes, skip; int or bool (zero is a value); count or flag (zero: not set).

    `shape`: one, list, map (from text to `type`), or inline: the message's fields belong to the message around it.
    """

    name: str
    type: str = "text"
    shape: str = "one"


def _inline(type_: str) -> Field:
    return Field("", type_, "inline")


_KEY_SELECTOR = {1: _inline("LocalObjectReference"), 2: Field("key"), 3: Field("optional", "bool")}
_ENV_SOURCE = {1: _inline("LocalObjectReference"), 2: Field("optional", "bool")}
_PROJECTION = {1: _inline("LocalObjectReference"), 2: Field("items", "KeyToPath", "list"), 4: Field("optional", "bool")}
_REQUIREMENT = {1: Field("key"), 2: Field("operator"), 3: Field("values", "text", "list")}
_POD_AFFINITY = {
    1: Field("requiredDuringSchedulingIgnoredDuringExecution", "PodAffinityTerm", "list"),
    2: Field("preferredDuringSchedulingIgnoredDuringExecution", "WeightedPodAffinityTerm", "list"),
}
_AMOUNTS = {1: Field("limits", "Quantity", "map"), 2: Field("requests", "Quantity", "map")}

MESSAGES: dict[str, dict[int, Field]] = {
    # The envelope, metadata, and what many messages have
    "Unknown": {1: Field("typeMeta", "TypeMeta"), 2: Field("raw", "bytes"), 3: Field("", "skip"), 4: Field("", "skip")},
    "TypeMeta": {1: Field("apiVersion"), 2: Field("kind")},
    "ObjectMeta": {
        1: Field("name"), 2: Field("generateName"), 3: Field("namespace"), 4: Field("", "skip"), 5: Field("uid"),
        6: Field("resourceVersion"), 7: Field("", "skip"), 8: Field("", "skip"),
        11: Field("labels", "text", "map"), 12: Field("annotations", "text", "map"),
        13: Field("ownerReferences", "OwnerReference", "list"), 14: Field("finalizers", "text", "list"),
    },
    "OwnerReference": {
        1: Field("kind"), 3: Field("name"), 4: Field("uid"), 5: Field("apiVersion"), 6: Field("controller", "bool"),
        7: Field("blockOwnerDeletion", "bool"),
    },
    "LabelSelector": {
        1: Field("matchLabels", "text", "map"), 2: Field("matchExpressions", "LabelSelectorRequirement", "list"),
    },
    "LabelSelectorRequirement": _REQUIREMENT,
    "LocalObjectReference": {1: Field("name")},
    "Quantity": {1: Field("string")},
    # Jobs
    "CronJob": {1: Field("metadata", "ObjectMeta"), 2: Field("spec", "CronJobSpec"), 3: Field("", "skip")},
    "CronJobSpec": {
        1: Field("schedule"), 2: Field("startingDeadlineSeconds", "int"), 3: Field("concurrencyPolicy"),
        4: Field("suspend", "bool"), 5: Field("jobTemplate", "JobTemplateSpec"),
        6: Field("successfulJobsHistoryLimit", "int"), 7: Field("failedJobsHistoryLimit", "int"), 8: Field("timeZone"),
    },
    "JobTemplateSpec": {1: Field("metadata", "ObjectMeta"), 2: Field("spec", "JobSpec")},
    "Job": {1: Field("metadata", "ObjectMeta"), 2: Field("spec", "JobSpec"), 3: Field("", "skip")},
    "JobSpec": {
        1: Field("parallelism", "int"), 2: Field("completions", "int"), 3: Field("activeDeadlineSeconds", "int"),
        6: Field("template", "PodTemplateSpec"), 7: Field("backoffLimit", "int"),
        8: Field("ttlSecondsAfterFinished", "int"), 9: Field("completionMode"), 10: Field("suspend", "bool"),
        11: Field("podFailurePolicy", "PodFailurePolicy"), 12: Field("backoffLimitPerIndex", "int"),
        13: Field("maxFailedIndexes", "int"), 14: Field("podReplacementPolicy"), 15: Field("managedBy"),
        16: Field("successPolicy", "SuccessPolicy"),
    },
    "PodFailurePolicy": {1: Field("rules", "PodFailurePolicyRule", "list")},
    "PodFailurePolicyRule": {
        1: Field("action"), 2: Field("onExitCodes", "OnExitCodes"),
        3: Field("onPodConditions", "OnPodCondition", "list"),
    },
    "OnExitCodes": {1: Field("containerName"), 2: Field("operator"), 3: Field("values", "int", "list")},
    "OnPodCondition": {1: Field("type"), 2: Field("status")},
    "SuccessPolicy": {1: Field("rules", "SuccessPolicyRule", "list")},
    "SuccessPolicyRule": {1: Field("succeededIndexes"), 2: Field("succeededCount", "int")},
    # Pods
    "PodTemplateSpec": {1: Field("metadata", "ObjectMeta"), 2: Field("spec", "PodSpec")},
    "PodSpec": {
        1: Field("volumes", "Volume", "list"), 2: Field("containers", "Container", "list"), 3: Field("restartPolicy"),
        4: Field("terminationGracePeriodSeconds", "int"), 5: Field("activeDeadlineSeconds", "int"),
        6: Field("dnsPolicy"), 7: Field("nodeSelector", "text", "map"), 8: Field("serviceAccountName"),
        9: Field("serviceAccount"), 10: Field("nodeName"), 11: Field("hostNetwork", "flag"),
        12: Field("hostPID", "flag"), 13: Field("hostIPC", "flag"), 14: Field("securityContext", "PodSecurityContext"),
        15: Field("imagePullSecrets", "LocalObjectReference", "list"), 16: Field("hostname"), 17: Field("subdomain"),
        18: Field("affinity", "Affinity"), 19: Field("schedulerName"), 20: Field("initContainers", "Container", "list"),
        21: Field("automountServiceAccountToken", "bool"), 22: Field("tolerations", "Toleration", "list"),
        24: Field("priorityClassName"), 30: Field("enableServiceLinks", "bool"),
        33: Field("topologySpreadConstraints", "TopologySpreadConstraint", "list"),
        38: Field("schedulingGates", "LocalObjectReference", "list"),
    },
    "PodSecurityContext": {
        2: Field("runAsUser", "int"), 3: Field("runAsNonRoot", "bool"), 4: Field("supplementalGroups", "int", "list"),
        5: Field("fsGroup", "int"), 6: Field("runAsGroup", "int"), 9: Field("fsGroupChangePolicy"),
        10: Field("seccompProfile", "SeccompProfile"),
    },
    "SeccompProfile": {1: Field("type"), 2: Field("localhostProfile")},
    "Toleration": {
        1: Field("key"), 2: Field("operator"), 3: Field("value"), 4: Field("effect"),
        5: Field("tolerationSeconds", "int"),
    },
    "TopologySpreadConstraint": {
        1: Field("maxSkew", "int"), 2: Field("topologyKey"), 3: Field("whenUnsatisfiable"),
        4: Field("labelSelector", "LabelSelector"), 5: Field("minDomains", "int"), 6: Field("nodeAffinityPolicy"),
        7: Field("nodeTaintsPolicy"), 8: Field("matchLabelKeys", "text", "list"),
    },
    "Affinity": {
        1: Field("nodeAffinity", "NodeAffinity"), 2: Field("podAffinity", "PodAffinity"),
        3: Field("podAntiAffinity", "PodAffinity"),
    },
    "NodeAffinity": {
        1: Field("requiredDuringSchedulingIgnoredDuringExecution", "NodeSelector"),
        2: Field("preferredDuringSchedulingIgnoredDuringExecution", "PreferredSchedulingTerm", "list"),
    },
    "NodeSelector": {1: Field("nodeSelectorTerms", "NodeSelectorTerm", "list")},
    "NodeSelectorTerm": {
        1: Field("matchExpressions", "NodeSelectorRequirement", "list"),
        2: Field("matchFields", "NodeSelectorRequirement", "list"),
    },
    "NodeSelectorRequirement": _REQUIREMENT,
    "PreferredSchedulingTerm": {1: Field("weight", "int"), 2: Field("preference", "NodeSelectorTerm")},
    "PodAffinity": _POD_AFFINITY,
    "WeightedPodAffinityTerm": {1: Field("weight", "int"), 2: Field("podAffinityTerm", "PodAffinityTerm")},
    "PodAffinityTerm": {
        1: Field("labelSelector", "LabelSelector"), 2: Field("namespaces", "text", "list"), 3: Field("topologyKey"),
        4: Field("namespaceSelector", "LabelSelector"),
    },
    # Containers
    "Container": {
        1: Field("name"), 2: Field("image"), 3: Field("command", "text", "list"), 4: Field("args", "text", "list"),
        5: Field("workingDir"), 6: Field("ports", "ContainerPort", "list"), 7: Field("env", "EnvVar", "list"),
        8: Field("resources", "ResourceRequirements"), 9: Field("volumeMounts", "VolumeMount", "list"),
        13: Field("terminationMessagePath"), 14: Field("imagePullPolicy"),
        15: Field("securityContext", "SecurityContext"), 16: Field("stdin", "flag"), 17: Field("stdinOnce", "flag"),
        18: Field("tty", "flag"), 19: Field("envFrom", "EnvFromSource", "list"), 20: Field("terminationMessagePolicy"),
        24: Field("restartPolicy"),
    },
    "ContainerPort": {
        1: Field("name"), 2: Field("hostPort", "count"), 3: Field("containerPort", "int"), 4: Field("protocol"),
        5: Field("hostIP"),
    },
    "EnvVar": {1: Field("name"), 2: Field("value"), 3: Field("valueFrom", "EnvVarSource")},
    "EnvVarSource": {
        1: Field("fieldRef", "FieldSelector"), 2: Field("resourceFieldRef", "ResourceFieldSelector"),
        3: Field("configMapKeyRef", "KeySelector"), 4: Field("secretKeyRef", "KeySelector"),
    },
    "FieldSelector": {1: Field("apiVersion"), 2: Field("fieldPath")},
    "ResourceFieldSelector": {1: Field("containerName"), 2: Field("resource"), 3: Field("divisor", "Quantity")},
    "KeySelector": _KEY_SELECTOR,
    "EnvFromSource": {1: Field("prefix"), 2: Field("configMapRef", "EnvSource"), 3: Field("secretRef", "EnvSource")},
    "EnvSource": _ENV_SOURCE,
    "ResourceRequirements": _AMOUNTS,
    "VolumeMount": {
        1: Field("name"), 2: Field("readOnly", "flag"), 3: Field("mountPath"), 4: Field("subPath"),
        5: Field("mountPropagation"), 6: Field("subPathExpr"),
    },
    "SecurityContext": {
        1: Field("capabilities", "Capabilities"), 2: Field("privileged", "bool"), 4: Field("runAsUser", "int"),
        5: Field("runAsNonRoot", "bool"), 6: Field("readOnlyRootFilesystem", "bool"),
        7: Field("allowPrivilegeEscalation", "bool"), 8: Field("runAsGroup", "int"), 9: Field("procMount"),
        11: Field("seccompProfile", "SeccompProfile"),
    },
    "Capabilities": {1: Field("add", "text", "list"), 2: Field("drop", "text", "list")},
    # Volumes
    "Volume": {1: Field("name"), 2: _inline("VolumeSource")},
    "VolumeSource": {
        1: Field("hostPath", "HostPath"), 2: Field("emptyDir", "EmptyDir"), 6: Field("secret", "SecretVolume"),
        10: Field("persistentVolumeClaim", "ClaimVolume"), 16: Field("downwardAPI", "DownwardVolume"),
        19: Field("configMap", "ConfigMapVolume"), 26: Field("projected", "ProjectedVolume"),
        29: Field("ephemeral", "EphemeralVolume"),
    },
    "HostPath": {1: Field("path"), 2: Field("type")},
    "EmptyDir": {1: Field("medium"), 2: Field("sizeLimit", "Quantity")},
    "SecretVolume": {
        1: Field("secretName"), 2: Field("items", "KeyToPath", "list"), 3: Field("defaultMode", "int"),
        4: Field("optional", "bool"),
    },
    "ConfigMapVolume": {
        1: _inline("LocalObjectReference"), 2: Field("items", "KeyToPath", "list"), 3: Field("defaultMode", "int"),
        4: Field("optional", "bool"),
    },
    "KeyToPath": {1: Field("key"), 2: Field("path"), 3: Field("mode", "int")},
    "ClaimVolume": {1: Field("claimName"), 2: Field("readOnly", "flag")},
    "DownwardVolume": {1: Field("items", "DownwardFile", "list"), 2: Field("defaultMode", "int")},
    "DownwardFile": {
        1: Field("path"), 2: Field("fieldRef", "FieldSelector"), 3: Field("resourceFieldRef", "ResourceFieldSelector"),
        4: Field("mode", "int"),
    },
    "ProjectedVolume": {1: Field("sources", "VolumeProjection", "list"), 2: Field("defaultMode", "int")},
    "VolumeProjection": {
        1: Field("secret", "Projection"), 2: Field("downwardAPI", "DownwardProjection"),
        3: Field("configMap", "Projection"), 4: Field("serviceAccountToken", "TokenProjection"),
    },
    "Projection": _PROJECTION,
    "DownwardProjection": {1: Field("items", "DownwardFile", "list")},
    "TokenProjection": {1: Field("audience"), 2: Field("expirationSeconds", "int"), 3: Field("path")},
    "EphemeralVolume": {1: Field("volumeClaimTemplate", "ClaimTemplate")},
    "ClaimTemplate": {1: Field("metadata", "ObjectMeta"), 2: Field("spec", "ClaimSpec")},
    "ClaimSpec": {
        1: Field("accessModes", "text", "list"), 2: Field("resources", "ResourceRequirements"),
        3: Field("volumeName"), 4: Field("selector", "LabelSelector"), 5: Field("storageClassName"),
        6: Field("volumeMode"),
    },
    # Others
    "Secret": {
        1: Field("metadata", "ObjectMeta"), 2: Field("data", "bytes", "map"), 3: Field("type"),
        4: Field("stringData", "text", "map"), 5: Field("immutable", "bool"),
    },
    "ConfigMap": {
        1: Field("metadata", "ObjectMeta"), 2: Field("data", "text", "map"), 3: Field("binaryData", "bytes", "map"),
        4: Field("immutable", "bool"),
    },
    "Namespace": {1: Field("metadata", "ObjectMeta"), 2: Field("", "skip"), 3: Field("", "skip")},
    "ResourceQuota": {1: Field("metadata", "ObjectMeta"), 2: Field("spec", "QuotaSpec"), 3: Field("", "skip")},
    "QuotaSpec": {1: Field("hard", "Quantity", "map"), 2: Field("scopes", "text", "list")},
    "ServiceAccount": {1: Field("metadata", "ObjectMeta")},
}  # fmt: skip
