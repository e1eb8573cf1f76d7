"""What all templates keep to."""

import re
from pathlib import Path

TEMPLATES = Path("templates")


def test_keys_reach_and_scroll_each_table_wider_than_the_window():
    named = re.compile(r'class="table-scroll" tabindex="0" role="region" aria-label="[^"]+"')
    for template in TEMPLATES.rglob("*.html"):
        text = template.read_text()
        assert text.count('"table-scroll"') == len(named.findall(text)), template
