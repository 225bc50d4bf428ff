"""Manual pages in the macros of man(7)."""
import re


def escaped(text):
    """Text as roff shows it: no escape of its own, hyphens that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("“", '"').replace("”", '"')
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def inline(text):
    """Text in which `code` is bold."""
    parts = re.split(r"`([^`]*)`", text)
    shown = [f"\\fB{escaped(part)}\\fR" if index % 2 else escaped(part) for index, part in enumerate(parts)]
    joined = "".join(shown)
    return "\\&" + joined if joined.startswith((".", "'")) else joined


def quoted(text):
    """An argument of a macro."""
    return '"' + inline(text).replace('"', "\\(dq") + '"'


class Page:
    """The text of one page, made from top to bottom."""

    def __init__(self, name, section, summary, stamp):
        self._lines = [f'.TH {escaped(name.upper())} {section} "{stamp["date"]}" "{stamp["source"]}" "iommud"']
        # Names and paths are to be copied: they are not broken.
        self._lines += [".nh", ".ad l"]
        self.section("NAME")
        self._lines.append(f"{escaped(name)} \\- {escaped(summary)}")

    def section(self, title):
        self._lines.append(f".SH {quoted(title)}")

    def part(self, title):
        self._lines.append(f".SS {quoted(title)}")

    def paragraph(self, text):
        self._lines += [".PP", inline(" ".join(text.split()))]

    def item(self, tag, text=""):
        """A term and what it means."""
        self._lines += [".TP", inline(tag), inline(" ".join(text.split())) or "\\&"]

    def example(self, text):
        self._lines += [".PP", ".RS 4", ".nf", *(escaped(line) for line in text.splitlines()), ".fi", ".RE"]

    def synopsis(self, name, words):
        self._lines += [".SY " + quoted(name), *words, ".YS", ".nh"]

    def raw(self, line):
        self._lines.append(line)

    def indented(self):
        """Everything in the block stands further right."""
        return Indent(self)

    def see(self, *pages):
        self.section("SEE ALSO")
        shown = [f".BR {escaped(name)} ({section})" for name, section in pages]
        self._lines += [line + " ," for line in shown[:-1]] + shown[-1:]

    @property
    def text(self):
        return "\n".join(self._lines) + "\n"


class Indent:
    def __init__(self, page):
        self._page = page

    def __enter__(self):
        self._page.raw(".RS")

    def __exit__(self, *_):
        self._page.raw(".RE")
