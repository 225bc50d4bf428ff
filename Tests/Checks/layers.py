"""Whether modules import what Documentation/Architecture.md says, and nothing upwards in its drawing.

The table there names for each module what it may import; the manifest and the `import` lines have to say exactly that.
In the drawing every module stands on one line, and what it imports on a line further down.
"""
import json
import re
import subprocess

PAGE = "Documentation/Architecture.md"
ROW = re.compile(r"^\| `(\w[\w-]*)` \| ([^|]*)\|", re.MULTILINE)
DRAWING = re.compile(r"^## Modules\n.*?^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
IMPORT = re.compile(r"^(?:@\w+ )?(?:(?:public|package|internal|private) )?import (?:\w+ )?(\w+)", re.MULTILINE)
INCLUDED = ("executable", "regular", "system")


def manifest(root):
    """Per module of Sources: the modules and products that Package.swift gives it."""
    text = subprocess.run(
        ["swift", "package", "dump-package"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    return {
        target["name"]: {next(iter(dependency.values()))[0] for dependency in target["dependencies"]}
        for target in json.loads(text)["targets"]
        if target["type"] in INCLUDED and not (target.get("path") or "").startswith("Tests/")
    }


def imports(root, files, module, known):
    """What the files of a module import of `known`."""
    found = set()
    for file in files:
        if file.suffix == ".swift" and file.parts[:2] == ("Sources", module):
            found |= set(IMPORT.findall((root / file).read_text()))
    return found & known


def levels(text, modules):
    """The line of the drawing on which each module stands."""
    found = {}
    drawing = DRAWING.search(text)
    for number, line in enumerate(drawing.group(1).splitlines() if drawing else []):
        found |= {name: number for name in re.findall(r"[\w-]+", line) if name in modules}
    return found


def differences(what, said, real):
    if real - said:
        yield f"{what}: not in the table of {PAGE}: {', '.join(sorted(real - said))}"
    if said - real:
        yield f"{what}: in the table of {PAGE} only: {', '.join(sorted(said - real))}"


def check(root, files):
    """The problems found."""
    text = (root / PAGE).read_text()
    given = manifest(root)
    table = {name: set(re.findall(r"`([\w-]+)`", cell)) for name, cell in ROW.findall(text) if name in given}
    known = set(given).union(*given.values())
    standing = levels(text, set(given))
    problems = []
    for module, dependencies in sorted(given.items()):
        if module not in table or module not in standing:
            problems.append(f"{PAGE}: {module} is missing in the table or the drawing")
            continue
        problems += differences(f"Package.swift, {module}", table[module], dependencies)
        if any(file.suffix == ".swift" and file.parts[:2] == ("Sources", module) for file in files):
            problems += differences(
                f"imports of {module}", table[module], imports(root, files, module, known - {module})
            )
        problems += [
            f"{PAGE}: {module} does not stand above {lower}, which it imports"
            for lower in sorted(dependencies & set(given))
            if standing.get(lower, -1) <= standing[module]
        ]
    return problems
