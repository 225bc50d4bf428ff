import IOMMU
import SMMUv3

/// A device's request for a page that software may resolve: a stalled transaction or a PRI page request.
package struct DriverFault: Sendable, Equatable {
    /// What to answer.
    package enum Tag: Sendable, Hashable {
        case stall(streamID: UInt32, stag: UInt16)
        /// One answer for the whole group.
        case pri(streamID: UInt32, pasid: UInt32?, group: UInt16)
    }

    package struct Permissions: OptionSet, Sendable, Hashable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        package static let read = Permissions(rawValue: 1)
        package static let write = Permissions(rawValue: 2)
        package static let execute = Permissions(rawValue: 4)
        package static let privileged = Permissions(rawValue: 8)
    }

    package var pasid: UInt32?
    /// Input address; of a page request the page.
    package var address: UInt64
    package var permissions: Permissions
    /// The last of its group: answering is due.
    package var last: Bool
    package var groupID: UInt32
    package var tag: Tag
    /// The record of a stall.
    package var record: EventRecord?

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
    func driver(_ driver: SMMUDriver, event: EventRecord, from master: Master?)
}
