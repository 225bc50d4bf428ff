import IOMMU
import SMMUv3

/// An event record in the terms of the contract: `data.event` of a refused access, and the `event` of a translation.
package struct EventDescription {
    private let record: EventRecord
    private let address: UInt64

    /// - Parameter address: the first failing byte of the access.
    package init(_ record: EventRecord, address: UInt64) {
        self.record = record
        self.address = address
    }

    /// `"F_TRANSLATION"` and so on; a number the architecture does not know keeps it.
    package var type: String { record.type?.name ?? "EVENT_\(record.number)" }

    /// The members of `event`, in order.
    package var members: [IOMMUError.Member] {
        var members: [IOMMUError.Member] = [
            .init("type", .text(type)), .init("stream_id", .number(UInt64(record.StreamID))),
        ]
        if let substream = record.substream { members.append(.init("substream_id", .number(UInt64(substream)))) }
        members.append(.init("address", .hex(address)))
        if record.type?.isTranslationFault == true {
            members.append(.init("access", .text(record.InD ? "execute" : record.RnW ? "read" : "write")))
            members.append(.init("privileged", .flag(record.PnU)))
            members.append(.init("stage", .number(record.S2 ? 2 : 1)))
            members.append(.init("class", .text(className)))
            if record.S2 { members.append(.init("ipa", .hex(record.IPA))) }
        }
        if record.Stall { members.append(.init("stag", .number(UInt64(record.STAG)))) }
        members.append(.init("record", .words(record.words)))
        return members
    }

    /// The refusal of the access that caused the record.
    package var error: IOMMUError {
        IOMMUError(
            .EFAULT, type.lowercased(), "the SMMU refused the access at \(hexadecimal(address)) with \(type)",
            ["event": .object(members)]
        )
    }

    private var className: String {
        switch EventClass(rawValue: record.CLASS) {
        case .CD: "CD"
        case .TTD: "TTD"
        case .IN: "IN"
        case nil: "reserved"
        }
    }
}

/// `0x…` in lower case.
func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
