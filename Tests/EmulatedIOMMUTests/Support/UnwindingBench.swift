import IOMMU
import LinuxIO
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// A laboratory in which every source of tags and tables can be made to fail, and its whole state be compared.
final class UnwindingBench {
    let laboratory: Laboratory
    let point: FailurePoint

    static let pair = ["0000:07:00.0", "0000:07:00.1"]
    static let wide = "0000:05:00.0"

    var context: ObjectContext { laboratory.context }
    var backend: EmulatedBackend { laboratory.backend }

    /// Sizes of command queues, log2: the smallest that the architecture has, and the largest that the driver takes.
    static let slotBits = [0, 1, 4, 10]

    /// - Parameters:
    ///   - slotBits: log2 of the entries of each command queue.
    ///   - length: how long what fails keeps failing.
    ///   - devices: besides those of the laboratory and the pair.
    init(slotBits: Int = 10, _ length: FailureLength = .once, devices: [DeviceDescription] = []) throws {
        let point = FailurePoint(length)
        self.point = point
        laboratory = try Laboratory {
            FailingPages($0, point)
        } change: { topology in
            for (index, name) in Self.pair.enumerated() {
                topology.devices.append(Self.member(name, 0x700 + UInt32(index)))
            }
            topology.devices += devices
            for index in topology.smmus.indices { topology.smmus[index].commandQueueBits = slotBits }
        }
        for smmu in laboratory.backend.smmus {
            smmu.driver.asids = FailingTags(smmu.driver.asids, point)
            smmu.driver.vmids = FailingTags(smmu.driver.vmids, point)
        }
        let sva = laboratory.backend.sva
        sva.pasids = FailingTags(sva.pasids, point)
        sva.cpuASIDs = FailingTags(sva.cpuASIDs, point)
    }

    /// A device of the group of two.
    static func member(_ name: String, _ streamID: UInt32) -> DeviceDescription {
        var device = Laboratory.device(name, streamID, pasidBits: 12, stall: true)
        device.group = "pair"
        return device
    }

    // MARK: State

    /// Everything that a client, or the next operation, could tell a difference by.
    var state: [String] { describe(withAddresses: true) }

    /// The same without where the tables lie, which depends on what else lies in table memory.
    var stateWithoutAddresses: [String] { describe(withAddresses: false) }

    private func describe(withAddresses: Bool) -> [String] {
        var lines = context.objects().map { "\($0)" }
        lines.append("charged \(Account.Resource.allCases.map { laboratory.account.used($0) })")
        lines.append("mapped \(context.mappedBytes), bonds \(context.emulated.bonds())")
        for (id, memory) in context.memories.all { lines.append("memory \(id) used \(memory.mappings)") }
        for object in context.table.all { lines += describe(object) }
        for device in backend.devices { lines += describe(device, withAddresses) }
        for space in backend.sva.all.values.sorted(by: { $0.ticket.key < $1.ticket.key }) {
            lines.append(
                "space \(space.pasid ?? 0) \(space.cpuASID ?? 0) \(space.views.count) \(space.attachments.count)")
            for view in space.views {
                lines.append("view of \(view.users), \(view.domain.userCount): \(view.domain.table.leaves)")
            }
        }
        lines.append("windows on processes \(backend.sva.windows.count)")
        lines.append("PASIDs \(describe(backend.sva.pasids)), CPU ASIDs \(describe(backend.sva.cpuASIDs))")
        for smmu in backend.smmus {
            lines.append("ASIDs \(describe(smmu.driver.asids)), VMIDs \(describe(smmu.driver.vmids))")
            let domains = smmu.driver.stage1Domains.map { [$0.key, $0.value.tag] }.sorted { $0[0] < $1[0] }
            lines.append("domains by ASID \(domains)")
        }
        return lines
    }

    /// What the description for clients leaves out: every leaf of the tables, every area.
    private func describe(_ object: SessionObject) -> [String] {
        switch object {
        case let hwpt as PagingHWPT:
            let domain = hwpt.smmuDomain
            return [
                "hwpt \(hwpt.id) \(domain.tag) \(domain.userCount) \(domain.table.leaves)",
                "\(domain.table.audit() ?? "sound")",
            ]
        case let ioas as IOAS:
            var lines = ["ioas \(ioas.id) usable \(ioas.usable), \(ioas.hwpts.map(\.id))"]
            var position = ioas.areas.first(endingAtOrAfter: 0)
            while let current = position {
                lines.append("\(current.area)")
                position = current.next
            }
            return lines
        default: return []
        }
    }

