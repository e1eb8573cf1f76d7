"""What requests may hold that no page, link or sensible program sends: bodies, values, queries, headers.

Only what a web server lets through: Gunicorn itself refuses NUL in a header.
"""

from base64 import urlsafe_b64encode
from itertools import product

HUGE, LONGEST = "9" * 30, "9" * 5000  # beyond a bigint, and beyond what Python reads as a number
FORM, JSON, MULTIPART = "application/x-www-form-urlencoded", "application/json", "multipart/form-data"
LATEST, EARLIEST = "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"

# Of a field of a JSON body.
VALUES = [r'"x\u0000y"', r'"x\ud83d"', "1e999", "NaN", "-Infinity", HUGE, LONGEST, "-1", "1e300", "0.5"]
VALUES += ["[]", "{}", "true", "null", "[[1]]", "[{}]", f"[{HUGE}]", f'"{HUGE}"', "[" * 90 + "]" * 90]
VALUES += [r'["x\u0000"]', r'{"a\u0000": "x"}', '{"a": -1e999}', f'"{LATEST}"', f'"{EARLIEST}"']

# Of a field of a form.
TEXTS = ["a\0b", HUGE, LONGEST, "-1", "nan", "1e999", "9223372036854775808", "2147483648", "\u0663", ""]
TEXTS += ["9999-12-31", "0001-01-01", "9999-12-31T23:59", "x" * 20_000, "\x1b[31m\r\n", "\u202e", "\ufffe"]
TEXTS += ['{"a": "\\u0000", "b": 1e999}', "[" * 3000, "http://[", "//\\", "\ud83d", "0" * 8 + "-0000" * 3]


def part(head: bytes, body: bytes = b"x") -> tuple[str, bytes]:
    """A multipart body with one part."""
    lines = (b"--x", b"Content-Disposition: form-data; " + head, b"", body, b"--x--", b"")
    return f"{MULTIPART}; boundary=x", b"\r\n".join(lines)


CHARSETS = ("nonsense", "hex", "idna", "undefined", "utf-16", "unicode_escape", "")
DEEP = [b"[" * 3000, b"[" * 500 + b"]" * 500, b'{"a":' * 3000 + b"1" + b"}" * 3000]
# Content type and body.
BODIES = [(JSON, body) for body in DEEP]
BODIES += [(JSON, body) for body in (b"[]", b'"x"', b"1", b"null", b"", b"[null]", b"{", b"\xef\xbb\xbf{}")]
BODIES += [(JSON, b'{"a": "\xff"}'), (FORM, b"name=%ff%fe&text=\xff&a=%u1234&=&&=%00")]
BODIES += [(f"{JSON}; charset={name}", b"{}") for name in CHARSETS]
BODIES += [(f"{FORM}; charset={name}", b"name=%ff") for name in CHARSETS]
BODIES += [(f"{MULTIPART}; boundary=x; charset={name}", part(b'name="name"')[1]) for name in CHARSETS]
BODIES += [(FORM, b"&".join(b"a%d=1" % number for number in range(1200))), (FORM, b"a=" + b"x" * 3_000_000)]
BODIES += [(MULTIPART + rest, b"--x\r\n") for rest in ("", "; boundary=y", "; boundary=\xe9", "; boundary=")]
BODIES += [(f"{MULTIPART}; boundary={'x' * 300}", b"--x"), (f"{MULTIPART}; boundary=x", b'--x\r\nname="a"')]
BODIES += [
    part(b'name="name"\r\nContent-Type: text/plain; charset=nonsense', b"\xff"),
    part(b'name="file"; filename="a\0.png"\r\nContent-Transfer-Encoding: base64'),
    part(b'name="material"; filename="../../a.zip"', b"PK\3\4\xff"),
    part(b'name="parameters"', b"[" * 3000),
    ("a/b/c; ;;;=;", b"\xff"),
    ("", b"a"),
]


def _cursor(text: str) -> str:
    return "cursor=" + urlsafe_b64encode(text.encode()).decode().rstrip("=")


