import Glibc

/// Writes JSON values straight into an output buffer.
///
/// A comma goes before each element or member unless the byte before it opened the container, so that a writer needs no
/// state of its own. A writer is only valid during the call that handed it out.
public struct JSONWriter {
    let out: UnsafeMutablePointer<ByteBuffer>

    init(_ out: UnsafeMutablePointer<ByteBuffer>) { self.out = out }

    // MARK: Scalars

    /// Writes `null`.
    public func null() { out.pointee.append("null") }

    /// Writes `true` or `false`.
    public func bool(_ value: Bool) { out.pointee.append(value ? "true" : "false") }

    /// Writes a plain integer.
    public func integer(_ value: UInt64) {
        out.pointee.reserve(20)
        JSONDigits.decimal(value, &out.pointee)
    }

    /// Writes a plain integer.
    public func integer(_ value: Int) {
        if value < 0 { out.pointee.append(UInt8(ascii: "-")) }
        integer(UInt64(value.magnitude))
    }

    /// Writes a lower-case `"0x…"` string.
    public func hex(_ value: UInt64) {
        out.pointee.reserve(20)
        JSONDigits.quotedHexadecimal(value, &out.pointee)
    }

    /// Writes lower-case `"0x…"` strings with commas between them; at least one.
    func hex(_ values: [UInt64]) {
        out.pointee.reserve(values.count &* 21)
        var buffer = out.pointee
        for value in values {
            JSONDigits.quotedHexadecimal(value, &buffer)
            buffer.end[0] = UInt8(ascii: ",")
            buffer.count &+= 1
        }
        // No comma after the last one.
        out.pointee.count = buffer.count &- 1
    }

    /// Writes a number with a fraction; `null` if it is not finite.
    public func number(_ value: Double) {
        value.isFinite ? text(unescaped: "\(value)") : null()
    }

    /// Writes a string, escaped as needed.
    public func string(_ value: String) {
        var value = value
        value.withUTF8 { string(utf8: UnsafeRawBufferPointer($0)) }
    }

    /// Writes a string known when the program was written; it must need no escapes.
    public func string(_ value: StaticString) {
        out.pointee.append(UInt8(ascii: "\""))
        out.pointee.append(value)
        out.pointee.append(UInt8(ascii: "\""))
    }

    /// Writes UTF-8 text as a string, escaped as needed.
    public func string(utf8 bytes: UnsafeRawBufferPointer) {
        out.pointee.append(UInt8(ascii: "\""))
        JSONEscaping.append(bytes, to: &out.pointee)
        out.pointee.append(UInt8(ascii: "\""))
    }

    /// Writes bytes as a base64 string.
    public func base64(_ bytes: UnsafeRawBufferPointer) {
        out.pointee.append(UInt8(ascii: "\""))
        Base64.append(bytes, to: &out.pointee)
        out.pointee.append(UInt8(ascii: "\""))
    }

    /// Writes a whole value tree.
    public func value(_ value: JSONValue) {
        switch value {
        case .null: null()
        case .bool(let value): bool(value)
        case .integer(let value): integer(value)
        case .unsigned(let value): integer(value)
        case .number(let value): number(value)
        case .string(let value): string(value)
        case .array(let elements):
            array { for element in elements { $0.element().value(element) } }
        case .object(let members):
            object { for member in members { $0.member(member.key).value(member.value) } }
        }
    }

    // MARK: Containers

    /// Writes an array of what `body` appends.
    public func array(_ body: (JSONArrayWriter) throws -> Void) rethrows {
        out.pointee.append(UInt8(ascii: "["))
        try body(JSONArrayWriter(json: self))
        out.pointee.append(UInt8(ascii: "]"))
    }

    /// Writes an object of what `body` sets.
    public func object(_ body: (JSONObjectWriter) throws -> Void) rethrows {
        out.pointee.append(UInt8(ascii: "{"))
        try body(JSONObjectWriter(json: self))
        out.pointee.append(UInt8(ascii: "}"))
    }

    /// The comma before an element or member, unless it is the first of its container.
    @inline(__always)
    func separate() {
        let last = out.pointee.base[out.pointee.count &- 1]
        if last != UInt8(ascii: "{"), last != UInt8(ascii: "[") { out.pointee.append(UInt8(ascii: ",")) }
    }

    /// A member's name, known when the program was written, and its colon.
    @inline(__always)
    func key(_ name: StaticString) {
        separate()
        out.pointee.append(UInt8(ascii: "\""))
        out.pointee.append(name)
        out.pointee.append("\":")
    }

    private func text(unescaped text: String) {
        var text = text
        text.withUTF8 { utf8 in
            if let base = utf8.baseAddress { out.pointee.append(base, utf8.count) }
        }
    }
}

/// Appends the elements of an array.
public struct JSONArrayWriter {
    let json: JSONWriter

    /// The place of the next element: exactly one value has to be written to it.
    public func element() -> JSONWriter {
        json.separate()
        return json
    }
}

/// Appends the members of an object.
public struct JSONObjectWriter {
    let json: JSONWriter

    /// The place of the value of `key`: exactly one value has to be written to it.
    public func member(_ key: String) -> JSONWriter {
        json.separate()
        json.string(key)
        json.out.pointee.append(UInt8(ascii: ":"))
        return json
    }

    /// The place of the value of `key`, which must need no escapes: exactly one value has to be written to it.
    public func member(_ key: StaticString) -> JSONWriter {
        json.key(key)
        return json
    }
}
