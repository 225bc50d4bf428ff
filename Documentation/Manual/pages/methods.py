"""iommud-rpc(7), from the document that the daemon answers to rpc.discover."""
import collections

from roff import Page

PROTOCOL = (
    "Clients connect to a Unix stream socket and send one JSON value a line: requests of JSON-RPC 2.0, or arrays of "
    "them. Replies come in the order of the requests. Parameters have names. Descriptors go along with the line that "
    "takes them (SCM_RIGHTS).",
    "In requests, numbers are integers or hexadecimal strings (`0x1000`). In replies, addresses, lengths of address "
    "ranges, register words and descriptor words are hexadecimal strings; counts and ids are integers; bytes are "
    "base64.",
    "A refused request has changed nothing. `error.code` is the negative errno, `error.data.reason` a word that does "
    "not change, `error.data.hint` what to do. Objects belong to the session of the connection, which is private and "
    "ends with it until `session.attach` names one that stays.",
)


class Schemas:
    """Types in few words."""

    def __init__(self, document):
        self._schemas = document["components"]["schemas"]

    def resolved(self, schema):
        if "$ref" not in schema:
            return schema
        name = schema["$ref"].rpartition("/")[2]
        return self._schemas[name] | {key: value for key, value in schema.items() if key != "$ref"}

    def members(self, schema):
        """The members of an object, or of the objects in a list."""
        schema = self.resolved(schema)
        if schema.get("type") == "array":
            return self.members(schema["items"])
        return list(schema.get("properties", {}).items())

    def title(self, schema):
        schema = self.resolved(schema)
        if "enum" in schema:
            return " or ".join(str(word) for word in schema["enum"])
        if "oneOf" in schema:
            kinds = [part for part in schema["oneOf"] if part.get("type") == "string" and "pattern" not in part]
            return "name or id" if kinds else "number"
        if schema.get("type") == "array":
            return f"list of {self.title(schema['items'])}"
        if schema.get("type") == "object":
            return "object"
        if schema.get("contentEncoding"):
            return "base64"
        if schema.get("pattern", "").startswith("^0x"):
            return "hexadecimal"
        kind = schema.get("type", "any value")
        return " or ".join(kind) if isinstance(kind, list) else {"boolean": "true or false"}.get(kind, kind)


def default(schema):
    if schema.get("default") in (None, ""):
        return ""
    value = schema["default"]
    if isinstance(value, list):
        return "; default " + (", ".join(str(word) for word in value) or "none")
    return f"; default {str(value).lower() if isinstance(value, bool) else value}"


def members(page, schemas, fields):
    """Members and, one step further in, those of objects among them."""
    for name, schema, text, note in fields:
        page.item(f"`{name}` ({schemas.title(schema)}{note})", text)
        inner = schemas.members(schema)
        if inner:
            with page.indented():
                required = schemas.resolved(schemas.resolved(schema).get("items", schema)).get("required", [])
                members(
                    page,
                    schemas,
                    [
                        (
                            key,
                            value,
                            schemas.resolved(value).get("description", ""),
                            ("" if key in required else "; optional") + default(value),
                        )
                        for key, value in inner
                    ],
                )


def parameters(method):
    for parameter in method["params"]:
        schema = parameter["schema"]
        note = "" if parameter.get("required") else default(schema) or "; optional"
        yield parameter["name"], schema, parameter.get("summary", ""), note


def results(method, schemas):
    for name, schema in schemas.members(method["result"]["schema"]):
        yield name, schema, schemas.resolved(schema).get("description", ""), ""


def notes(method):
    found = []
    if method.get("x-role") == "admin":
        found.append("For administrators only.")
    takes = method.get("x-takes-fds", {})
    if takes.get("maximum"):
        least, most = takes["minimum"], takes["maximum"]
        found.append(f"Takes {least if least == most else f'{least} to {most}'} descriptor{'s' if most > 1 else ''}.")
    if method.get("x-returns-fds"):
        found.append("Descriptors come with the reply.")
    return " ".join(found)


def refused(method):
    """What a method can be refused with: the code or errno, the reason, and when."""
    for error in method["errors"]:
        data = error["data"]
        name = "-32602" if error["code"] == -32602 else data["errno"]
        for reason in data["reasons"]:
            yield name, reason["reason"], reason["text"]


def general(document):
    """Mistakes in parameters that many methods are refused with in the same words."""
    counts = collections.Counter(found for method in document["methods"] for found in refused(method))
    return [found for found, count in counts.items() if found[0] == "-32602" and count > 5]


def describe(page, schemas, method, left_out):
    page.part(method["name"])
    page.paragraph(" ".join([method["summary"], notes(method)]))
    for title, fields in (("Parameters", parameters(method)), ("Result", results(method, schemas))):
        fields = list(fields)
        if fields:
            page.paragraph(f"{title}:")
            with page.indented():
                members(page, schemas, fields)
    own = [found for found in refused(method) if found not in left_out]
    if own:
        page.paragraph("Refused with:")
        with page.indented():
            for name, reason, text in own:
                page.item(f"{name} `{reason}`", text)


def page(document, stamp):
    made = Page("iommud-rpc", 7, "the methods of iommud", stamp)
    schemas = Schemas(document)
    made.section("DESCRIPTION")
    for text in PROTOCOL:
        made.paragraph(text)
    left_out = general(document)
    made.section("METHODS")
    for method in document["methods"]:
        describe(made, schemas, method, left_out)
    made.section("EVENTS")
    made.paragraph("Subscribers get notifications called `event`. What `params` says depends on its `kind`:")
    for kind, reference in schemas.resolved({"$ref": "#/Event"})["discriminator"]["mapping"].items():
        schema = schemas.resolved({"$ref": reference})
        made.part(kind)
        made.paragraph(schema.get("description", ""))
        fields = [(name, value, value.get("description", ""), "") for name, value in schema["properties"].items()]
        members(made, schemas, [field for field in fields if field[0] != "kind"])
    made.section("ERRORS")
    made.paragraph("Besides what each method can be refused with:")
    for name, reason, text in left_out:
        made.item(f"{name} `{reason}`", text)
    for error in document["components"]["errors"].values():
        for reason in error["data"]["reasons"]:
            made.item(f"{error['code']} `{reason['reason']}`", reason["text"])
    made.see(("iommuctl", 1), ("iommud", 8))
    return made.text
