import IOMMU
import IOMMUObjects

/// What others are told of address spaces, bonds and queues.
extension SVASession {
    func listing() -> ObjectListing {
        mms.listing { Self.describe($1) } + bonds.listing { Self.describe($1) } + queues.listing { Self.describe($1) }
    }

    private static func describe(_ handle: AddressSpaceHandle) -> ObjectDescription {
        var state: [IOMMUError.Member] = [
            .init("state", .text(handle.space.isLive ? "live" : "exited")),
            .init("source", .text(handle.space.isSynthetic ? "synthetic" : "process")),
        ]
        if let pid = handle.space.pid { state.append(.init("pid", .number(UInt64(pid)))) }
        if let pasid = handle.space.pasid { state.append(.init("pasid", .number(UInt64(pasid)))) }
        return ObjectDescription(kind: "mm", id: handle.id, users: handle.bonds, state: state)
    }

    private static func describe(_ bond: Bond) -> ObjectDescription {
        ObjectDescription(
            kind: "bond", id: bond.id, users: bond.users,
            refersTo: (bond.deviceID.map { [.init(kind: "device", id: $0)] } ?? [])
                + [.init(kind: "mm", id: bond.handle.id)],
            state: [
                .init("pasid", .number(UInt64(bond.pasid))), .init("asid", .number(UInt64(bond.asid))),
                .init("state", .text(bond.state)),
            ]
        )
    }

    private static func describe(_ queue: AcceleratorQueue) -> ObjectDescription {
        ObjectDescription(
            kind: "queue", id: queue.id, users: 0,
            refersTo: [
                .init(kind: "bond", id: queue.bond.id), .init(kind: "mm", id: queue.bond.handle.id),
            ],
            state: [
                .init("state", .text(queue.state.rawValue)), .init("device", .text(queue.bond.device.name)),
                .init("pasid", .number(UInt64(queue.bond.pasid))),
            ]
        )
    }

    // MARK: Events

    func announce(_ bond: Bond, state: String) {
        context.emit(
            .bond(
                BondEvent(
                    bond: bond.id, device: bond.deviceID, name: bond.device.name, mm: bond.handle.id,
                    pasid: bond.pasid, state: state)))
    }

    func announce(_ queue: AcceleratorQueue, reason: Reason) {
        context.emit(
            .queue(
                QueueEvent(
                    queue: queue.id, name: queue.bond.device.name, mm: queue.bond.handle.id, state: queue.state,
                    reason: reason)))
    }
}

extension Bond {
    /// "live", "quiesced", or "gone" once the device has been taken away.
    package var state: String { attachment == nil ? "gone" : space.isLive ? "live" : "quiesced" }
}
