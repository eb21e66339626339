"""What keeps people from using a page who cannot see, point, or tell colours apart, as far as axe-core finds it."""

from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.async_api import Page

TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
"""Of the Web Content Accessibility Guidelines 2.0 to 2.2, levels A and AA."""
_AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
_RUN = "options => window.axe.run(document, options)"


COLOURS = ("color-contrast", "link-in-text-block")
"""Rules whose outcome may be another where only colours are others."""


async def violations(page: Page, *rules: str) -> list[str]:
    """A line for each element that breaks a rule: the rule, the element, and what to do. `rules`: only these."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_AXE)
    chosen = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": list(TAGS)}
    options = {"runOnly": chosen, "resultTypes": ["violations"]}
    found: dict[str, Any] = await page.evaluate(_RUN, options)
    return [
        f"{rule['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


async def too_wide(page: Page) -> list[str]:
    """Elements that stick out of the window to the right, if it has to be scrolled sideways; else none."""
    return list(
        await page.evaluate(
            """() => {
              const root = document.documentElement, width = root.clientWidth;
              if (root.scrollWidth <= width) return [];
              const out = e => e.getBoundingClientRect().right > width + 1;
              const found = [...document.body.querySelectorAll('*')].filter(out);
              return ['the page', ...found.map(e => e.outerHTML.slice(0, 120))].slice(0, 8);
            }"""
        )
    )