_NAMES = ("page", "limit", "offset", "next", "state", "annotator", "format", "q", "by", "more", "who", "kind")
_NAMES += ("model", "prompt_id", "generator", "dataset", "split", "step", "zone", "first", "last", "minutes")
_NAMES += ("cursor", "prompt", "checkpoint", "captions", "opinions", "person", "run", "id")
_DAYS = (("0001-01-01", "0001-01-02"), ("9999-12-29", "9999-12-30"), ("9999-12-31", "9999-12-31"))
_ZONES = ("Pacific/Kiritimati", "Pacific/Pago_Pago", "../../etc/passwd")
_MOMENTS = (LATEST, EARLIEST, "2020-01-01T00:00:00+00:00:30", "2020-W01", "9999-12-31T23:59:59+00:00")
QUERIES = [
    f"{name}={value}"
    for name, value in product(_NAMES, ("", "%00", "%ff", "%ed%a0%bd", "nan", LONGEST, HUGE, "-1", "%D9%A3"))
]
QUERIES += [f"limit=1&offset={value}" for value in (HUGE, "9223372036854775807", "%D9%A3")]
QUERIES += ["next=" + value for value in ("http://[", "//[x", "/\\x", "/%0d%0aa:b", "work", "project", "a.b")]
QUERIES += [
    f"first={first}&last={last}&zone={zone}&minutes=1" for (first, last), zone in product(_DAYS, _ZONES)
]
QUERIES += [
    _cursor(f"{moment} {pk}")
    for moment, pk in product(_MOMENTS, ("1", str(2**63), "-1", "\u0663", LONGEST, " 1_0"))
]
QUERIES += ["a=1&" * 1200, "%00=1", "=", "&&&", "%"]

_HEADERS = {
    "HTTP_ACCEPT": ("nonsense", "application/json; version=\xff; q=nan", ";;;,,,", "text/csv"),
    "HTTP_IF_NONE_MATCH": ('"\xff', "W/", ","),
    "HTTP_RANGE": ("bytes=-", f"bytes={HUGE}-1", "bytes=\xd9\xa3-", "bytes=1-0,,"),
    "HTTP_IF_MODIFIED_SINCE": [f"Sat, 31 Dec {year} 23:59:59 GMT" for year in ("9999", "0001", HUGE)],
    "HTTP_AUTHORIZATION": ("Bearer \xff", "Basic !!!", "Bearer", "Bearer a b"),
    "HTTP_COOKIE": ("sessionid=\x01; csrftoken=\xff", "messages=;=;;", "sessionid=" + "x" * 5000),
    "HTTP_X_FORWARDED_FOR": ("\xff, nonsense",),
    "HTTP_HOST": ("a b", "\xff", "["),
    "HTTP_REFERER": ("http://[",),
    "HTTP_ORIGIN": ("http://[",),
    "HTTP_ACCEPT_LANGUAGE": ("\xff" * 600,),
    "HTTP_ACCEPT_ENCODING": ("\xff;q=nan",),
    "CONTENT_LENGTH": ("nan", "-1", "\xb2", LONGEST),
}
HEADERS = [{name: text} for name, texts in _HEADERS.items() for text in texts]
HEADERS += [
    {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": "http://[", "HTTP_HX_TARGET": "\xff"},
    {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": "%ff", "HTTP_HX_CURRENT_URL_URI_AUTOENCODED": "true"},
]

# In place of a row's id in a path, and whole paths.
IDS = (HUGE, str(2**63), "0", "\u0663", "-1", "%00", "%ff", "%ed%a0%bd")
PATHS = ("%00", "%ff", "join/%ed%a0%bd/", "static/%00", "static/" + "x" * 5000, "/", "projects/%00/")

ADMIN_QUERIES = ["q=%00", "id__exact=%00", f"id={HUGE}", "p=nan", f"p={HUGE}", "o=99.-99", "id__in=x"]
ADMIN_QUERIES += ["created_at__gte=nan", f"project__id__exact={HUGE}", "q=%ed%a0%bd", "state__exact=%00"]
