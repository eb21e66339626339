"""What people write out of habit, and what there is here instead: words of Kubernetes and of its relatives. Data.

A sentence names fields in braces: paths from the top of what is written, or, with a dot before it, a field of the same
object. Tests hold each to the models.
"""

from collections.abc import Mapping

Sentences = Mapping[str, str]
"""By the words, separated by spaces, that it is about."""

_FLAT = "what stands in it stands in job itself: {job.image}, {job.command}, {job.args}, {job.env}, {job.resources}"
_ONE_CONTAINER = f"there is one container: {_FLAT}"
_VOLUMES = "{job.volumes} say of each its place as mountPath, and its one source"
_RESOURCE = "amounts stand in {job.resources.limits} and {job.resources.requests}"
_GPUS = "GPUs are asked for with {job.gpuEnable} and {job.gpuNumber}"
_RETRIES = "how often a failed pod is replaced is {retries} or {job.backoffLimit}, after how long {retryDelay}"
_OF_EVENT = "it is an attribute of the event, not in its data"
_VALUE = "a variable has a {.value} only; all keys of a ConfigMap or Secret come with {job.envRef}"
_NAME_AND_TYPE = "which one it is say {.name} and {.type}, which is configmap or secret"
_CONTAINER = "it belongs into the manifest: {job.spec.template.spec.containers}"

_CONCURRENCY: Sentences = {"group name": "it is called {.key}", "max": "it is called {.limit}"}
_REQUEST: Sentences = {
    "entrypoint cmd": "the program is {job.command}, its arguments are {job.args}",
    "arguments": "it is called {job.args}",
    "script": "it is written as {job.command}: sh, -c and the script",
    "environment envVars variables": "it is called {job.env}, a list of name and value",
    "envFrom configMapRef secretRef": "it is called {job.envRef}, a list of name and type",
    "serviceAccountName": "it is called {job.serviceAccount}",
    "cwd": "it is called {job.workingDir}",
    "pullPolicy": "it is called {job.imagePullPolicy}",
    "pullSecrets": "it is called {job.imagePullSecrets}",
    "cpu memory storage": _RESOURCE,
    "gpu gpus gpuCount": _GPUS,
    "volumeMounts mounts emptyDir configMap ephemeral": _VOLUMES,
    "persistentVolumeClaim volumeClaimTemplates": "a claim is {job.volume.pvc}, or a source of one of {job.volumes}",
    "ttl ttlStrategy podGC successfulJobsHistoryLimit failedJobsHistoryLimit": (
        "how long a finished Job stays is {job.ttlSecondsAfterFinished}"
    ),
    "deadline timeoutSeconds": (
        "seconds from acceptance to the end are {timeout}, those of running {job.activeDeadlineSeconds}"
    ),
    "replicas": "how many pods run at once is {job.parallelism}",
    "restartPolicy restarts": f"pods do not restart; {_RETRIES}",
    "retry retryLimit retryPolicy retryStrategy maxRetries attempts maxAttempts backoff": _RETRIES,
    "cron cronExpression crontab schedules every interval": "the times to run at are {schedule}",
    "tz": "it is called {timeZone}",
    "startingDeadlineSeconds": (
        "it is not to be had; {concurrencyPolicy} is about a run that has not ended when the next is due"
    ),
    "at delay delaySeconds startAt startTime notBefore scheduledFor scheduledAt": (
        "the time before which it does not run is {runAt}; when it runs again and again is {schedule}"
    ),
    "suspend suspended paused": (
        "a request waits because of {runAt}, {dependencies} or {concurrency}; control events suspend and resume it"
    ),
    "dependsOn depends needs": "the requests to wait for are {dependencies}",
    "maxConcurrent maxConcurrency mutex semaphore synchronization": (
        "how many may run at a time is {concurrency.limit}, of those with the same {concurrency.key}"
    ),
    "group": "who asks is {service}; what shares a limit has the same {concurrency.key}",
    "queue queueName": "the operator chooses Kueue's queue with JOBRELAY_KUEUE_QUEUE",
    "name jobName generateName": "jobrelay names each Job; its name begins with {job.prefixName}",
    "apiVersion kind status": "a request is no manifest, leave it out",
    "spec jobSpec jobTemplate podSpec podTemplate": _FLAT,
    "container sidecars": _ONE_CONTAINER,
    "selector manualSelector": "Kubernetes makes it, for each Job its own",
    "managedBy": "Kubernetes' own controller runs the Job",
    "livenessProbe readinessProbe startupProbe": (
        "a Job has none; {startTimeout} ends what does not start, {timeout} what does not end"
    ),
    "replyTo replyTopic": "it is an attribute of the event, replyto",
    "callback callbackUrl notify notifications onExit": "lifecycle events tell how a request ends",
}
_FUNCTION: Sentences = {
    "type source on when event events trigger triggers exact suffix all any not sql": (
        "which events it takes say {filters}, such as [{exact: {type: com.example.created}}]"
    ),
    "image command args resources volumeMounts envFrom envRef": _CONTAINER,
    "schedule cron timeZone maxRuns concurrencyPolicy runAt": "a function has none: events say when it runs",
    "retries retryDelay failover": (
        "a function has none: how often a failed pod is replaced is {job.spec.backoffLimit}, in the manifest"
    ),
    "service": "it is label app.kubernetes.io/name in the manifest's {job.metadata.labels}, else {name}",
    "namespace": "it belongs into the manifest: {job.metadata.namespace}",
    "spec": "it belongs into {job}, which is a whole manifest: {job.spec}",
    "template": "it belongs into {job}, which is a whole manifest: {job.spec.template}",
    "manifest": "it is called {job}",
    "activeDeadlineSeconds": "it belongs into the manifest: {job.spec.activeDeadlineSeconds}",
    "backoffLimit": "it belongs into the manifest: {job.spec.backoffLimit}",
    "ttlSecondsAfterFinished": "it belongs into the manifest: {job.spec.ttlSecondsAfterFinished}",
    "serviceAccount serviceAccountName": "it belongs into the manifest: {job.spec.template.spec.serviceAccountName}",
    "volumes": "it belongs into the manifest: {job.spec.template.spec.volumes}",
    "webhook": "lifecycle events tell how a request ends",
}

