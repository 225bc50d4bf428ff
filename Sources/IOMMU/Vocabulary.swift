/// An object id of one session: iommufd objects share one space, lowest free from 1; every other kind has its own.
public typealias ObjectID = UInt32

/// What a mapping allows a device to do.
///
/// Public, like ``MapRequest``: only public code is inlined across modules, and there is one for every mapping.
@frozen
public struct Access: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    @inlinable public static var read: Access { Access(rawValue: 1) }
    @inlinable public static var write: Access { Access(rawValue: 2) }
}

/// What one transaction of a device wants.
@frozen
public enum AccessKind: UInt8, Sendable {
    case read
    case write
    case execute

    /// "read", "write" or "execute"
    package var name: String {
        switch self {
        case .read: "read"
        case .write: "write"
        case .execute: "execute"
        }
    }
}

/// A closed range of addresses, so that the last byte of the 64-bit space can be named.
package struct AddressRange: Sendable, Hashable {
    package let start: UInt64
    /// Inclusive; never below `start`.
    package let last: UInt64

    /// - Returns: nil if `last` lies before `start`.
    package init?(start: UInt64, last: UInt64) {
        guard start <= last else { return nil }
        self.start = start
        self.last = last
    }

    /// - Returns: nil for a length of 0 or a range that wraps.
    package init?(start: UInt64, length: UInt64) {
        guard length > 0 else { return nil }
        let (last, wraps) = start.addingReportingOverflow(length - 1)
        guard !wraps else { return nil }
        self.start = start
        self.last = last
    }

    /// Bytes in the range; 0 stands for the whole 64-bit space.
    package var length: UInt64 { last &- start &+ 1 }

    package func overlaps(_ other: AddressRange) -> Bool { start <= other.last && other.start <= last }
    package func contains(_ other: AddressRange) -> Bool { start <= other.start && other.last <= last }
    package func contains(_ address: UInt64) -> Bool { start <= address && address <= last }
}
