"""A request for a resource, parsed: what the verbs need of it."""

from dataclasses import dataclass, field

from aiohttp import web

from k8s.devcluster.api.managers import Manager, manager_name
from k8s.devcluster.api.selectors import Selector, compile_selector
from k8s.devcluster.api.target import Target


@dataclass(frozen=True, slots=True)
class Call:
    """`warnings`: what the answer is to warn about."""

    request: web.BaseRequest
    target: Target
    warnings: list[str] = field(default_factory=list)

    @property
    def query(self) -> dict[str, str]:
        return dict(self.request.query)

    def selector(self) -> Selector | None:
        query = self.request.query
        return compile_selector(self.target.kind, query.get("labelSelector"), query.get("fieldSelector"))

    @property
    def content_type(self) -> str:
        return self.request.headers.get("Content-Type", "").partition(";")[0].strip()

    def manager(self, operation: str) -> Manager:
        """Who makes this change."""
        name = manager_name(self.request.query, self.request.headers.get("User-Agent", ""))
        return Manager(name, operation, self.target.kind.api_version, self.target.subresource or "")

    @property
    def as_table(self) -> bool:
        return "as=Table" in self.request.headers.get("Accept", "")

    @property
    def as_metadata(self) -> bool:
        """Whether only the metadata of an object is asked for."""
        return "as=PartialObjectMetadata;" in self.request.headers.get("Accept", "")

    @property
    def validation(self) -> str:
        """What to do about unknown fields."""
        return self.request.query.get("fieldValidation") or "Warn"
