"""How many of the declarations that other modules see have a `///` comment.

Counted are declarations marked `public` or `package`, and the requirements of such protocols, which have the protocol's
access without saying so. Left out is what a protocol of the standard library documents already.
"""
import re

SHARE = 92  # percent, over all modules together

KINDS = r"func|var|let|init|subscript|struct|class|enum|protocol|actor|typealias|associatedtype"
MODIFIERS = (
    r"(?:(?:static|class|final|mutating|nonmutating|consuming|borrowing|override|convenience|required|lazy|weak|unowned"
    r"|indirect|nonisolated(?:\(unsafe\))?|(?:private|fileprivate|internal|package)\(set\)|@\w+(?:\([^)]*\))?)\s+)*"
)
SEEN = re.compile(rf"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:public|package)\s+{MODIFIERS}(?:{KINDS})\b")
REQUIREMENT = re.compile(rf"^    {MODIFIERS}(?:func|var|init|subscript|associatedtype)\b")
PROTOCOL = re.compile(rf"^(?:public|package)\s+{MODIFIERS}protocol\b")
KNOWN = re.compile(
    r"\b(?:func (?:==|<|hash\(into|encode\(to|makeIterator|next\(\))|init\??\((?:rawValue|from decoder|\w+Literal)"
    r"|var (?:description|debugDescription|rawValue|id|hashValue|errorDescription)\b|static func main)"
)


def has_comment(lines, index):
    """Whether `///` stands above line `index`; attributes may stand between."""
    above = index - 1
    while above >= 0 and re.match(r"^\s*(?:@\w+(?:\([^)]*\))?\s*)+$", lines[above]):
        above -= 1
    return above >= 0 and lines[above].lstrip().startswith("///")


def declarations(text):
    """Pairs of the line number and whether it is documented."""
    lines = text.splitlines()
    in_protocol, in_string = False, False
    for index, line in enumerate(lines):
        was_in_string = in_string
        if line.count('"""') % 2 == 1:
            in_string = not in_string
        if was_in_string:
            continue
        if PROTOCOL.match(line):
            in_protocol = not line.rstrip().endswith("}")
        elif line.startswith("}"):
            in_protocol = False
        if (SEEN.match(line) or (in_protocol and REQUIREMENT.match(line))) and not KNOWN.search(line):
            yield index + 1, has_comment(lines, index)


def check(root, files):
    """The problems found, and one line that says how it stands."""
    found, missing = {}, []
    for file in files:
        if file.suffix != ".swift" or file.parts[0] != "Sources":
            continue
        for line, documented in declarations((root / file).read_text()):
            counts = found.setdefault(file.parts[1], [0, 0])
            counts[0] += documented
            counts[1] += 1
            if not documented:
                missing.append(f"{file}:{line}")
    documented, total = (sum(column) for column in zip(*found.values()))
    share = 100 * documented / max(total, 1)
    parts = ", ".join(f"{module} {100 * have // of}" for module, (have, of) in sorted(found.items()))
    summary = f"{share:.1f} % of {total} declarations that other modules see are documented ({parts})"
    problems = [f"{summary}; {SHARE} % are needed. These are not:", *missing] if share < SHARE else []
    return problems, summary, missing
