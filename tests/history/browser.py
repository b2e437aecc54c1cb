"""A real browser: Chromium, driven over the WebDriver protocol of W3C by its own driver.

The protocol is JSON over HTTP, of which a dozen requests are used here; a library for it would
bring 45 MB and an event loop of its own.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

DEADLINE_S = 180.0
KEYS = {
    "Right": "\ue014", "Left": "\ue012", "Up": "\ue013", "Down": "\ue015", "Home": "\ue011",
    "End": "\ue010", "Enter": "\ue007", "Escape": "\ue00c", "Shift": "\ue008",
}  # fmt: skip
OPTIONS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--force-device-scale-factor=1",
    "--hide-scrollbars", "--disable-dev-shm-usage", "--lang=en",
]  # fmt: skip


def missing() -> str:
    """What is not installed of the browser and its driver; the empty text if both are there."""
    return ", ".join(name for name in ("chromium", "chromedriver") if shutil.which(name) is None)


class Browser:
    """One window. `close` ends the driver, and with it the browser."""

    def __init__(self, folder: Path, width: int = 1280, height: int = 800) -> None:
        self._log = (folder / "driver.log").open("w+")
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=self._log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        self._port = self._listens(folder / "driver.log")
        options = {"args": [*OPTIONS, f"--user-data-dir={folder}/u"]}
        wanted = {
            "alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        }
        self._session = ""
        answer = self._ask("POST", "/session", {"capabilities": wanted})
        self._session = f"/session/{answer['sessionId']}"
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._devtools("Emulation.setDeviceMetricsOverride", size)

    def _listens(self, log: Path) -> int:
        end_s = time.monotonic() + DEADLINE_S
        while not (found := re.search(r"started successfully on port (\d+)", log.read_text())):
            assert time.monotonic() < end_s, log.read_text()
            assert self._driver.poll() is None, log.read_text()
            time.sleep(0.02)
        return int(found[1])

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_S)
        with contextlib.closing(connection):
            text = None if body is None else json.dumps(body)
            connection.request(method, self._session + path, text)
            answer = json.loads(connection.getresponse().read())["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(f"{path}: {answer['error']}: {answer['message']}")
        return answer

    def open(self, path: Path) -> None:
        self._ask("POST", "/url", {"url": path.as_uri()})

    def run(self, script: str, *values: object) -> Any:
        """What a script in the page answers; a promise is waited for."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(values)})

    def text(self, selector: str) -> str:
        """The text of an element, as it is seen."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def press(self, *keys: str) -> None:
        """Press keys one after the other; `Shift+Right` is a chord, `a b` is typed."""
        actions = []
        for key in keys:
            parts = [KEYS.get(part, part) for part in key.split("+")] if len(key) > 1 else [key]
            actions += [{"type": "keyDown", "value": part} for part in parts]
            actions += [{"type": "keyUp", "value": part} for part in reversed(parts)]
        self._act({"type": "key", "id": "keyboard", "actions": actions})

    def move(self, x: float, y: float, *then: dict[str, object]) -> None:
        """Move the pointer to a place of the window; `then` is done there."""
        to = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
        self._act({"type": "pointer", "id": "mouse", "actions": [to, *then]})

    def click(self, x: float, y: float) -> None:
        """Click at a place of the window."""
        down: dict[str, object] = {"type": "pointerDown", "button": 0}
        self.move(x, y, down, {**down, "type": "pointerUp"})

    def drag(self, x: float, y: float, by_x: int) -> None:
        """Drag from a place of the window to the right."""
        down: dict[str, object] = {"type": "pointerDown", "button": 0}
        to = {"type": "pointerMove", "duration": 0, "x": by_x, "y": 0, "origin": "pointer"}
        self.move(x, y, down, to, {**down, "type": "pointerUp"})

    def wheel(self, x: float, y: float, by: int) -> None:
        """Turn the wheel at a place of the window; down is positive."""
        turn = {"type": "scroll", "duration": 0, "x": round(x), "y": round(y), "deltaX": 0,
                "deltaY": by}  # fmt: skip
        self._act({"type": "wheel", "id": "wheel", "actions": [turn]})

    def _act(self, source: dict[str, Any]) -> None:
        self._ask("POST", "/actions", {"actions": [source]})

    def prefers(self, scheme: str) -> None:
        """Say which colours the user of the browser likes: `dark` or `light`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._devtools("Emulation.setEmulatedMedia", {"features": features})

    def _devtools(self, command: str, values: dict[str, Any]) -> None:
        self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": values})

    def picture(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode(self._ask("GET", "/screenshot"))

    def complaints(self) -> list[str]:
        """What the browser has to say about the page: errors, and what its policy refused."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def close(self) -> None:
        with contextlib.suppress(AssertionError, OSError):
            self._ask("DELETE", "")
        self._driver.send_signal(signal.SIGTERM)
        self._driver.wait(DEADLINE_S)
        self._log.close()
