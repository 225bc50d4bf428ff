import IOMMU
import JSONRPC

extension ParamType where Value == Flags {
    /// `["read", "write"]`: bits as in ``Access``.
    static var access: ParamType { .flags(["read", "write"]) }
}

extension ParamType where Value == EncodedBytes {
    /// The data of a transfer; `limits.transfer_bytes` says how much of it one call may move.
    static var transfer: ParamType { .base64(maximumBytes: LimitsConfiguration.largestTransferBytes) }
}

extension Flags {
    /// What an absent `access` means.
    static var readWrite: Flags { Flags(bits: UInt32(Access.read.union(.write).rawValue)) }

    /// As a mapping's permissions.
    var access: Access { Access(rawValue: UInt8(truncatingIfNeeded: bits)) }
}

extension Access {
    /// For result fields declared with ``FlagNames`` of "read" and "write".
    var bits: UInt32 { UInt32(rawValue) }
}

/// `{start, last}` in a request.
struct RangeParameters {
    let start: Param<UInt64>
    let last: Param<UInt64>

    static var type: ParamType<Object<RangeParameters>> {
        .object { range in
            RangeParameters(
                start: range.param("start", .address, "First byte."),
                last: range.param("last", .address, "Last byte, inclusive.")
            )
        }
    }
}

/// `{start, last}` in a result.
struct RangeFields {
    let start: Field<Hex>
    let last: Field<Hex>

    static var type: ResultType<ObjectOf<RangeFields>> {
        .object { range in
            RangeFields(
                start: range.result("start", .hex, "First byte."),
                last: range.result("last", .hex, "Last byte, inclusive.")
            )
        }
    }
}

extension ListWriter where Element == ObjectOf<RangeFields> {
    func append(_ range: AddressRange) {
        append { object, fields in
            object.set(fields.start, range.start)
            object.set(fields.last, range.last)
        }
    }
}

/// `EINVAL` `bad_range` if it ends before it starts.
func orderedRange(_ start: UInt64, _ last: UInt64) throws(IOMMUError) -> AddressRange {
    guard let range = AddressRange(start: start, last: last) else {
        throw IOMMUError(
            .EINVAL, .badRange, "the range from \(hexadecimal(start)) to \(hexadecimal(last)) ends before it starts",
            hint: "give its last byte in last, not the one behind it",
            ["start": .hex(start), "last": .hex(last)]
        )
    }
    return range
}
