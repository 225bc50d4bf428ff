import IOMMU
import SMMUv3

/// A device's request for a page that software may resolve: a stalled transaction or a PRI page request.
package struct DriverFault: Sendable, Equatable {
    /// What to answer.
    package enum Tag: Sendable, Hashable {
        /// The STAG of a stalled transaction (IHI 0070, 3.12.2), for CMD_RESUME.
        case stall(streamID: UInt32, stag: UInt16)
        /// One answer for the whole group.
        case pri(streamID: UInt32, pasid: UInt32?, group: UInt16)
    }

    /// What the access wanted to do; of a page request the bits of its record in the PRI queue (IHI 0070, 8).
    package struct Permissions: OptionSet, Sendable, Hashable {
        /// One bit each.
        package let rawValue: UInt8

        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// Reading.
        package static let read = Permissions(rawValue: 1)
        /// Writing.
        package static let write = Permissions(rawValue: 2)
        /// Fetching instructions.
        package static let execute = Permissions(rawValue: 4)
        /// With privilege.
        package static let privileged = Permissions(rawValue: 8)
    }

    /// The SubstreamID; nil for an access without one.
    package var pasid: UInt32?
    /// Input address; of a page request the page.
    package var address: UInt64
    /// What the page is wanted for.
    package var permissions: Permissions
    /// The last of its group: answering is due.
    package var last: Bool
    /// Of a page request its PRGIndex; of a stall its STAG.
    package var groupID: UInt32
    /// What an answer names.
    package var tag: Tag
    /// The record of a stall.
    package var record: EventRecord?

    /// Of these parts.
    package init(
        pasid: UInt32?, address: UInt64, permissions: Permissions, last: Bool, groupID: UInt32, tag: Tag,
        record: EventRecord? = nil
    ) {
        (self.pasid, self.address, self.permissions) = (pasid, address, permissions)
        (self.last, self.groupID, self.tag, self.record) = (last, groupID, tag, record)
    }
}

/// What an SMMU reports, decoded; calls come from ``SMMUDriver/service()``.
package protocol SMMUDriverEvents: AnyObject {
    /// Answer with ``SMMUDriver/respond(to:success:)``, at once or later.
    func driver(_ driver: SMMUDriver, fault: DriverFault, from master: Master)
    /// Anything else that was recorded; `master` is nil for a StreamID without device.
    func driver(_ driver: SMMUDriver, event: EventRecord, cause: FaultCause?, from master: Master?)
    /// What lies behind an event, as far as is known; asked before it is told.
    func driver(_ driver: SMMUDriver, causeOf event: EventRecord, from master: Master?) -> FaultCause?
}
