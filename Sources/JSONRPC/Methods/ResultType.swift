/// A declared result field: write it with `result.set(field, value)`.
public struct Field<Kind: ResultKind> {
    let name: StaticString
    let shape: Kind.Shape
}

/// What a result field holds.
public protocol ResultKind {
    /// What the declaration adds to the type: the fields of an object, the names of flags.
    associatedtype Shape = Void
}

/// A lower-case `"0x…"` string: addresses, lengths of address ranges, register and descriptor words.
public enum Hex: ResultKind {}
/// A plain integer: counts, ids, bit widths.
public enum Count: ResultKind {}
/// A plain integer, or null where there is none.
public enum OptionalCount: ResultKind {}
/// A base64 string.
public enum Bytes: ResultKind {}
/// An array of names: one for each bit set.
public enum FlagNames: ResultKind { public typealias Shape = [String] }
/// An array.
public enum ListOf<Element: ResultKind>: ResultKind { public typealias Shape = Element.Shape }
/// An object with declared fields.
public enum ObjectOf<Fields>: ResultKind { public typealias Shape = Fields }
/// An object with free keys.
public enum MapOf<Element: ResultKind>: ResultKind { public typealias Shape = Element.Shape }

extension Bool: ResultKind {}
extension String: ResultKind {}
extension Double: ResultKind {}
extension JSONValue: ResultKind {}

/// The type of a result field in a declaration: `m.result("iova", .hex, "…")`.
public struct ResultType<Kind: ResultKind> {
    let schema: TypeSchema
    let shape: Kind.Shape
}

extension ResultType where Kind == Hex {
    /// A lower-case `"0x…"` string.
    public static var hex: ResultType { .init(schema: .hex, shape: ()) }
}

extension ResultType where Kind == Count {
    /// A plain integer.
    public static var count: ResultType { .init(schema: .signed, shape: ()) }
}

extension ResultType where Kind == OptionalCount {
    /// A plain integer, or null where there is none.
    public static var countOrNull: ResultType { .init(schema: .signedOrNull, shape: ()) }
}

extension ResultType where Kind == Bool {
    /// `true` or `false`.
    public static var bool: ResultType { .init(schema: .bool, shape: ()) }
}

extension ResultType where Kind == Double {
    /// A number with a fraction.
    public static var number: ResultType { .init(schema: .number, shape: ()) }
}

extension ResultType where Kind == JSONValue {
    /// Any value.
    public static var any: ResultType { .init(schema: .any, shape: ()) }
}

extension ResultType where Kind == Bytes {
    /// Bytes.
    public static var base64: ResultType { .init(schema: .base64(maximumBytes: .max), shape: ()) }
}

extension ResultType where Kind == String {
    /// Text.
    public static var string: ResultType { .init(schema: .string(maximumBytes: .max, pattern: nil), shape: ()) }

    /// One of a set of names.
    public static func choice(_ names: [String]) -> ResultType { .init(schema: .choice(names), shape: ()) }
}

extension ResultType where Kind == FlagNames {
    /// Those of the names whose bit is set; bit i stands for the i-th name.
    public static func flags(_ names: [String]) -> ResultType { .init(schema: .flags(names), shape: names) }
}

extension ResultType {
    /// An array.
    public static func array<Element>(of element: ResultType<Element>) -> ResultType where Kind == ListOf<Element> {
        .init(schema: .array(element.schema, count: 0...Int.max), shape: element.shape)
    }

    /// An object with free keys.
    public static func map<Element>(of element: ResultType<Element>) -> ResultType where Kind == MapOf<Element> {
        .init(schema: .map(element.schema), shape: element.shape)
    }

    /// An object whose fields `body` declares; `body` returns them in a type of its own to write them by.
    public static func object<Fields>(_ body: (ResultBuilder) -> Fields) -> ResultType
    where Kind == ObjectOf<Fields> {
        let builder = ResultBuilder()
        let fields = body(builder)
        return .init(schema: .object(builder.fields), shape: fields)
    }
}

/// Declares the fields of a result, or of an object in it.
public final class ResultBuilder {
    private(set) var fields: [FieldSchema] = []

    /// A field that every result has.
    public func result<Kind>(_ name: StaticString, _ type: ResultType<Kind>, _ doc: String) -> Field<Kind> {
        add(name, type, required: true, doc)
    }

    /// A field that may be left out.
    public func optionalResult<Kind>(_ name: StaticString, _ type: ResultType<Kind>, _ doc: String) -> Field<Kind> {
        add(name, type, required: false, doc)
    }

    private func add<Kind>(
        _ name: StaticString, _ type: ResultType<Kind>, required: Bool, _ doc: String
    ) -> Field<Kind> {
        fields.append(FieldSchema(name, type.schema, required: required, slot: fields.count, doc: doc))
        return Field(name: name, shape: type.shape)
    }
}
