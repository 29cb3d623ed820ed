"""The page in a real browser: Chromium without a window, driven by its own protocol."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import EXAMPLES, ScriptedEngine, World
from tests.serve.http import Served, serving
from tests.serve.test_engine_thread import Held
from tests.support.waiting import eventually

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here"),
]
Build = Callable[..., World]
BOX = '[{"bbox_2d": [250, 250, 500, 500], "label": "circle"}]'
WORDS = ("I look.\n\n", "**Final Answer**\n\n", "A circle:\n", BOX)
GIVE = """function give(event, name, type, data) {
  const carried = new DataTransfer();
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  carried.items.add(new File([bytes], name, { type }));
  document.dispatchEvent(event === 'paste'
    ? new ClipboardEvent(event, { clipboardData: carried, cancelable: true })
    : new DragEvent(event, { dataTransfer: carried, cancelable: true }));
}"""
"""JavaScript that gives a file to the page, as a paste or a drop does."""
SHOTS = Path(os.environ.get("QVQ_TEST_SHOTS", ""))


class Browser:
    """One page of a Chromium. `call` sends a command, `run` evaluates JavaScript."""

    def __init__(self, address: str, folder: Path) -> None:
        from websockets.sync.client import connect

        assert CHROMIUM is not None
        flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
        quiet = ("--disable-background-networking", "--no-first-run", "--window-size=900,1000")
        command = [CHROMIUM, *flags, *quiet, f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=-3, stderr=-3)
        port_file = folder / "DevToolsActivePort"
        eventually(lambda: port_file.exists() and port_file.read_text().count("\n") > 0)
        port, path = port_file.read_text().split("\n")[:2]
        self._closing = ExitStack()
        connection = connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None)
        self._socket = self._closing.enter_context(connection)
        self._number, self._session = 0, ""
        self.requested: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "DOM", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=address)
        self.until("document.getElementById('model')?.textContent.includes('qvq-tiny')")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            reply = json.loads(self._socket.recv())
            if reply.get("method") == "Network.requestWillBeSent":
                self.requested.append(reply["params"]["request"]["url"])
            if reply.get("id") == self._number:
                assert "error" not in reply, reply
                return reply["result"]

    def run(self, script: str) -> Any:
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script: str) -> None:
        eventually(lambda: bool(self.run(script)), lambda: self.run("document.body.innerText"))

    def show(self, *pictures: Path) -> None:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        names = [str(path) for path in pictures]
        self.call("DOM.setFileInputFiles", nodeId=node, files=names)
        self.until(f"document.querySelectorAll('#pictures img').length == {len(names)}")

    def key(self, key: str, code: int, modifiers: int = 0) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                modifiers=modifiers,
            )

    def type_question(self, text: str) -> None:
        self.run("document.getElementById('question').focus()")
        self.call("Input.insertText", text=text)

    def shot(self, name: str) -> None:
        if str(SHOTS) != ".":
            data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            (SHOTS / f"{name}.png").write_bytes(base64.b64decode(data))

    def close(self) -> None:
        self._closing.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def held() -> Iterator[Held]:
    found = Held()
    yield found
    found.go_on.set()


def browse(served: Served, folder: Path) -> Browser:
    return Browser(served.http.address, folder / "chromium")


def text(browser: Browser, name: str) -> str:
    return str(browser.run(f"document.getElementById('{name}').textContent"))


def test_a_picture_is_asked_about_the_thinking_folds_and_a_box_is_drawn(
    world: Build, tmp_path: Path
) -> None:
    with serving(world(WORDS)) as served:
        browser = browse(served, tmp_path)
        try:
            browser.show(EXAMPLES / "shapes.png")
            browser.type_question("Where is the circle?")
            browser.key("Enter", 13, modifiers=2)
            browser.until("document.getElementById('status').textContent == 'Done.'")
            assert text(browser, "thinking").strip() == "I look."
            assert text(browser, "answer").startswith("A circle:")
            assert text(browser, "fold-title").startswith("Thought for")
            assert browser.run("document.getElementById('fold').open") is False
            box = "document.querySelector('#pictures rect').getAttribute"
            assert [browser.run(f"{box}('{name}')") for name in ("x", "width")] == ["160", "160"]
            browser.shot("light")
            dark = [{"name": "prefers-color-scheme", "value": "dark"}]
            browser.call("Emulation.setEmulatedMedia", features=dark)
            browser.shot("dark")
            own = served.http.address
            assert browser.requested
            assert all(url.startswith((own, "data:", "about:")) for url in browser.requested)
        finally:
            browser.close()


def test_escape_stops_a_run_and_the_next_question_works(
    world: Build, held: Held, tmp_path: Path
) -> None:
    engine = ScriptedEngine(WORDS, on_token=held.on_token)
    with serving(world(engine=engine)) as served:
        browser = browse(served, tmp_path)
        try:
            browser.type_question("What is this?")
            browser.key("Enter", 13, modifiers=2)
            browser.until("document.getElementById('status').textContent == 'Thinking…'")
            browser.shot("thinking")
            running = served.engine._running
            assert running is not None
            browser.key("Escape", 27)
            browser.until("document.getElementById('status').textContent == 'Stopped.'")
            eventually(lambda: running.control.stopping)
            held.go_on.set()
            eventually(lambda: served.engine.status.ended == 1)
            assert held.tokens == 2
            browser.run("document.getElementById('ask').click()")
            browser.until("document.getElementById('status').textContent == 'Done.'")
        finally:
            browser.close()


def test_what_cannot_be_read_is_said_and_a_picture_can_be_removed(
    world: Build, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes((EXAMPLES / "shapes.png").read_bytes()[:90])
    with serving(world(WORDS)) as served:
        browser = browse(served, tmp_path)
        try:
            browser.show(broken)
            browser.type_question("What is this?")
            browser.run("document.getElementById('ask').click()")
            browser.until("document.getElementById('problem').textContent != ''")
            said = text(browser, "problem")
            assert said.startswith("broken.png: the PNG is cut off or damaged")
            browser.shot("problem")
            browser.run("document.querySelector('#pictures button').click()")
            assert browser.run("document.querySelectorAll('#pictures img').length") == 0
        finally:
            browser.close()


def test_pictures_are_pasted_and_dropped_on_a_narrow_screen(world: Build, tmp_path: Path) -> None:
    """Each place is drawn on the picture that it is in, and what is no picture is named."""
    places = BOX.replace('"label"', '"picture": 2, "label"')
    scan = io.BytesIO()
    Image.new("RGB", (112, 84), "white").save(scan, "TIFF")
    with serving(world(("I look.\n\n", "**Final Answer**\n\n", places))) as served:
        browser = browse(served, tmp_path)
        try:
            browser.call(
                "Emulation.setDeviceMetricsOverride",
                width=380,
                height=700,
                deviceScaleFactor=1,
                mobile=True,
            )
            browser.run(GIVE)
            for name, event in (("shapes.png", "paste"), ("chart.png", "drop")):
                data = base64.b64encode((EXAMPLES / name).read_bytes()).decode()
                browser.run(f"give('{event}', '{name}', 'image/png', '{data}')")
                browser.until(f"document.querySelector('#pictures img[alt=\"{name}\"]') !== null")
            data = base64.b64encode(scan.getvalue()).decode()
            browser.run(f"give('drop', 'scan.tif', 'image/tiff', '{data}')")
            unseen = "scan.tif: this browser cannot show it"
            browser.until(f"document.getElementById('pictures').innerText.includes('{unseen}')")
            browser.run("give('drop', 'notes.txt', 'text/plain', 'YQ==')")
            browser.until("document.getElementById('problem').textContent")
            assert text(browser, "problem") == "notes.txt is no picture"
            browser.type_question("Where is the circle?")
            browser.key("Enter", 13, modifiers=2)
            browser.until("document.getElementById('status').textContent == 'Done.'")
            layers = "[...document.querySelectorAll('#pictures svg')]"
            labels = browser.run(
                f"{layers}.map((layer) => layer.getAttribute('aria-label')).join()"
            )
            assert labels == "0 places are marked,1 place is marked,0 places are marked"
            assert browser.run("document.documentElement.scrollWidth <= innerWidth")
            browser.shot("narrow")
        finally:
            browser.close()


def test_every_control_has_a_name_and_the_keyboard_reaches_it(world: Build, tmp_path: Path) -> None:
    with serving(world(WORDS)) as served:
        browser = browse(served, tmp_path)
        try:
            nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
            roles = {"button", "textbox", "combobox"}
            unnamed = [
                node["role"]["value"]
                for node in nodes
                if node["role"]["value"] in roles and not node.get("name", {}).get("value")
            ]
            assert unnamed == []
            reached = []
            for _ in range(4):
                browser.key("Tab", 9)
                reached.append(browser.run("document.activeElement.id"))
            assert reached == ["file", "question", "effort", "ask"]
        finally:
            browser.close()
