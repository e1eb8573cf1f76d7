"""A browser without scripts: cookies, pages and the forms on them.

Simulated annotators use it, and so go through sign-in, access checks and server-side validation as people do;
a page that works only with JavaScript stops them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, Request, build_opener

SECONDS = 60  # time-out of a request


class PageRefused(Exception):
    """The server answered with an error status; `text` is the body of the response."""

    def __init__(self, status: int, url: str, text: str) -> None:
        super().__init__(f"{url} answered {status}")
        self.status, self.text = status, text


@dataclass
class Form:
    """One form: where it posts to, and the names and values of its fields."""

    action: str
    attributes: dict[str, str]
    names: list[str] = field(default_factory=list)  # every field's name, in page order, once
    values: dict[str, list[str]] = field(default_factory=dict)  # what is posted if nothing is changed


@dataclass(frozen=True)
class Element:
    """A start tag with its attributes, and the text up to its end tag."""

    tag: str
    attributes: dict[str, str]
    text: str


@dataclass(frozen=True)
class Page:
    url: str
    text: str
    forms: list[Form]
    elements: list[Element]

    def form(self, **attributes: str) -> Form | None:
        """Return the first form with these attributes, or None."""
        for form in self.forms:
            if attributes.items() <= form.attributes.items():
                return form
        return None

    def elements_with(self, attribute: str) -> list[Element]:
        return [element for element in self.elements if attribute in element.attributes]


class Browser:
    """One person's session on one server."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") + "/"
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(CookieJar()), ProxyHandler({}))

    def get(self, path: str) -> Page:
        """Load a page. Raises PageRefused; URLError when no server answers."""
        return self._page(Request(urljoin(self.url, path)))

    def fetch(self, path: str) -> bytes:
        """Return the bytes of an image. Raises as `get`."""
        return self._open(Request(urljoin(self.url, path)))[1]

    def post(self, form: Form, fields: Mapping[str, str | Sequence[str]]) -> Page:
        """Post a form with these fields in place of its own. Raises as `get`."""
        body = urlencode({**form.values, **fields}, doseq=True).encode()
        headers = {"Referer": self.url, "Content-Type": "application/x-www-form-urlencoded"}
        return self._page(Request(urljoin(self.url, form.action), data=body, headers=headers))

    def _page(self, request: Request) -> Page:
        url, body = self._open(request)
        text = body.decode()
        reader = _PageReader(url)
        reader.feed(text)
        reader.close()
        return Page(url=url, text=text, forms=reader.forms, elements=reader.elements)

    def _open(self, request: Request) -> tuple[str, bytes]:
        try:
            with self._opener.open(request, timeout=SECONDS) as response:
                return response.geturl(), response.read()
        except HTTPError as error:
            raise PageRefused(error.code, request.full_url, error.read().decode(errors="replace")) from error


class _PageReader(HTMLParser):
    """Collects forms and elements. What a browser would not post (unchecked boxes, buttons) has no value."""

    VOID = frozenset({"img", "input", "br", "hr", "link", "meta", "source", "wbr"})

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.forms: list[Form] = []
        self.elements: list[Element] = []
        self._open_elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._form: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(action=attributes.get("action", self.url), attributes=attributes)
            self.forms.append(self._form)
        elif tag in ("input", "select", "textarea", "button") and self._form and "name" in attributes:
            self._read_field(self._form, tag, attributes)
        if tag in self.VOID:
            self.elements.append(Element(tag, attributes, ""))
        else:
            self._open_elements.append((tag, attributes, []))

    def _read_field(self, form: Form, tag: str, attributes: dict[str, str]) -> None:
        name, kind = attributes["name"], attributes.get("type", "text")
        if name not in form.names:
            form.names.append(name)
        choice = kind in ("radio", "checkbox")
        if tag == "input" and kind != "submit" and (not choice or "checked" in attributes):
            form.values.setdefault(name, []).append(attributes.get("value", "on" if choice else ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        while any(name == tag for name, _, _ in self._open_elements):
            name, attributes, text = self._open_elements.pop()
            self.elements.append(Element(name, attributes, " ".join("".join(text).split())))
            if name == tag:
                break

    def handle_data(self, data: str) -> None:
        for _, _, text in self._open_elements:
            text.append(data)
