/// A declared parameter: read its value with `call[parameter]`.
public struct Param<Value: ParameterValue> {
    let slot: Int
    let shape: Value.Shape
}

/// What one parameter amounts to after checking.
public struct ParameterSlot {
    /// A scalar's value; the type of an array's elements.
    var bits: UInt64
    /// The value's node; 0 if the parameter is absent.
    var node: UInt32
}

/// A type that a checked parameter can be read as.
public protocol ParameterValue {
    /// What the declaration adds to the type: the members of an object.
    associatedtype Shape = Void
    /// The value of a parameter that has been checked: from its slot, or from the text that the slot points at.
    static func read(_ slot: ParameterSlot, _ source: ParameterSource, _ shape: Shape) -> Self
}

/// A value that can be a parameter's default.
public protocol DefaultableParameter: ParameterValue {
    /// The value as it is kept in a slot.
    var slotBits: UInt64 { get }
    /// The value as the document shows it.
    var documented: JSONValue { get }
}

/// A set of named alternatives: `enum Direction: String, ParameterChoice { case read, write }`.
public protocol ParameterChoice: DefaultableParameter, CaseIterable, RawRepresentable
where RawValue == String, Shape == Void, AllCases == [Self] {}

extension UInt64: DefaultableParameter {
    public static func read(_ slot: ParameterSlot, _ source: ParameterSource, _ shape: Void) -> UInt64 { slot.bits }
    public var slotBits: UInt64 { self }
    public var documented: JSONValue { .count(self) }
}

extension UInt32: DefaultableParameter {
    public static func read(_ slot: ParameterSlot, _ source: ParameterSource, _ shape: Void) -> UInt32 {
        UInt32(truncatingIfNeeded: slot.bits)
    }
    public var slotBits: UInt64 { UInt64(self) }
    public var documented: JSONValue { .count(UInt64(self)) }
}

extension Bool: DefaultableParameter {
    public static func read(_ slot: ParameterSlot, _ source: ParameterSource, _ shape: Void) -> Bool { slot.bits != 0 }
    public var slotBits: UInt64 { self ? 1 : 0 }
    public var documented: JSONValue { .bool(self) }
}

extension ParameterChoice {
    public static func read(_ slot: ParameterSlot, _ source: ParameterSource, _ shape: Void) -> Self {
        allCases[Int(slot.bits)]
    }
    public var slotBits: UInt64 { UInt64(Self.allCases.firstIndex { $0.rawValue == rawValue } ?? 0) }
    public var documented: JSONValue { .string(rawValue) }
}

extension Optional: ParameterValue where Wrapped: ParameterValue {
    public typealias Shape = Wrapped.Shape
    public static func read(_ slot: ParameterSlot, _ source: ParameterSource, _ shape: Wrapped.Shape) -> Wrapped? {
        slot.node == 0 ? nil : Wrapped.read(slot, source, shape)
    }
}

extension String: ParameterValue {
    public static func read(_ slot: ParameterSlot, _ source: ParameterSource, _ shape: Void) -> String {
        String(decoding: source.text(of: slot.node), as: UTF8.self)
    }
}

extension JSONValue: ParameterValue {
    public static func read(_ slot: ParameterSlot, _ source: ParameterSource, _ shape: Void) -> JSONValue {
        slot.node == 0 ? .null : JSONValue(source.nodes, source.text, at: Int(slot.node))
    }
}

/// A set of declared names: bit i stands for the i-th name.
public struct Flags: DefaultableParameter, Equatable, Sendable {
    /// Bit i is set if the i-th name was given.
    public let bits: UInt32

    /// A set of bits.
    public init(bits: UInt32) { self.bits = bits }

    public static func read(_ slot: ParameterSlot, _ source: ParameterSource, _ shape: Void) -> Flags {
        Flags(bits: UInt32(truncatingIfNeeded: slot.bits))
    }
    public var slotBits: UInt64 { UInt64(bits) }
    /// Names are not known here: only the empty set is shown.
    public var documented: JSONValue { bits == 0 ? .array([]) : .null }
}

/// Something called by name or by id.
public enum NameOrID: ParameterValue, Equatable, Sendable {
    case name(String)
    case id(UInt32)

    public static func read(_ slot: ParameterSlot, _ source: ParameterSource, _ shape: Void) -> NameOrID {
        source.nodes[Int(slot.node)].kind == .string
            ? .name(String.read(slot, source, ())) : .id(UInt32.read(slot, source, ()))
    }
}
