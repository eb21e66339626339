"""Names of images, in the words of the library that Kubernetes and containerd read them with. Pure."""

import re

HUB = "docker.io"
LONGEST = 255

# The grammar of image references: github.com/distribution/reference.
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = rf"(?P<name>{_DOMAIN}/{_PART}(?:/{_PART})*)"
_TAG = r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
_DIGEST = r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
_REFERENCE = re.compile(_NAME + _TAG + _DIGEST)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


def normalized(image: str) -> tuple[str, str]:
    """(the image with its registry, "") or ("", why it is no image, in the words of the reference library)."""
    if _IDENTIFIER.fullmatch(image):
        return "", f"invalid repository name ({image}), cannot specify 64-byte hexadecimal strings"
    domain, path = _split(image)
    repository = path.partition(":")[0]
    if repository.lower() != repository:
        return "", f"invalid reference format: repository name ({repository}) must be lowercase"
    found = _REFERENCE.fullmatch(f"{domain}/{path}")
    if found is None:
        return "", "invalid reference format"
    if len(found["name"]) > LONGEST:
        return "", f"repository name must not be more than {LONGEST} characters"
    return found[0], ""


def _split(image: str) -> tuple[str, str]:
    """(registry, rest). What comes before the first slash is a registry if it cannot be the name of a repository."""
    first, slash, rest = image.partition("/")
    is_registry = slash and (re.search("[.:]", first) or first == "localhost" or first.lower() != first)
    domain, path = (first, rest) if is_registry else (HUB, image)
    if domain == f"index.{HUB}":
        domain = HUB
    return domain, f"library/{path}" if domain == HUB and "/" not in path else path
