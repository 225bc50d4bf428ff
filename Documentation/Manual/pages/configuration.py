"""iommud.toml(5), from the commented configuration, in which every key stands with its default."""
import re

from roff import Page

SECTION = re.compile(r"^\[(\w+)\]$")
KEY = re.compile(r"^#(\w+) = (.*)$")
EXAMPLE = re.compile(r"^# Example: (.*)$")
TABLE = re.compile(r"^# \[\[(\w+)\]\]$")


def blocks(text):
    """Paragraphs of the file."""
    return [block.splitlines() for block in text.strip().split("\n\n")]


class Writer:
    """Goes through the file and writes what it says."""

    def __init__(self, page):
        self._page = page
        self._section = ""

    def block(self, lines):
        remark = []
        keys = []
        for index, line in enumerate(lines):
            if match := SECTION.match(line):
                self._section = match.group(1)
                self._page.part(f"[{self._section}]")
            elif TABLE.match(line):
                self._tables(remark, lines[index:])
                return
            elif match := EXAMPLE.match(line):
                self._item(re.findall(r"^(\w+) = ", match.group(1)), " ".join(remark), f"Example: `{match.group(1)}`")
                remark, keys = [], []
            elif match := KEY.match(line):
                keys.append(match.groups())
            elif line == "#":
                remark.append("\n")
            else:
                if keys:
                    self._keys(keys, remark)
                    remark, keys = [], []
                remark.append(line.removeprefix("# ").removeprefix("#"))
        if keys:
            self._keys(keys, remark)
        elif remark:
            self._page.paragraph(" ".join(remark))

    def _keys(self, keys, remark):
        text = " ".join(remark)
        self._item([name for name, _ in keys], text, "Default: " + ", ".join(f"`{value}`" for _, value in keys) + ".")

    def _item(self, names, text, default):
        end = "" if not text or text.rstrip().endswith((".", ":")) else "."
        self._page.item(", ".join(f"`{name}`" for name in names), f"{text}{end} {default}")

    def _tables(self, remark, lines):
        """What is a whole table of its own, as it is written."""
        if remark:
            self._page.paragraph(" ".join(remark))
        example = []
        for line in lines:
            plain = line.removeprefix("# ").removeprefix("#")
            if plain and not re.match(r"[\w\[ ]", plain) or (plain.endswith(":") and "=" not in plain):
                self._page.example("\n".join(example).strip())
                self._page.paragraph(plain)
                example = []
                continue
            example.append(plain)
        self._page.example("\n".join(example).strip())


def page(text, stamp):
    made = Page("iommud.toml", 5, "the configuration of iommud", stamp)
    made.section("SYNOPSIS")
    made.paragraph("/etc/iommud/iommud.toml")
    made.section("DESCRIPTION")
    first, *others = blocks(text)
    made.paragraph(" ".join(line.removeprefix("# ").removeprefix("#") for line in first))
    made.paragraph(others[0][0].removeprefix("# ") if others[0][0].startswith("# Sizes") else "")
    made.section("KEYS")
    writer = Writer(made)
    for block in others:
        writer.block(block)
    made.section("FILES")
    made.item("`/usr/share/iommud/iommud.toml.example`", "All keys with their defaults.")
    made.item("`/usr/share/iommud/lab.toml`", "A machine with a device for each behaviour worth trying.")
    made.see(("iommud", 8), ("iommuctl", 1))
    return made.text
