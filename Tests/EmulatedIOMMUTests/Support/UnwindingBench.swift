import IOMMU
import Testing

@testable import EmulatedIOMMU

/// A laboratory in which every source of tags and tables can be made to fail, and its whole state be compared.
final class UnwindingBench {
    let laboratory: Laboratory
    let point = FailurePoint()

    static let pair = ["0000:07:00.0", "0000:07:00.1"]
    static let wide = "0000:05:00.0"

    var context: EmulatedContext { laboratory.context }
    var backend: EmulatedBackend { laboratory.backend }

    /// - Parameter slots: entries that may wait in a command queue.
    init(slots: UInt32 = 1024) throws {
        laboratory = try Laboratory { topology in
            for (index, name) in Self.pair.enumerated() {
                topology.devices.append(Self.member(name, 0x700 + UInt32(index)))
            }
        }
        for smmu in laboratory.backend.smmus {
            smmu.driver.asids = FailingTags(smmu.driver.asids, point)
            smmu.driver.vmids = FailingTags(smmu.driver.vmids, point)
            smmu.driver.queue.slots = slots
        }
        let sva = laboratory.backend.sva
        sva.pasids = FailingTags(sva.pasids, point)
        sva.cpuASIDs = FailingTags(sva.cpuASIDs, point)
        laboratory.backend.machine.allocationCheck = { [point] _ throws(IOMMUError) in try point.use() }
    }

    /// A device of the group of two.
    static func member(_ name: String, _ streamID: UInt32) -> DeviceDescription {
        var device = Laboratory.device(name, streamID, pasidBits: 12, stall: true)
        device.group = "pair"
        return device
    }

    // MARK: State

    /// Everything that a client, or the next operation, could tell a difference by.
    var state: [String] {
        var lines = context.objects().map { "\($0)" }
        lines.append("charged \(Account.Resource.allCases.map { laboratory.account.used($0) })")
        lines.append("mapped \(context.mappedBytes), bonds \(context.bonds())")
        for device in backend.devices { lines += describe(device) }
        for space in backend.sva.all.values {
            lines.append(
                "space \(space.pasid ?? 0) \(space.cpuASID ?? 0) \(space.views.count) \(space.attachments.count)")
        }
        lines.append("PASIDs \(describe(backend.sva.pasids)), CPU ASIDs \(describe(backend.sva.cpuASIDs))")
        for smmu in backend.smmus {
            lines.append("ASIDs \(describe(smmu.driver.asids)), VMIDs \(describe(smmu.driver.vmids))")
            let domains = smmu.driver.stage1Domains.map { [$0.key, $0.value.tag] }.sorted { $0[0] < $1[0] }
            lines.append("domains by ASID \(domains)")
        }
        return lines
    }

    private func describe(_ device: EmulatedDevice) -> [String] {
        var lines = ["\(device.name) pasids \(device.sharedPASIDs.keys.sorted()) queues \(device.openQueues)"]
        lines.append("driver \(device.master.pasidAttachments.keys.sorted()) \(device.master.attachment.isBlocked)")
        lines.append("bound \(device.boundBy != nil), group owned \(device.group.owner != nil)")
        for streamID in device.description.streamIDs {
            lines.append("STE \(device.smmu.smmu.lookupSTE(streamID: streamID)?.words ?? [])")
            for substream in [0, 1, 2, 3, 1023, 1024, 40_000] as [UInt32] {
                let descriptor = device.smmu.smmu.lookupCD(streamID: streamID, substreamID: substream)
                lines.append("CD \(substream) \(descriptor?.words ?? [])")
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
        let armed = point.remaining
        for smmu in backend.smmus {
            let memory = smmu.driver.memory
            // Refuses the first allocation, which is where the stock ends.
            point.arm(after: 0)
            while (try? memory.reserve(1)) != nil { memory.release(memory.take(), bytes: memory.tableBytes) }
        }
        point.remaining = armed
        return backend.machine.tableBytes
    }

    // MARK: Failures

    /// Fails the operation at its first use, at its second, and so on until it succeeds.
    ///
    /// - Returns: at how many points it failed.
    func failEverywhere(_ operation: () throws -> Void) throws -> Int {
        let before = state
        let bytes = tableBytes()
        for uses in 0..<200 {
            point.arm(after: uses)
            do {
                try operation()
                point.disarm()
                return uses
            } catch let error as IOMMUError {
                point.disarm()
                #expect(error.reason == "injected", "\(error)")
                #expect(state == before, "after a failure at use \(uses)")
                #expect(tableBytes() == bytes, "tables after a failure at use \(uses)")
            }
        }
        Issue.record("it never succeeded")
        return 200
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
