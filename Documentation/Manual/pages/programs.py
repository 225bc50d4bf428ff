"""iommuctl(1) and iommud(8), from the options that the programs declare."""
import re

from roff import Page, escaped

STATUS = re.compile(r"^ *(\d+)  (.*)$", re.MULTILINE)


def spelled(argument):
    """`--socket <path>` as pairs of what is bold and what is not."""
    names = [("-" if name["kind"] == "short" else "--") + name["name"] for name in argument.get("names", [])]
    return names, argument.get("valueName", "") if argument["kind"] == "option" else ""


def tag(argument):
    """What stands before the description."""
    if argument["kind"] == "positional":
        return f"`{argument['valueName'].upper()}`"
    names, value = spelled(argument)
    return ", ".join(f"`{name}`" for name in sorted(names, key=len)) + (f" {value.upper()}" if value else "")


def described(argument):
    text = argument.get("abstract", "")
    if argument.get("discussion"):
        text += " " + argument["discussion"]
    if argument.get("defaultValue"):
        text += f" Default: {argument['defaultValue']}."
    return text


def shown(command):
    """The arguments that a reader needs, but for help and version, which every program has."""
    found = [argument for argument in command.get("arguments", []) if argument.get("shouldDisplay", True)]
    return [
        argument for argument in found if not {name["name"] for name in argument.get("names", [])} & {"help", "version"}
    ]


def is_global(argument):
    return {name["name"] for name in argument.get("names", [])} & {"socket", "timeout", "json", "table", "verbose"}


def paragraphs(page, text):
    """A discussion: paragraphs, and what is indented as it is."""
    for block in text.strip().split("\n\n"):
        if all(line.startswith("  ") for line in block.splitlines()):
            page.example("\n".join(line[2:] for line in block.splitlines()))
        elif not STATUS.search(block):
            page.paragraph(block)


def words(arguments):
    """The synopsis of arguments."""
    for argument in arguments:
        names, value = spelled(argument)
        name = escaped(max(names, key=len)) if names else escaped(argument["valueName"].upper())
        repeating = "..." if argument.get("isRepeating") else ""
        if not names:
            text = f"\\fI{name}\\fR{repeating}"
            yield text if not argument.get("isOptional") else f"[{text}]"
        elif argument.get("isOptional", True):
            yield f".OP {name} {escaped(value.upper())}".rstrip()
        else:
            yield f"\\fB{name}\\fR \\fI{escaped(value.upper())}\\fR"


def commands(page, parent, inner, prefix):
    for command in inner:
        if not command.get("shouldDisplay", True) or command["commandName"] == "help":
            continue
        name = f"{prefix} {command['commandName']}"
        if command.get("subcommands"):
            commands(page, command, command["subcommands"], name)
            continue
        page.part(name)
        page.synopsis(name, list(words([argument for argument in shown(command) if not is_global(argument)])))
        page.paragraph(command.get("abstract", ""))
        if command.get("discussion"):
            paragraphs(page, command["discussion"])
        for argument in shown(command):
            if not is_global(argument):
                page.item(tag(argument), described(argument))


ENVIRONMENT = {
    "IOMMUD_SOCKET": "The daemon's socket, where --socket names none.",
    "IOMMUCTL_SESSION": "The named session to work in, where --session names none.",
    "NO_COLOR": "No colours, if it is set and not empty.",
    "COLUMNS": "How wide tables may be where the terminal does not tell, or where there is none.",
    "XDG_STATE_HOME": "Below it, in iommuctl/history, is what was typed in a shell; default: ~/.local/state.",
}


