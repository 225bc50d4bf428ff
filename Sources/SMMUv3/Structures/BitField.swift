extension UInt64 {
    /// The field at bits `[high:low]`, right-aligned.
    @inlinable
    @inline(__always)
    func bits(_ high: Int, _ low: Int) -> UInt64 {
        (self &>> UInt64(low)) & (~0 &>> UInt64(63 &- (high &- low)))
    }

    /// One bit.
    @inlinable
    @inline(__always)
    func bit(_ position: Int) -> Bool {
        (self &>> UInt64(position)) & 1 != 0
    }

    /// Replaces the field at bits `[high:low]`; excess bits of `value` are dropped.
    @inlinable
    @inline(__always)
    mutating func setBits(_ high: Int, _ low: Int, _ value: UInt64) {
        let mask: UInt64 = (~0 &>> UInt64(63 &- (high &- low))) &<< UInt64(low)
        self = (self & ~mask) | ((value &<< UInt64(low)) & mask)
    }

    /// Replaces one bit.
    @inlinable
    @inline(__always)
    mutating func setBit(_ position: Int, _ value: Bool) {
        setBits(position, position, value ? 1 : 0)
    }
}

/// One field of a structure, command, record or register as a decoded listing shows it.
public struct DecodedField: Equatable, Sendable {
    /// The name in IHI 0070.
    public let name: StaticString
    /// The value, right-aligned; of an address field the whole byte address.
    public let value: UInt64
    /// Width of the field in bits, 64 for an address field.
    public let width: Int

    /// - Parameters:
    ///   - name: the field's name in IHI 0070.
    ///   - value: its value, right-aligned.
    ///   - width: its width in bits.
    public init(_ name: StaticString, _ value: UInt64, width: Int = 64) {
        self.name = name
        self.value = value
        self.width = width
    }

    public static func == (lhs: DecodedField, rhs: DecodedField) -> Bool {
        lhs.value == rhs.value && lhs.width == rhs.width && lhs.name.description == rhs.name.description
    }
}

/// Where a field lies in a structure of several 64-bit words; no field crosses a word.
struct FieldLayout: Sendable {
    let name: StaticString
    let high: Int
    let low: Int
    let isAddress: Bool

    init(_ name: StaticString, _ high: Int, _ low: Int, isAddress: Bool = false) {
        self.name = name
        self.high = high
        self.low = low
        self.isAddress = isAddress
    }

    /// Decodes this field out of the structure's words.
    func decode(_ words: [UInt64]) -> DecodedField {
        let value = words[low / 64].bits(high % 64, low % 64)
        if isAddress {
            return DecodedField(name, value << UInt64(low % 64))
        }
        return DecodedField(name, value, width: high - low + 1)
    }
}