WORDS: Mapping[str, Sentences] = {
    "JobRequest": {
        **_REQUEST,
        "specversion type source subject time datacontenttype expirytime correlationid traceparent": _OF_EVENT,
        "data": "what stands in it stands here itself, beside {job}",
        "jobs": "an event asks for one {job}",
        "function functions": "functions take events of other types",
    },
    "JobSpec": {
        **_REQUEST,
        "metadata": "what stands in it stands in job itself: {job.namespace}, {job.labels}, {job.annotations}",
        "secret": "a Secret is one of {job.volumes}, or becomes variables with {job.envRef}",
    },
    "EnvVar": {
        "valueFrom secretKeyRef configMapKeyRef fieldRef resourceFieldRef": _VALUE,
        "key": "it is called {.name}",
    },
    "EnvRef": {
        "configMapRef secretRef configMap secret kind": _NAME_AND_TYPE,
        "optional": "it is not to be had: the Job stalls until there is one",
        "prefix": "it is not to be had: each key is the name of a variable",
    },
    "Resources": {
        "cpu memory storage": _RESOURCE,
        "gpu nvidia.com/gpu": _GPUS,
        "claims": "devices are not to be had",
    },
    "Volume": {
        "name": f"a volume needs none: {_VOLUMES}",
        "persistentVolumeClaim claimName claim": "it is called {.pvc}, and is the claim's name",
        "secretName": "it is called {.secret}",
        "path": "the place where it is seen is {.mountPath}, a path in it {.subPath}",
        "subPathExpr": "a path in it is {.subPath}, in which nothing is expanded",
        "volumeClaimTemplate": "a claim for each pod is {.ephemeral}",
        "items": "it is not to be had: each key is a file",
        "nfs csi projected downwardAPI image": (
            "sources are {.pvc}, {.emptyDir}, {.configMap}, {.secret} and {.ephemeral}"
        ),
    },
    "ClaimVolume": {
        "name": "a volume needs none: its place is {.mountPath}, its claim {.pvc}",
        "persistentVolumeClaim claimName claim": "it is called {.pvc}, and is the claim's name",
        "emptyDir configMap secret ephemeral readOnly subPath": "it is to be had in {job.volumes}, a list",
    },
    "EmptyDir": {"size": "it is called {.sizeLimit}"},
    "Ephemeral": {
        "volumeClaimTemplate spec": "what stands in it stands here itself: {.storage}, {.storageClassName}",
        "resources size": "it is called {.storage}",
    },
    "Capabilities": {"add": "capabilities can only be taken away: {.drop}"},
    "PullSecret": {"secret": "it is called {.name}"},
    "Concurrency": {**_CONCURRENCY, "policy": "a schedule's is {concurrencyPolicy}"},
    "Backoff": {
        "duration delay seconds": "it is called {.initial}, in seconds",
        "multiplier": "it is called {.factor}",
        "maxDuration": "it is called {.max}, in seconds",
        "limit": "how many attempts may follow is {retries}",
    },
    "PodTerm": {"namespaces namespaceSelector": "terms are about pods in the Job's own namespace"},
    "NodeTerm": {"matchFields": "nodes are chosen by their labels only: {.matchExpressions}"},
    "Function": _FUNCTION,
    "FunctionConcurrency": _CONCURRENCY,
    "Filter": {
        "type source subject id time datacontenttype dataschema": (
            "attributes stand in {.exact}, {.prefix} or {.suffix}: {exact: {type: com.example.created}}"
        ),
        "data": "a filter sees attributes only",
    },
    "FunctionsFile": {
        "name filters job env": "each function is an entry of {functions}",
        "apiVersion kind metadata data spec": "the file has nothing but {functions}",
    },
}
"""By the model that has no such field."""

NEVER: Sentences = {
    "hostPath": "{job.volumes} are claims, ConfigMaps, Secrets, or space of the pod's own",
    "nodeName": "{job.nodeSelector} and {job.affinity} choose nodes",
    "containers initContainers": _ONE_CONTAINER,
    "template": _FLAT,
    "hostNetwork hostPID hostIPC hostUsers hostPort hostAliases privileged procMount sysctls ephemeralContainers": "",
    "automountServiceAccountToken serviceAccountToken runtimeClassName schedulerName devices": "",
}
"""Fields of Kubernetes that reach beyond the pod, or around the policy: no request can set them."""

WEBHOOK = (
    "is not supported: lifecycle events are published to jobrelay.lifecycle.<service>.<id>.<phase>, "
    "or to the topic in the event's attribute replyto"
)
