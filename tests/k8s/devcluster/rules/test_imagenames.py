"""Names of images, read as Kubernetes and containerd do."""

import pytest

from k8s.devcluster.rules.imagenames import normalized

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("busybox:1.36-musl", "docker.io/library/busybox:1.36-musl"),
        ("missing/image:1", "docker.io/missing/image:1"),
        ("index.docker.io/a/b", "docker.io/a/b"),
        ("docker.io/a", "docker.io/library/a"),
        ("localhost/a", "localhost/a"),
        ("localhost:5000/a/b__c/d-e:V1", "localhost:5000/a/b__c/d-e:V1"),
        ("registry.example.com/team/tool@" + DIGEST, "registry.example.com/team/tool@" + DIGEST),
        ("Example/a", "Example/a"),  # What has a capital letter can only be a registry.
        ("[::1]:5000/a", "[::1]:5000/a"),
    ],
)
def test_names_get_their_registry(image: str, full: str) -> None:
    assert normalized(image) == (full, "")


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("Not A Name", "invalid reference format: repository name (library/Not A Name) must be lowercase"),
        ("a/Tool:1", "invalid reference format: repository name (a/Tool) must be lowercase"),
        ("a b", "invalid reference format"),
        ("", "invalid reference format"),
        ("a:", "invalid reference format"),
        ("a@sha256:12", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("a" * 64, f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings"),
        ("b" * 255, "repository name must not be more than 255 characters"),
    ],
)
def test_what_is_no_name_is_refused_in_the_words_of_the_library(image: str, why: str) -> None:
    assert normalized(image) == ("", why)
