"""Whether what a page of documentation points at exists: files, and sections of pages."""
import re

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:Clients|Sources|Tests|Config|Documentation|systemd)/[\w./+-]*)`")


def anchors(page):
    """What sections of a page are called in links."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check(root, files):
    """The problems found."""
    problems = []
    for file in files:
        if file.suffix != ".md":
            continue
        text = (root / file).read_text()
        for target in LINK.findall(text):
            if "://" in target:
                continue
            path, _, section = target.partition("#")
            page = (root / file).parent / path if path else root / file
            if not page.exists():
                problems.append(f"{file}: there is no {target}")
            elif section and section not in anchors(page):
                problems.append(f"{file}: {target} has no such section")
        problems += [f"{file}: there is no {name}" for name in NAMED.findall(text) if not (root / name).exists()]
    return problems
