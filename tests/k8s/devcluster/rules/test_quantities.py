"""Quantities are answered and added up as Kubernetes writes them."""

import pytest

from k8s.devcluster.rules.quantities import add, canonical, subtract, total
from tests.k8s.devcluster.served import JOBS, Client, make_job


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("2", "2"),
        ("2000m", "2"),
        ("0.5", "500m"),
        (1.5, "1500m"),
        ("1000", "1k"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("0", "0"),
        ("0Gi", "0"),
        ("1e3", "1k"),
        ("123456", "123456"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("-500m", "-500m"),
    ],
)
def test_a_quantity_is_written_with_its_greatest_unit(given: str | float, written: str) -> None:
    assert canonical(given) == written


def test_sums_have_the_notation_of_the_first_that_is_not_zero() -> None:
    assert add("500m", "1500m") == "2"
    assert total(["0", "1Gi", "512Mi"]) == "1536Mi"
    assert subtract("2Gi", "2Gi") == "0"
    assert total([]) == "0"


async def test_objects_are_answered_with_canonical_quantities(client: Client) -> None:
    job = make_job("a")
    resources = {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"cpu": 1, "memory": "2048Mi"}}
    job["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
    made = await client.made(JOBS, job)
    assert made["spec"]["template"]["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"cpu": "1", "memory": "2Gi"},
    }


@pytest.mark.parametrize("amount", ["1e999", "1e30", "9" * 40, "1e999999"])
async def test_amounts_beyond_what_kubernetes_counts_are_invalid(client: Client, amount: str) -> None:
    job = make_job("a")
    job["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"memory": amount}}
    answer = await client("POST", JOBS, job)
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert "resources.limits.memory" in answer.body["message"]
