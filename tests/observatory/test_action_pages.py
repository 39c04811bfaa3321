"""The pages that one acts on, without scripts, over a real engine."""

from __future__ import annotations

import re
from html import unescape

from tests.observatory.conftest import Watched
from tests.observatory.test_actions import account_with, letters
from tests.server.conftest import Cluster, wait_for

from protean.server.observatory.app import Access
from protean.server.observatory.sessions import Role


def page(watched: Watched, address: str, status: int = 200) -> str:
    answer = watched.client.get(address, headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8"), answer.text
    assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=", answer.text)
    return answer.text


def links(text: str, beginning: str) -> list[str]:
    return [unescape(each) for each in re.findall(r'href="([^"]+)"', text) if each.startswith(beginning)]


def test_a_dead_letter_is_found_from_its_group_and_its_message_from_it(watched: Watched, cluster: Cluster) -> None:
    assert "There are no dead letters." in page(watched, "/dlq")
    assert "Nothing was done yet." in page(watched, "/operations")
    cluster.config["server"]["retry"] = {"max_retries": 0}
    account_with(cluster, 2)
    cluster.bank.rename("a", "<b>Ann</b>")
    cluster.start(fails={"a:1"})
    letters(cluster, 1)

    wait_for(lambda: links(page(watched, "/dlq"), "/dlq?group="))  # groups are counted once a second
    group = links(page(watched, "/dlq"), "/dlq?group=")[0]
    entry = links(page(watched, group.partition("#")[0]), "/dlq/")[0]
    letter = page(watched, entry)
    assert "cannot book 1" in letter
    assert "Traceback (most recent call last)" in letter
    message = page(watched, links(letter, "/messages/")[0])
    assert "handled at once, in no log" in message
    assert "Hidden: it may be personal." in message
    renamed = page(watched, f"/messages/{cluster.bank.log('a')[-1].id}")
    assert "Ann" not in renamed
    assert page(watched, "/dlq?handler=Nobody").count("None like that.") == 1


def test_buttons_carry_what_they_decide_about_for_those_who_may(watched: Watched, cluster: Cluster) -> None:
    cluster.config["server"]["retry"] = {"max_retries": 0}
    account_with(cluster, 1)
    cluster.start(fails={"a:1"})
    letters(cluster, 1)
    text = page(watched, "/dlq")
    scopes = {unescape(each) for each in re.findall(r'data-scope="([^"]+)"', text)}
    (group,) = watched.json("/api/dlq/groups")["groups"]
    assert {'{"all": true}', f'{{"group": "{group["id"]}"}}'} < scopes


def test_who_may_only_look_is_given_no_buttons(observe: object, cluster: Cluster) -> None:
    token = "r" * 32
    watched = observe(Access({Role.READ_ONLY: token}))  # type: ignore[operator]  # a fixture that is called
    watched.client.get("/", params={"token": token}, follow_redirects=True)
    account_with(cluster, 0)
    for address in ("/dlq", f"/messages/{cluster.bank.log('a')[0].id}", "/operations"):
        text = page(watched, address)
        assert "data-decide" not in text
        assert "data-reveal" not in text


def test_what_is_not_there_has_a_page_that_says_what_to_do(watched: Watched) -> None:
    assert "handled at once are in no log" in page(watched, "/messages/nonsense", 404)
    assert "has been replayed with success" in page(watched, "/dlq/2030-01-01T00:00:00+00:00,A,b", 404)
    assert "begin again without it" in page(watched, "/dlq/nonsense", 422)