def iommuctl(dump, document, stamp):
    top = dump["command"]
    page = Page("iommuctl", 1, "talk to iommud, the IOMMU manager", stamp)
    page.section("SYNOPSIS")
    page.synopsis("iommuctl", ["[\\fIoptions\\fR]", "\\fIcommand\\fR", "[\\fIarguments\\fR]"])
    page.synopsis(
        "iommuctl",
        ["[\\fIoptions\\fR]", "\\fIsubject\\fR", "\\fIverb\\fR", "[\\fB\\-\\-parameter\\fR \\fIvalue\\fR ...]"],
    )
    page.section("DESCRIPTION")
    paragraphs(page, top["discussion"])
    page.section("OPTIONS")
    for argument in shown(top):
        page.item(tag(argument), described(argument))
    page.item("`--version`", "The version of the program.")
    page.item("`--help`", "Help for what stands before it.")
    page.section("COMMANDS")
    commands(page, top, top["subcommands"], "iommuctl")
    page.section("METHODS")
    values(page)
    subjects = {}
    for method in document["methods"]:
        subject, _, verb = method["name"].partition(".")
        subjects.setdefault(subject, []).append(verb.replace("_", "-"))
    for subject, verbs in subjects.items():
        page.item(f"`{subject}`", ", ".join(verbs))
    page.section("EXIT STATUS")
    for number, text in STATUS.findall(top["discussion"]):
        page.item(f"`{number}`", text[0].upper() + text[1:] + ".")
    page.section("ENVIRONMENT")
    for name, text in ENVIRONMENT.items():
        page.item(f"`{name}`", text)
    page.section("EXAMPLES")
    page.example(
        "iommuctl topology\n"
        "iommuctl --session vm1 memory create --size 64K --name guest\n"
        "iommuctl --session vm1 ioas alloc\n"
        "iommuctl --session vm1 ioas map --ioas 1 --memory guest --length 64K --iova 0x10000\n"
        "iommuctl --session vm1 device bind 0000:01:00.0\n"
        "iommuctl --session vm1 device attach --device 0000:01:00.0 --pt 1\n"
        "iommuctl translate --session vm1 0000:01:00.0 0x10000"
    )
    page.see(("iommud-rpc", 7), ("iommud", 8), ("iommud.toml", 5))
    return page.text


def values(page):
    page.paragraph(
        "Every method of the daemon is a command of two words, and each of its parameters an option; iommud-rpc(7) has "
        "all of them, and `iommuctl SUBJECT VERB --help` shows one. Values are written so:"
    )
    page.item("numbers", "`4096`, `65_536`, `0x1000`, `64K`, `2MiB`; units are powers of 1,024.")
    page.item("ids of devices and of memory", "The id, or the name.")
    page.item("yes or no", "The option alone is yes; `--no-NAME`, or `--NAME=no`, is no.")
    page.item("lists", "With commas, or the option repeated; `@FILE` has an element a line.")
    page.item("objects", "`KEY=VALUE,KEY=VALUE` with + between the elements of a list in it, or JSON.")
    page.item("bytes", "`@FILE`, `@-` for standard input, `text:...`, `hex:...`, or base64.")
    page.paragraph(
        "Words without a name are the parameters that have to be there, in their order; of a method in which none has "
        "to be, they are any. The methods are:"
    )


def iommud(dump, stamp):
    top = dump["command"]
    page = Page("iommud", 8, "owns the IOMMU of a machine and serves it on a Unix socket", stamp)
    page.section("SYNOPSIS")
    page.synopsis("iommud", list(words(shown(top))))
    page.section("DESCRIPTION")
    page.paragraph(top["abstract"])
    paragraphs(page, top["discussion"])
    page.paragraph(
        "Its protocol is described in iommud-rpc(7), its configuration in iommud.toml(5); iommuctl(1) talks to it. "
        "Below systemd it takes the sockets that it is passed, reports READY, STATUS and WATCHDOG, keeps descriptors "
        "of named sessions in the store of the service manager, and writes fields into the journal."
    )
    page.section("OPTIONS")
    for argument in shown(top):
        page.item(tag(argument), described(argument))
    page.section("SIGNALS")
    page.item("`SIGHUP`", "Read the configuration again; what needs a restart is said.")
    page.item("`SIGTERM`, `SIGINT`", "Let requests in flight finish, for `daemon.drain_seconds` at most, and end.")
    page.section("EXIT STATUS")
    page.item("`0`", "It was told to end.")
    page.item("`1`", "It could not start, or not go on; standard error or the journal says why.")
    page.item("`64`", "Wrong usage.")
    page.item("`78`", "The configuration cannot be used.")
    page.section("FILES")
    page.item("`/etc/iommud/iommud.toml`", "The configuration.")
    page.item("`/run/iommud/iommud.sock`", "The socket of the service.")
    page.see(("iommuctl", 1), ("iommud.toml", 5), ("iommud-rpc", 7), ("systemd.socket", 5))
    return page.text
