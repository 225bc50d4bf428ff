"""What holds for every text of the project: its size, its blanks, and what it may name."""
import re

LINES = 300
COLUMNS = 120
BODY = 40  # lines of a function between its braces
CODE = {".swift", ".c", ".h", ".cpp", ".py", ".sh", ".toml", ""}
# The one that wrote a line is not the one that reads it: no path of a machine belongs in a text.
ELSEWHERE = re.compile(r"(?<![\w.)$}\"])/(?:home|Users|work|root)/\w+")
# Hot modules start and run without it, and nothing else needs it: /proc, sockets and numbers are read by hand.
FOUNDATION = re.compile(r"^(?:\w+ )?import Foundation", re.MULTILINE)
UNPROVEN = re.compile(r"@unchecked Sendable|nonisolated\(unsafe\)")
# Whatever a client, a file or the kernel can cause is an error, not the end of the daemon.
FATAL = re.compile(r"\bfatalError\(|\btry!|\bas! ")
SLEEP = re.compile(r"\b(?:u|nano)?sleep\(|\bTask\.sleep\b")


FUNCTION = re.compile(r"^(\s*)(?:@\w+(?:\([^)]*\))? |[a-z]+(?:\(set\))? )*(?:func|init|deinit|subscript)\b")


def is_data(file):
    """Whether a file is measured by its contents alone; so are the programs that others are measured against."""
    return {"Fixtures", "Reference"} & set(file.parts) or file.suffix in {".json", ".md"} or file.name == "LICENSE"


def check_lines(file, lines):
    if len(lines) > LINES:
        yield f"{file}: {len(lines)} lines; a file has {LINES} at most and one subject"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS:
            yield f"{file}:{number}: {len(line)} columns; a line has {COLUMNS} at most"
        if line != line.rstrip():
            yield f"{file}:{number}: blanks at the end of the line"


def opening_brace(lines, start, indent):
    """The line on which a function's body begins; where there is none, as in a protocol, the end of all."""
    for number in range(start, len(lines)):
        line = lines[number]
        if number > start and not (line.startswith(indent + " ") or line.startswith(indent + ")")):
            break
        if line.endswith("{"):
            return number
    return len(lines)


def check_functions(file, lines):
    """Functions that are too long to be read at once; their ends are where the indent is that of their beginning."""
    for start, line in enumerate(lines):
        if not (match := FUNCTION.match(line)) or line.rstrip().endswith("}"):
            continue
        indent = match.group(1)
        opening = opening_brace(lines, start, indent)
        end = next((n for n in range(opening + 1, len(lines)) if lines[n].startswith(indent + "}")), opening)
        if end - opening - 1 > BODY:
            yield f"{file}:{start + 1}: a body of {end - opening - 1} lines; a function has {BODY} at most"


def check_swift(file, lines):
    text = "\n".join(lines)
    in_sources = file.parts[0] == "Sources"
    if in_sources and FOUNDATION.search(text):
        yield f"{file}: imports Foundation, which the programs do without"
    for number, line in enumerate(lines, 1):
        if UNPROVEN.search(line) and "//" not in line and "//" not in lines[max(number - 2, 0)]:
            yield f"{file}:{number}: a comment has to prove why this is safe across threads"
        if in_sources and FATAL.search(line):
            yield f"{file}:{number}: ends the daemon; throw an error"
        if not in_sources and SLEEP.search(line):
            yield f"{file}:{number}: waits for time to pass; wait for what is to happen"


def check(root, files):
    """The problems in all texts."""
    problems = []
    for file in files:
        try:
            text = (root / file).read_text()
        except UnicodeDecodeError:
            continue
        lines = text.splitlines()
        if text and not text.endswith("\n") and not is_data(file):
            problems.append(f"{file}: the last line has no end")
        if not is_data(file) and file.suffix in CODE:
            problems += check_lines(file, lines)
        if file.suffix == ".swift":
            problems += check_swift(file, lines)
            if file.parts[0] == "Sources":
                problems += check_functions(file, lines)
        if "Fixtures" not in file.parts:
            problems += [
                f"{file}:{number}: {match.group()} is a path of somebody's machine"
                for number, line in enumerate(lines, 1)
                if (match := ELSEWHERE.search(line))
            ]
    return problems
