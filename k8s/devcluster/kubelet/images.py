"""Whether a container's image can be had, in the words of a real kubelet and containerd. Nothing is ever pulled."""

from dataclasses import dataclass

from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.imagenames import HUB, normalized

UNPULLABLE = f"{HUB}/missing/"
CAUSE = "no image of missing/ can be pulled in the development cluster"


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a container waits for its image. `again`: the kubelet goes on trying to pull it."""

    reason: str
    message: str
    again: bool = False


def missing(container: Obj) -> Missing | None:
    """None: its command can be run."""
    image = str(container["image"])
    full, why = normalized(image)
    if why:
        text = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {why}'
        return Missing("InvalidImageName", text)
    unpullable = full.startswith(UNPULLABLE)
    if container.get("imagePullPolicy") == "Never" and (unpullable or not container.get("command")):
        return Missing("ErrImageNeverPull", f'Container image "{image}" is not present with pull policy of Never')
    if unpullable:
        return Missing("ErrImagePull", f'failed to pull and unpack image "{full}": {CAUSE}', again=True)
    return None
