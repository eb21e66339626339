"""Metrics of the page."""

from handler.telemetry.families import CALL, Families

PAGE_PARTS = ("page", "api", "stream", "action", "static")
"""What of the page was asked for."""
STATUSES = ("2xx", "3xx", "4xx", "5xx")


class PageMetrics(Families):
    """What is asked for, and how long it takes."""

    def declare_page(self) -> None:
        """Once, before they are used."""
        self.subject = "The page"
        self.page_requests = self.counter("page_requests", "Requests answered.", part=PAGE_PARTS, status=STATUSES)
        self.page_seconds = self.histogram("page_seconds", "Time to answer a request; streams are not counted.", CALL)
        self.page_streams = self.gauge("page_streams", "Open streams of what changes.")
