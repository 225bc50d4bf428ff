/// The type of a parameter in a declaration: `m.param("iova", .address, "…")`.
public struct ParamType<Value: ParameterValue> {
    let make: (SlotAllocator) -> (TypeSchema, Value.Shape)

    fileprivate init(_ make: @escaping (SlotAllocator) -> (TypeSchema, Value.Shape)) { self.make = make }
}

extension ParamType where Value.Shape == Void {
    fileprivate init(_ schema: TypeSchema) { self.init { _ in (schema, ()) } }
}

/// Hands out the slots of one method.
final class SlotAllocator {
    private(set) var count = 0

    func next() -> Int {
        defer { count += 1 }
        return count
    }
}

extension ParamType where Value == UInt64 {
    /// A 64-bit address, length or word: an integer or a `"0x…"` string.
    public static var address: ParamType { .init(.unsigned(0...UInt64.max)) }

    /// A 64-bit number: an integer or a `"0x…"` string. Outside `range` the call is refused with EINVAL.
    public static func unsigned(_ range: ClosedRange<UInt64> = 0...UInt64.max) -> ParamType {
        .init(.unsigned(range))
    }
}

extension ParamType where Value == UInt32 {
    /// An object id: an integer or a `"0x…"` string. One above 32 bits cannot exist: it is read as 0xffffffff, which is
    /// never allocated.
    public static var id: ParamType { .init(.id) }

    /// A number of at most 32 bits: an integer or a `"0x…"` string. Outside `range` the call is refused with EINVAL.
    public static func count(_ range: ClosedRange<UInt32> = 0...UInt32.max) -> ParamType {
        .init(.unsigned(UInt64(range.lowerBound)...UInt64(range.upperBound)))
    }
}

extension ParamType where Value == Bool {
    /// `true` or `false`.
    public static var bool: ParamType { .init(.bool) }
}

extension ParamType where Value == String {
    /// Text. Longer than `maximumBytes` of UTF-8, or against `pattern`, the call is refused with EINVAL.
    public static func string(maximumBytes: Int = 4096, pattern: StringPattern? = nil) -> ParamType {
        .init(.string(maximumBytes: maximumBytes, pattern: pattern))
    }
}

extension ParamType where Value: ParameterChoice {
    /// One of the cases of an enum; another string is a mistake in the parameter (-32602).
    public static func choice(_ type: Value.Type) -> ParamType {
        .init(.choice(type.allCases.map(\.rawValue)))
    }
}

extension ParamType where Value == Flags {
    /// An array of names out of at most 32, where one given twice counts once; another string is a mistake in the
    /// parameter (-32602).
    public static func flags(_ names: [String]) -> ParamType {
        precondition(names.count <= 32, "at most 32 flags")
        return .init(.flags(names))
    }
}

extension ParamType where Value == EncodedBytes {
    /// Base64. More than `maximumBytes` decoded bytes are refused with EINVAL.
    public static func base64(maximumBytes: Int = 1 << 20) -> ParamType {
        .init(.base64(maximumBytes: maximumBytes))
    }
}

extension ParamType where Value == NameOrID {
    /// A string, which is a name, or an object id, which is an integer.
    public static var nameOrID: ParamType { .init(.nameOrID) }
}

extension ParamType where Value == JSONValue {
    /// Any value, as a tree.
    public static var any: ParamType { .init(.any) }
}

extension ParamType where Value == IntegerPair {
    /// An array of two integers. Another number of them is refused with EINVAL.
    public static func pair(of element: ParamType<UInt64>) -> ParamType {
        .init { slots in (.array(element.make(slots).0, count: 2...2), ()) }
    }
}

extension ParamType {
    /// An array. Another number of elements than `count` allows is refused with EINVAL.
    public static func array<Element>(
        of element: ParamType<Element>, count: ClosedRange<Int> = 0...1_000_000
    ) -> ParamType where Value == List<Element> {
        .init { slots in
            let (schema, shape) = element.make(slots)
            return (.array(schema, count: count), shape)
        }
    }

    /// An object whose members `body` declares; `body` returns them in a type of its own to read them by.
    public static func object<Fields>(_ body: @escaping (ParameterBuilder) -> Fields) -> ParamType
    where Value == Object<Fields> {
        .init { slots in
            let builder = ParameterBuilder(slots)
            let fields = body(builder)
            return (.object(builder.fields), fields)
        }
    }
}

/// Declares the parameters of a method, or the members of an object parameter.
public final class ParameterBuilder {
    private let slots: SlotAllocator
    private(set) var fields: [FieldSchema] = []

    init(_ slots: SlotAllocator) { self.slots = slots }

    /// A parameter that has to be there.
    public func param<Value>(_ name: StaticString, _ type: ParamType<Value>, _ doc: String) -> Param<Value> {
        let (schema, shape) = type.make(slots)
        return Param(slot: add(name, schema, required: true, doc: doc), shape: shape)
    }

    /// A parameter that means `default` when it is absent or `null`.
    public func param<Value: DefaultableParameter>(
        _ name: StaticString, _ type: ParamType<Value>, default value: Value, _ doc: String
    ) -> Param<Value> {
        let (schema, shape) = type.make(slots)
        return Param(slot: add(name, schema, default: value, doc: doc), shape: shape)
    }

    /// A parameter that may be absent or `null`: both read as `nil`.
    public func optional<Value>(_ name: StaticString, _ type: ParamType<Value>, _ doc: String) -> Param<Value?> {
        let (schema, shape) = type.make(slots)
        return Param(slot: add(name, schema, required: false, doc: doc), shape: shape)
    }

    private func add(_ name: StaticString, _ type: TypeSchema, required: Bool, doc: String) -> Int {
        let slot = slots.next()
        fields.append(FieldSchema(name, type, required: required, slot: slot, doc: doc))
        return slot
    }

    private func add(
        _ name: StaticString, _ type: TypeSchema, default value: some DefaultableParameter, doc: String
    ) -> Int {
        let slot = slots.next()
        fields.append(
            FieldSchema(
                name, type, required: false, defaultValue: value.documented, defaultBits: value.slotBits, slot: slot,
                doc: doc))
        return slot
    }
}
