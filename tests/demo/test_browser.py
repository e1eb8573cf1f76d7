"""The browser without scripts that simulated annotators use: it posts what a browser would post."""

import pytest

from demo.browser import Browser, PageRefused, _PageReader


def read(html):
    reader = _PageReader("http://laurel.test/page/")
    reader.feed(html)
    reader.close()
    return reader


def test_a_form_holds_what_a_browser_would_post_untouched():
    form = read(
        """<form action="/there/" method="post">
        <input type="hidden" name="token" value="abc">
        <input type="radio" name="size" value="s"><input type="radio" name="size" value="m" checked>
        <input type="checkbox" name="extra" value="x"><input type="checkbox" name="done" checked>
        <button name="go" value="1">Go</button></form>"""
    ).forms[0]
    assert form.action == "/there/"
    assert form.values == {"token": ["abc"], "size": ["m"], "done": ["on"]}
    assert form.names == ["token", "size", "extra", "done", "go"]


def test_a_form_without_an_action_posts_to_its_page():
    assert read("<form></form>").forms[0].action == "http://laurel.test/page/"


def test_an_elements_text_is_all_the_text_within_it():
    elements = read('<h1 id="prompt">a <b>red</b>\n circle</h1>').elements
    assert [each.text for each in elements if each.attributes.get("id") == "prompt"] == ["a red circle"]


@pytest.mark.django_db(transaction=True)
def test_a_refused_page_says_its_status_and_address(live_server):
    with pytest.raises(PageRefused, match="answered 404") as refused:
        Browser(live_server.url).get("no-such-page/")
    assert refused.value.status == 404
