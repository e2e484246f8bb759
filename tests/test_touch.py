"""A map to touch: texts are shown as they are, a point at its place with its colours; in a browser, by a pointer."""

import re

import numpy as np
import pytest
from browser import browsing, wait

from pplug.data import HABITS
from pplug.data.loading import load
from pplug.insight import touch
from pplug.insight.saying import item_told
from pplug.offline.simulate import simulate

POINTS = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
HALVES = {"hard news": ["plain", "plain", "list", "list"], "soft news": ["plain", "list", "plain", "list"]}


@pytest.fixture
def panel():
    pointed = [f"user {number}\nwrote <b>this</b> & 'that'" for number in range(4)]
    return touch.Panel("Simulated <users>", POINTS, HALVES, pointed, [f"clicked {number} <i>" for number in range(4)])


def test_a_page_stands_alone_and_shows_texts_as_they_are(panel):
    made = touch.page([panel, panel])
    outside = re.findall(r"<(?:script|link|img|iframe)[^>]*\b(?:src|href)=", made)
    assert outside == [], "nothing is fetched"
    assert "Simulated &lt;users&gt;" in made and "<i>" not in made.split("Bokeh.safely")[-1]
    assert made.count('class="map"') == 2


def test_a_framed_page_is_the_page(panel):
    made = touch.page([panel])
    framed = touch.framed(made, "Map of users", 300)
    inside = re.search(r"srcdoc='([^']*)'", framed)[1]
    assert inside.replace("&#39;", "'").replace("&amp;", "&") == made and "height:300px" in framed


def test_halves_with_the_same_labels_share_a_legend(panel):
    assert "left half: hard news; right half: soft news – " in touch.page([panel])
    other = touch.Panel("", POINTS, {"a": ["x"] * 4, "b": ["y", "z"] * 2}, [""] * 4, [""] * 4)
    made = touch.page([other])
    assert "<p>left half: a – " in made and "<p>right half: b – " in made


def test_the_heaviest_items_come_first_and_the_rest_is_summed():
    lines = touch.weighed(["a", "b", "c", "d"], [0.1, 0.5, 0.15, 0.25], most=2).splitlines()
    assert lines == ["0.50  b", "0.25  d", "0.25  the other 2 together"]
    assert touch.weighed(["a", "b"], [0.4, 0.6]).splitlines() == ["0.60  b", "0.40  a"]


def test_of_simulated_users_texts_and_weights_are_told(tmp_path, monkeypatch):
    data = load(simulate(tmp_path, "LaMP-4", 4, seed=0), "LaMP-4")
    rows = data.splits["test"].to_list()
    equal = [np.full(len(row["profile"]), 1 / len(row["profile"])) for row in rows]
    monkeypatch.setattr(touch, "item_weights", lambda model, data, rows: equal)
    pointed, clicked = touch.told_of_users(None, data, rows, {"hard news": list("abcd")})
    items = [item_told(data.task, data.items[number]) for number in rows[1]["profile"]]
    assert pointed[1].splitlines()[:2] == [rows[1]["user_id"], "hard news: b"] and pointed[1].endswith(items[-1])
    assert f"wrote: {rows[1]['output']}" in clicked[1] and f"{equal[1][0]:.2f}  {items[0]}" in clicked[1]


def test_of_real_people_only_numbers_are_told():
    manner = np.arange(2 * len(HABITS), dtype=float).reshape(2, -1)
    pointed, clicked = touch.told_of_people(manner, ("words", "laughs"))
    assert pointed[1].splitlines()[:2] == ["person 2", "words 15.00 (median person 7.50)"] and len(pointed) == 2
    assert len(clicked[0].splitlines()) == 1 + len(HABITS)


def test_pointing_and_clicking_in_a_browser(panel, tmp_path):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    (tmp_path / "map.html").write_text(touch.page([panel]), encoding="utf-8")
    with browsing(1000, 800) as driver:
        driver.get((tmp_path / "map.html").as_uri())
        where = """
            const [map] = Bokeh.index.roots
            const at = map.model.renderers[0].data_source.data, box = map.el.getBoundingClientRect()
            return [box.left + map.frame.x_scale.compute(at.x[2]), box.top + map.frame.y_scale.compute(at.y[2])]
        """
        x, y = wait(driver, "return window.Bokeh && Bokeh.index.roots.length > 0") and driver.execute_script(where)

        def move(by):
            pointer = ActionChains(driver)
            pointer.w3c_actions.pointer_action.move_to_location(round(x) + by, round(y))
            return pointer

        told = """
            const texts = root => root.textContent + [...root.querySelectorAll("*")].map(
                element => element.shadowRoot ? texts(element.shadowRoot) : ""
            ).join("")
            const found = texts(document.body)
            return found.includes("user 2") && found
        """
        move(60).perform(), move(-2).perform()
        assert "wrote <b>this</b> & 'that'" in wait(driver, told)
        move(-2).click().perform()
        assert wait(driver, "return document.getElementById('told').textContent.startsWith('clicked') && 1")
        assert driver.find_element(By.ID, "told").text == "clicked 2 <i>"
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
