"""What axe-core finds wrong with a page, at two widths and in two themes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

from django.urls import URLPattern, get_resolver

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
# The page stays as it is loaded while width and theme change; what depends on neither is asked once.
LOOKS = [
    (1440, "light", None),
    (1440, "dark", ["color-contrast"]),
    (390, "dark", ["color-contrast", "target-size", "scrollable-region-focusable"]),
    (390, "light", ["color-contrast"]),
]
RUN = """rules => axe.run(document, {
    resultTypes: ["violations"], ...(rules && { runOnly: rules })
}).then(found => found.violations.map(({ id, impact, nodes }) => [id, impact, nodes[0].html]))"""


def complaints(page, name) -> list[str]:
    """What is serious or critical, and where the page is wider than its window."""
    found = []
    page.evaluate(AXE)
    for width, theme, rules in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme)
        seen = [one for one in page.evaluate(RUN, rules) if one[1] in ("serious", "critical")]
        found += [f"{name}, {width} {theme}: {rule}: {html[:160]}" for rule, _, html in seen]
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"{name}, {width}: wider than the window")
    page.set_viewport_size({"width": LOOKS[0][0], "height": 900})
    return found


def addresses(urls: str) -> Iterator[tuple[str, set[str]]]:
    """Name and arguments of each address in a module of addresses, those that it includes left out."""
    for one in get_resolver(urls).url_patterns:
        if isinstance(one, URLPattern) and one.name:
            yield one.name, set(one.pattern.converters)


def is_page(client, address) -> bool:
    """Whether asking for the address is answered with a whole page."""
    answer = client.get(address)
    is_html = answer.headers.get("Content-Type", "").startswith("text/html")
    return answer.status_code == 200 and is_html and "<html" in answer.text
