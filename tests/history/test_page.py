"""The page as text: one file that asks for nothing, and in which no text of a user is markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from ssm_cli.history.page import PageData, page
from tests.history.demo import demo

HOSTILE = [
    "</script><script>alert(1)</script>", "<!-- <script>", "-->", "]]>",
    "<img src=x onerror=alert(1)>",
    "\u2028\u2029", "\ud800 alone \udfff", "nul \x00 bell \x07 esc \x1b[31m", "\u202e reversed",
    "$data ${script} $$", "&lt;b&gt; &amp;", "'\"`\\", "\r\n\t", "é 漢 \U0001f600",
]  # fmt: skip


class Parts(HTMLParser):
    """Scripts and styles of a page, and all attributes of it, as a parser sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[tuple[str, dict[str, str | None], str]] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.inside: tuple[str, dict[str, str | None]] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag in {"script", "style", "title", "h1"}:
            self.inside = (tag, dict(attrs))
            self.parts.append((*self.inside, ""))

    def handle_endtag(self, tag: str) -> None:
        self.inside = None

    def handle_data(self, data: str) -> None:
        if self.inside is not None:
            name, attributes, text = self.parts[-1]
            self.parts[-1] = (name, attributes, text + data)


def parsed(text: str) -> Parts:
    parser = Parts()
    parser.feed(text)
    return parser


def parts(text: str, name: str) -> list[str]:
    return [inside for tag, _, inside in parsed(text).parts if tag == name]


def embedded(text: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(parts(text, "script")[0])
    return data


def hostile(text: str) -> PageData:
    """A history in which a text stands wherever a text can stand."""
    at = "2026-01-31T12:00:00.000001Z"
    record = {
        "record": 1, "at": at, "worker": text, "how": text, "input": text, "outcome": text,
        "output": text, "by": text, "changed": [{"path": text, "before": text, "after": [text]}],
        "error": {"type": text, "message": text, "places": [text]},
    }  # fmt: skip
    report = {
        "seq": 1, "at": at, "event": "restarting", "id": text, "path": f"r/{text}", "record": 1,
        "kind": "supervisor", "strategy": text, "child": text, "children": [text], text: text,
    }  # fmt: skip
    worker = {"id": text, "path": f"r/{text}", "kind": "worker", "strategy": text}
    tree = {"id": text, "path": "r", "kind": "supervisor", "children": [worker]}
    return PageData(
        name=text, at=text, ssm=text, python=text, tree=tree, records=[record], reports=[report]
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_data_wherever_it_stands(text: str) -> None:
    made = page(hostile(text))
    plain = page(hostile("plain"))
    assert len(parts(made, "script")) == 2
    assert parts(made, "script")[1] == parts(plain, "script")[1]
    assert parts(made, "style") == parts(plain, "style")
    assert len(parsed(made).attributes) == len(parsed(plain).attributes)
    assert text in embedded(made)["texts"]
    assert embedded(made)["name"] == text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_page_is_ascii_so_that_no_encoding_changes_it(text: str) -> None:
    made = page(hostile(text))
    assert made.isascii()
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", made)


def test_the_data_cannot_end_their_element_nor_begin_a_comment() -> None:
    made = page(hostile("</script><!--<script>&"))
    data = made[made.index('id="data">') + 10 :]
    data = data[: data.index("</script>")]
    assert "\\u003c/script\\u003e" in data
    assert not set("<>&") & set(data)


def test_the_title_shows_what_does_not_print_as_escapes() -> None:
    assert parts(page(hostile("a\x00\u202eb")), "h1") == ["a\\x00\\u202eb"]


def test_the_policy_lets_this_script_and_this_style_run_and_nothing_else() -> None:
    made = page(demo(20))
    (policy,) = [
        v for tag, name, v in parsed(made).attributes if tag == "meta" and v and "src" in v
    ]

    def source(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    script, style = parts(made, "script")[1], parts(made, "style")[0]
    assert policy == (
        f"default-src 'none'; style-src {source(style)}; script-src {source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def test_the_page_names_no_other_file_and_no_other_computer() -> None:
    made = page(demo(20))
    assert not re.search(
        r"https?:|//[a-z]+\.|url\(|@import|\bimport\b|fetch\(|XMLHttp|WebSocket", made
    )
    assert not {n for _, n, _ in parsed(made).attributes} & {"src", "href", "action", "style"}
    assert not [n for _, n, _ in parsed(made).attributes if n.startswith("on")]


def test_the_script_makes_no_markup_from_text_and_keeps_nothing() -> None:
    script = parts(page(demo(20)), "script")[1]
    for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function(",
                "localStorage", "sessionStorage", "cookie"):  # fmt: skip
        assert way not in script


def test_the_same_history_gives_the_same_page() -> None:
    assert page(demo(60, seed=3)) == page(demo(60, seed=3)) != page(demo(60, seed=4))


def test_a_history_without_anything_is_a_page() -> None:
    tree = {"id": "r", "path": "r", "kind": "supervisor"}
    data = embedded(page(PageData(name="r", at="", ssm="", python="", tree=tree)))
    assert (data["trimmed"], data["records"]["number"], data["reports"]["seq"]) == (0, [], [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at": "noon"}, "record 7: `at` is 'noon': expected an instant such as 2026"),
        ({"at": "2026-01-31T12:00:00"}, "expected an instant such as 2026"),
        ({"worker": 3}, "record 7: Expected `str`, got `int` - at `$.worker`"),
        ({"changed": [{"before": 1}]}, "record 7: Object missing required field `path`"),
        ({"error": "text"}, "record 7: Expected `object | null`, got `str` - at `$.error`"),
    ],
)
def test_a_record_that_is_none_is_refused_by_number_and_field(
    change: dict[str, object], said: str
) -> None:
    good = {"record": 7, "at": "2026-01-31T12:00:00Z", "worker": "w", "how": "call"}
    data = msgspec.structs.replace(hostile("x"), records=[{**good, **change}])
    with pytest.raises(ValueError, match=re.escape(said)):
        page(data)


@pytest.mark.parametrize("column", ["records", "reports"])
def test_what_is_out_of_order_is_refused(column: str) -> None:
    data = demo(90)
    turned = {column: list(reversed(getattr(data, column)))}
    said = rf"{column[:-1]} \d+ stands before record \d+: expected rising numbers"
    with pytest.raises(ValueError, match=said):
        page(msgspec.structs.replace(data, **turned))


def test_a_report_that_is_none_is_refused_by_number() -> None:
    data = msgspec.structs.replace(hostile("x"), reports=[{"seq": 9, "at": "2026-01-31T12:00:00Z"}])
    with pytest.raises(ValueError, match="report 9: Object missing required field `event`"):
        page(data)
