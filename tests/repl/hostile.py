"""A hundred texts that break screens, for whoever shows texts of others."""

from __future__ import annotations

ESCAPES = [
    "\x1b[2J", "\x1b[31mred", "\x1b]0;title\x07", "\x1b[?1049l", "\x1b[999;999H", "\x1b[6n",
    "\x1bc", "\x1b]8;;http://x\x1b\\link", "\x1bPq#0;2;0;0;0\x1b\\", "\x9b31m", "\x1b[?25l",
    "\x1b[8m", "\x1b(0lqqk", "\x1b[1;1r", "\x1b_Ga=d\x1b\\", "\x1b[?1000h", "\x1b]52;c;eA==\x07",
]  # fmt: skip
CONTROLS = [f"a{chr(code)}b" for code in (*range(32), *range(127, 160))]
WIDE = [
    "数据库工作者" * 20,
    "👩‍👩‍👧‍👦 family",
    "🇩🇪🇯🇵",
    "é" * 50,
    "e\u0301" * 50,
    "한국어",
    "\uff46\uff55\uff4c\uff4c",
    "\u3000x",
]
BIDI = ["\u202eevil", "\u2066a\u2069", "שלום עולם", "مرحبا", "a\u200fb", "\u061cx", "\u202dabc"]
ODD = [
    "", " ", "x" * 10_000, "\n" * 100, "a\r\nb\rc", "\t" * 50, "\u2028x\u2029y", "\u0085",
    "\ufeffbom", "\u200b" * 300, "Z" + "\u0335" * 300, "\udcff\udc80", "\ud800", "\x00" * 40,
    "%s%n{0}$(id)`id`", "' OR 1=1 --", '"quoted', "back\\slash", "| rm -rf", "$1 $2.value",
    "\U000e0001\U000e0041", "\ufff9a\ufffab\ufffb", "\u180e", "\u00ad" * 30, "\ue000", "\U0010ffff",
]  # fmt: skip

TEXTS = [*ESCAPES, *CONTROLS, *WIDE, *BIDI, *ODD]