    private func describe(_ device: EmulatedDevice, _ withAddresses: Bool) -> [String] {
        var lines = ["\(device.name) pasids \(device.device.sharedPASIDs.sorted()) queues \(device.openQueues)"]
        lines.append("driver \(device.master.pasidAttachments.keys.sorted()) \(device.master.attachment.isBlocked)")
        lines.append("bound \(device.device.boundBy != nil), group owned \(device.group.owner != nil)")
        for streamID in device.description.streamIDs {
            var entry = device.smmu.smmu.lookupSTE(streamID: streamID)?.words ?? []
            if !withAddresses, entry.count == 8 {
                // S1ContextPtr, S2TTB
                entry[0] &= ~0x000f_ffff_ffff_ffc0
                entry[3] &= ~0x000f_ffff_ffff_fff0
            }
            lines.append("STE \(entry)")
            for substream in [0, 1, 2, 3, 1023, 1024, 40_000] as [UInt32] {
                let found = device.smmu.smmu.lookupCD(streamID: streamID, substreamID: substream)
                var descriptor = found?.words ?? []
                // TTB0
                if !withAddresses, descriptor.count == 8 { descriptor[1] &= ~0x000f_ffff_ffff_fff0 }
                lines.append("CD \(substream) \(descriptor)")
            }
        }
        return lines
    }

    /// How many are given out, and the one that would be next.
    private func describe(_ tags: any TagSource) -> String {
        let inUse = ((tags as? FailingTags)?.base as? TagAllocator)?.inUse
        guard let tag = try? tags.take() else { return "none of \(inUse ?? -1)" }
        tags.release(tag)
        return "\(inUse ?? -1), next \(tag)"
    }

    /// Bytes of tables that something uses: the drivers' stocks of empty ones are given back first.
    func tableBytes() -> UInt64 {
        for smmu in backend.smmus {
            let memory = smmu.driver.memory
            // Refuses the first allocation, which is where the stock ends.
            point.arm(after: 0)
            while (try? memory.reserve(1)) != nil { memory.release(memory.take(), bytes: memory.tableBytes) }
        }
        point.disarm()
        return backend.machine.tableBytes
    }

    // MARK: Failures

    /// Fails the operation at its first use, at its second, and so on until nothing of it is left to fail. A refusal
    /// that the operation swallows is a mistake: it went on without something that it asked for.
    ///
    /// - Parameters:
    ///   - refusal: what the client hears of it; what was injected, if nil.
    ///   - check: what has to work after each failure.
    /// - Returns: at how many points it failed.
    func failEverywhere(
        as refusal: Errno? = nil, _ operation: () throws -> Void, check: () throws -> Void = {}
    ) throws -> Int {
        let before = state
        let bytes = tableBytes()
        for uses in 0..<400 {
            point.arm(after: uses)
            defer { point.disarm() }
            do {
                try operation()
                #expect(!point.hasFired, "it went on after the failure at use \(uses)")
                return uses
            } catch let error as IOMMUError {
                point.disarm()
                #expect(refusal.map { error.errno == $0 } ?? (error.reason == .injected), "\(error)")
                #expect(state == before, "after a failure at use \(uses)")
                #expect(tableBytes() == bytes, "tables after a failure at use \(uses)")
                try check()
            }
        }
        Issue.record("it never succeeded")
        return 400
    }

    /// Expects the operation to be refused, without a trace, to a user who may not hold one object more.
    func refuseForQuota(_ operation: () throws -> Void) {
        let (before, bytes) = (state, tableBytes())
        laboratory.account.setLimit(laboratory.account.used(.objects), of: .objects)
        #expect(refusal(operation)?.errno == .EDQUOT)
        laboratory.account.setLimit(.max, of: .objects)
        #expect(state == before)
        #expect(tableBytes() == bytes)
    }
}
