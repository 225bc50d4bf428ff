import DequeModule
import IOMMU

/// One page request group, or one stalled access: what is answered with one cookie.
final class FaultGroup {
    let device: DeviceObject
    let pasid: UInt32?
    let hwpt: HWPT
    /// In the order they came; all but the last without `last`.
    var faults: [DeviceFault]
    /// 0 until it has been read.
    var cookie: UInt32 = 0

    init(device: DeviceObject, pasid: UInt32?, hwpt: HWPT, faults: [DeviceFault]) {
        self.device = device
        self.pasid = pasid
        self.hwpt = hwpt
        self.faults = faults
    }

    func answer(success: Bool) {
        guard let last = faults.last else { return }
        device.device.port.respond(to: last.token, success: success)
    }
}

/// A queue of page faults that a client answers.
package final class FaultQueue: SessionObject {
    /// Faults, counted in the groups that wait to be read or answered.
    let depth: Int
    var hwptCount = 0
    private var waiting = Deque<FaultGroup>()
    /// Page request groups whose last request has not come yet.
    private var partial: [FaultGroup] = []
    /// Read and not answered, by cookie: lowest free from 1.
    private var outstanding = IDTable<FaultGroup>()
    private var faultCount = 0

    init(depth: Int) {
        self.depth = depth
        super.init(.fault)
    }

    /// The hwpts that it serves.
    package override var users: Int { hwptCount }
    override var state: [IOMMUError.Member] {
        [
            .init("waiting", .number(UInt64(waiting.count))),
            .init("outstanding", .number(UInt64(outstanding.count))),
        ]
    }

    // MARK: From the device

    /// - Returns: whether a group became readable; a fault that finds no room is answered with failure.
    func deliver(_ fault: DeviceFault, device: DeviceObject, hwpt: HWPT) -> Bool {
        let known = partial.firstIndex {
            $0.device === device && $0.pasid == fault.pasid && $0.faults.first?.groupID == fault.groupID
        }
        guard faultCount < depth else {
            if fault.last {
                known.map { discard(partial.remove(at: $0)) }
                device.device.port.respond(to: fault.token, success: false)
            }
            return false
        }
        faultCount += 1
        let group: FaultGroup
        if let known {
            group = fault.last ? partial.remove(at: known) : partial[known]
            group.faults.append(fault)
        } else {
            group = FaultGroup(device: device, pasid: fault.pasid, hwpt: hwpt, faults: [fault])
            if !fault.last { partial.append(group) }
        }
        if fault.last { waiting.append(group) }
        return fault.last
    }

    private func discard(_ group: FaultGroup) { faultCount -= group.faults.count }

    // MARK: To the client

    /// Whole groups only. `EINVAL` if not even the first group fits.
    func read(max: Int) throws(IOMMUError) -> [PageFault] {
        var taken: [PageFault] = []
        while let group = waiting.first {
            guard group.faults.count <= max - taken.count else {
                guard taken.isEmpty else { break }
                throw IOMMUError(
                    .EINVAL, .groupDoesNotFit,
                    "the next fault group of fault queue \(id) has \(group.faults.count) faults, more than \(max)",
                    hint: "read with a larger max",
                    ["fault": .number(UInt64(id)), "needed": .number(UInt64(group.faults.count))])
            }
            _ = waiting.popFirst()
            group.cookie = outstanding.insert(group)
            taken.append(contentsOf: group.faults.map { describe($0, of: group) })
        }
        return taken
    }

    private func describe(_ fault: DeviceFault, of group: FaultGroup) -> PageFault {
        PageFault(
            device: group.device.id, pasid: fault.pasid, groupID: fault.groupID, permissions: fault.permissions.names,
            address: fault.address, length: 0, cookie: group.cookie, last: fault.last)
    }

    /// `EINVAL` for a cookie that is not outstanding; the responses before it stand.
    func respond(_ responses: [FaultResponse]) throws(IOMMUError) -> Int {
        for (handled, response) in responses.enumerated() {
            guard let group = outstanding.remove(response.cookie) else {
                throw IOMMUError(
                    .EINVAL, .unknownCookie, "no fault waits for an answer with cookie \(response.cookie)",
                    hint: "each cookie of fault.read is answered once; a detach answers the rest",
                    [
                        "fault": .number(UInt64(id)), "cookie": .number(UInt64(response.cookie)),
                        "handled": .number(UInt64(handled)),
                    ])
            }
            discard(group)
            group.answer(success: response.success)
        }
        return responses.count
    }

    // MARK: Endings

    /// Answers with "invalid" whatever the device has open here through `hwpt`, read or not; through a guest's stage 1
    /// also what the guest's own PASIDs have.
    func failAll(of device: Device, pasid: UInt32?, hwpt: HWPT) {
        let concerns = { (group: FaultGroup) in
            group.device.device === device && group.hwpt === hwpt && (hwpt.isNested || group.pasid == pasid)
        }
        for group in partial.filter(concerns) { discard(group) }
        partial.removeAll(where: concerns)
        var ended = waiting.filter(concerns)
        waiting.removeAll(where: concerns)
        for (cookie, group) in outstanding.all where concerns(group) {
            outstanding.remove(cookie)
            ended.append(group)
        }
        for group in ended {
            discard(group)
            group.answer(success: false)
        }
    }
}

extension DeviceFault.Permissions {
    /// As `IOMMU_PGFAULT_PERM_*` are spelled.
    fileprivate var names: [String] {
        let all: [(DeviceFault.Permissions, String)] = [
            (.read, "read"), (.write, "write"), (.execute, "exec"), (.privileged, "priv"),
        ]
        return all.filter { contains($0.0) }.map(\.1)
    }
}
