/// Writes the declared fields of a result, or of an object in it, straight into the output.
///
/// Set each required field once, optional ones at most once. Debug builds check every reply against its declaration.
public struct ResultWriter {
    let json: JSONWriter

    @inline(__always)
    private func key(_ name: StaticString) -> JSONWriter {
        json.key(name)
        return json
    }

    /// Writes a `"0x…"` string.
    public func set(_ field: Field<Hex>, _ value: UInt64) { key(field.name).hex(value) }
    /// Writes a plain integer.
    public func set(_ field: Field<Count>, _ value: UInt64) { key(field.name).integer(value) }
    /// Writes a plain integer.
    public func set(_ field: Field<Count>, _ value: UInt32) { key(field.name).integer(UInt64(value)) }
    /// Writes a plain integer.
    public func set(_ field: Field<Count>, _ value: Int) { key(field.name).integer(value) }
    /// Writes a plain integer, or null.
    public func set(_ field: Field<OptionalCount>, _ value: UInt32?) {
        if let value { key(field.name).integer(UInt64(value)) } else { key(field.name).null() }
    }
    /// Writes a truth value.
    public func set(_ field: Field<Bool>, _ value: Bool) { key(field.name).bool(value) }
    /// Writes a number; `null` if it is not finite.
    public func set(_ field: Field<Double>, _ value: Double) { key(field.name).number(value) }
    /// Writes a string.
    public func set(_ field: Field<String>, _ value: String) { key(field.name).string(value) }
    /// Writes a string that needs no escapes.
    public func set(_ field: Field<String>, _ value: StaticString) { key(field.name).string(value) }
    /// Writes bytes as base64.
    public func set(_ field: Field<Bytes>, _ value: UnsafeRawBufferPointer) { key(field.name).base64(value) }
    /// Writes a value tree.
    public func set(_ field: Field<JSONValue>, _ value: JSONValue) { key(field.name).value(value) }

    /// Writes bytes as base64.
    public func set(_ field: Field<Bytes>, _ value: [UInt8]) {
        value.withUnsafeBytes { key(field.name).base64($0) }
    }

    /// Writes the names of the bits that are set.
    public func set(_ field: Field<FlagNames>, bits: UInt32) { key(field.name).names(field.shape, bits) }

    /// Writes an array; `body` appends its elements.
    public func set<Element>(
        _ field: Field<ListOf<Element>>, _ body: (ListWriter<Element>) throws -> Void
    ) rethrows {
        try key(field.name).array { try body(ListWriter(json: $0.json, shape: field.shape)) }
    }

    /// Writes an object; `body` sets its fields.
    public func set<Fields>(
        _ field: Field<ObjectOf<Fields>>, _ body: (ResultWriter, Fields) throws -> Void
    ) rethrows {
        try key(field.name).object { try body(ResultWriter(json: $0.json), field.shape) }
    }

    /// Writes an object with free keys; `body` sets its members.
    public func set<Element>(
        _ field: Field<MapOf<Element>>, _ body: (MapWriter<Element>) throws -> Void
    ) rethrows {
        try key(field.name).object { try body(MapWriter(members: $0, shape: field.shape)) }
    }

    /// Writes a value of a free form straight into the output: exactly one value.
    public func set(_ field: Field<JSONValue>, writing body: (JSONWriter) throws -> Void) rethrows {
        try body(key(field.name))
    }
}

extension JSONWriter {
    func names(_ names: [String], _ bits: UInt32) {
        array { list in
            for (index, name) in names.enumerated() where bits >> UInt32(index) & 1 != 0 {
                list.element().string(name)
            }
        }
    }
}

/// Appends the elements of an array in a result.
public struct ListWriter<Element: ResultKind> {
    let json: JSONWriter
    let shape: Element.Shape

    private var element: JSONWriter {
        json.separate()
        return json
    }

    /// Appends a `"0x…"` string.
    public func append(_ value: UInt64) where Element == Hex { element.hex(value) }
    /// Appends a `"0x…"` string for each.
    public func append(contentsOf values: [UInt64]) where Element == Hex {
        if !values.isEmpty { element.hex(values) }
    }
    /// Appends a plain integer.
    public func append(_ value: UInt64) where Element == Count { element.integer(value) }
    /// Appends a plain integer.
    public func append(_ value: UInt32) where Element == Count { element.integer(UInt64(value)) }
    /// Appends a plain integer.
    public func append(_ value: Int) where Element == Count { element.integer(value) }
    /// Appends a string.
    public func append(_ value: String) where Element == String { element.string(value) }
    /// Appends a truth value.
    public func append(_ value: Bool) where Element == Bool { element.bool(value) }
    /// Appends a value tree.
    public func append(_ value: JSONValue) where Element == JSONValue { element.value(value) }

    /// Appends an object; `body` sets its fields.
    public func append<Fields>(_ body: (ResultWriter, Fields) throws -> Void) rethrows
    where Element == ObjectOf<Fields> {
        try element.object { try body(ResultWriter(json: $0.json), shape) }
    }

    /// Appends an array; `body` appends its elements.
    public func append<Inner>(_ body: (ListWriter<Inner>) throws -> Void) rethrows where Element == ListOf<Inner> {
        try element.array { try body(ListWriter<Inner>(json: $0.json, shape: shape)) }
    }
}

/// Sets the members of an object with free keys in a result.
public struct MapWriter<Element: ResultKind> {
    let members: JSONObjectWriter
    let shape: Element.Shape

    /// Sets a `"0x…"` string.
    public func set(_ key: String, _ value: UInt64) where Element == Hex { members.member(key).hex(value) }
    /// Sets a plain integer.
    public func set(_ key: String, _ value: UInt64) where Element == Count { members.member(key).integer(value) }
    /// Sets a string.
    public func set(_ key: String, _ value: String) where Element == String { members.member(key).string(value) }
    /// Sets a value tree.
    public func set(_ key: String, _ value: JSONValue) where Element == JSONValue { members.member(key).value(value) }

    /// Sets an object; `body` sets its fields.
    public func set<Fields>(_ key: String, _ body: (ResultWriter, Fields) throws -> Void) rethrows
    where Element == ObjectOf<Fields> {
        try members.member(key).object { try body(ResultWriter(json: $0.json), shape) }
    }
}
