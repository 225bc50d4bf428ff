"""The document of `rpc.discover` as the generators see it: methods, and records for every object in it."""
import dataclasses
import re

HEXADECIMAL = "^0x(0|[1-9a-f][0-9a-f]{0,15})$"


@dataclasses.dataclass(frozen=True)
class Type:
    """One type: `kind` says which, the others what it consists of.

    bool, integer, optional-integer, number, string, hex, unsigned, bytes, name-or-id, any: nothing more.
    choice: words, and a name for all of them. list: element, and count where that is fixed. map: element.
    record: record.
    """

    kind: str
    name: str = ""
    words: tuple = ()
    element: "Type | None" = None
    record: "Record | None" = None
    maximum: int = 0
    count: int = 0


@dataclasses.dataclass(frozen=True)
class Field:
    """A parameter, or a member of an object."""

    name: str
    type: Type
    required: bool
    default: object
    doc: str


@dataclasses.dataclass(frozen=True)
class Record:
    """An object with declared members."""

    name: str
    fields: tuple
    doc: str


@dataclasses.dataclass(frozen=True)
class Method:
    """One method. `reply` is None where the result is empty, and a `Type` of kind any where it is free."""

    name: str
    summary: str
    params: tuple
    reply: "Record | Type | None"
    takes: tuple
    returns: bool
    changes: bool
    errors: tuple

    @property
    def subject(self):
        return self.name.partition(".")[0]

    @property
    def verb(self):
        return self.name.partition(".")[2]


def camel(name):
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[._]", name))


def singular(name):
    """What one element of a list is called."""
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name


class Document:
    """All methods, the records in the order in which they can be defined, and the choices in parameters."""

    def __init__(self, document):
        self.version = document["info"]["version"]
        self.records = {}
        self.choices = []
        #: The names of choices of which there can be several, and of records that stand in lists.
        self.flags, self.listed = set(), set()
        self.sent, self.received = set(), set()
        self._schemas = document["components"]["schemas"]
        self.methods = [self._method(method) for method in document["methods"]]
        #: By the kind of event.
        self.events = {
            kind: self._named({"$ref": reference}, "", self.received)
            for kind, reference in self._schemas["Event"]["discriminator"]["mapping"].items()
        }

    def _method(self, method):
        base = camel(method["name"])
        params = tuple(self._parameter(base, parameter) for parameter in method["params"])
        schema = method["result"]["schema"]
        reply = None if "properties" in schema else Type("any")
        if "$ref" in schema:
            reply = self._named(schema, f"What `{method['name']}` answers.", self.received)
        takes = method["x-takes-fds"]
        errors = tuple(
            (error["data"]["errno"], tuple((r["reason"], r["text"]) for r in error["data"]["reasons"]))
            for error in method["errors"]
            if error["code"] != -32602
        )
        return Method(
            name=method["name"],
            summary=method["summary"],
            params=tuple(sorted(params, key=lambda field: not field.required)),
            reply=reply,
            takes=(takes["minimum"], takes["maximum"]),
            returns=method["x-returns-fds"],
            changes=method["x-changes-state"],
            errors=errors,
        )

    def _parameter(self, base, parameter):
        schema = parameter["schema"]
        kind = self._type(base + camel(parameter["name"]), schema, parameter["summary"], self.sent)
        return Field(parameter["name"], kind, parameter["required"], schema.get("default"), parameter["summary"])

    def _named(self, reference, doc, side):
        """The record of a schema that has a name."""
        name = reference["$ref"].rpartition("/")[2]
        schema = self._schemas[name]
        doc = schema.get("description", doc)
        fields = tuple(
            Field(
                member,
                self._type(name.removesuffix("Reply") + camel(member), inner, inner.get("description", ""), side),
                member in schema["required"],
                inner.get("default"),
                inner.get("description", ""),
            )
            for member, inner in schema["properties"].items()
        )
        side.add(name)
        self.records[name] = Record(name, tuple(sorted(fields, key=lambda field: not field.required)), doc)
        return self.records[name]

    def _type(self, name, schema, doc, side):
        if "$ref" in schema:
            return Type("record", record=self._named(schema, doc, side))
        if "oneOf" in schema:
            one = schema["oneOf"][0]
            return Type("name-or-id") if one["type"] == "string" else Type("unsigned", maximum=one["maximum"])
        if "enum" in schema:
            choice = Type("choice", name=name, words=tuple(schema["enum"]))
            if side is self.sent:
                self.choices.append(choice)
            return choice
        kind = schema.get("type")
        if kind == "array":
            low, high = schema.get("minItems"), schema.get("maxItems")
            element = self._type(singular(name), schema["items"], doc, side)
            if element.kind == "choice":
                self.flags.add(element.name)
            if element.kind == "record":
                self.listed.add(element.record.name)
            return Type("list", element=element, count=high if low == high and high else 0)
        if kind == "object":
            return Type("map", element=self._type(name, schema["additionalProperties"], doc, side))
        if kind == "string" and schema.get("contentEncoding") == "base64":
            return Type("bytes")
        if kind == "string" and schema.get("pattern") == HEXADECIMAL:
            return Type("hex")
        if kind == ["integer", "null"]:
            return Type("optional-integer")
        if kind in ("boolean", "integer", "number", "string"):
            return Type("bool" if kind == "boolean" else kind)
        if kind is None:
            return Type("any")
        raise ValueError(f"{name} has a type that is not known: {schema}")
