import IOMMU
import Testing

@testable import EmulatedIOMMU

/// Every operation fails at every point at which it can, and leaves what was before.
@Suite struct UnwindingTests {
    private let point = FailurePoint()

    private func makeLaboratory() throws -> Laboratory {
        let laboratory = try Laboratory { topology in
            for (index, streamID) in ([0x700, 0x701] as [UInt32]).enumerated() {
                var device = Laboratory.device("0000:07:00.\(index)", streamID, pasidBits: 12, stall: true)
                device.group = "pair"
                topology.devices.append(device)
            }
        }
        let backend = laboratory.backend
        for smmu in backend.smmus { smmu.driver.asids = FailingTags(smmu.driver.asids, point) }
        backend.sva.pasids = FailingTags(backend.sva.pasids, point)
        backend.sva.cpuASIDs = FailingTags(backend.sva.cpuASIDs, point)
        backend.machine.allocationCheck = { [point] _ throws(IOMMUError) in try point.use() }
        return laboratory
    }

    /// Everything that a client, or the next operation, could tell a difference by.
    private func state(_ laboratory: Laboratory) -> [String] {
        let backend = laboratory.backend
        var lines = laboratory.context.objects().map { "\($0)" }
        lines.append("charged \(laboratory.account.used(.objects)), bonds \(laboratory.context.bonds())")
        for device in backend.devices {
            lines.append("\(device.name) pasids \(device.sharedPASIDs.keys.sorted()) queues \(device.openQueues)")
            lines.append("driver \(device.master.pasidAttachments.keys.sorted()) \(device.master.attachment.isBlocked)")
            for streamID in device.description.streamIDs {
                lines.append("STE \(device.smmu.smmu.lookupSTE(streamID: streamID).map { "\($0)" } ?? "none")")
                let contexts = (1...3 as ClosedRange<UInt32>).map {
                    device.smmu.smmu.lookupCD(streamID: streamID, substreamID: $0)?.V == true
                }
                lines.append("CDs \(contexts)")
            }
        }
        for space in backend.sva.all.values {
            lines.append(
                "space \(space.pasid ?? 0) \(space.cpuASID ?? 0) \(space.views.count) \(space.attachments.count)")
        }
        lines.append("next PASID \(probe(backend.sva.pasids)), CPU ASID \(probe(backend.sva.cpuASIDs))")
        for smmu in backend.smmus { lines.append("next ASID \(probe(smmu.driver.asids))") }
        return lines
    }

    /// The tag that would be given out next.
    private func probe(_ tags: any TagSource) -> UInt32 {
        guard let tag = try? tags.take() else { return 0 }
        tags.release(tag)
        return tag
    }

    /// - Returns: at how many points it failed before it succeeded.
    private func failEverywhere(
        _ laboratory: Laboratory, _ operation: () throws -> Void
    ) throws -> Int {
        let before = state(laboratory)
        for uses in 0..<200 {
            point.arm(after: uses)
            do {
                try operation()
                point.disarm()
                return uses
            } catch let error as IOMMUError {
                point.disarm()
                #expect(error.reason == "injected", "\(error)")
                #expect(state(laboratory) == before, "after a failure at use \(uses)")
            }
        }
        Issue.record("it never succeeded")
        return 200
    }

    @Test(arguments: ["0000:01:00.0", "0000:05:00.0", "0001:01:00.0", "0000:07:00.0"], [true, false])
    func bind(name: String, populate: Bool) throws {
        let laboratory = try makeLaboratory()
        let context = laboratory.context
        let device = try laboratory.bind(name)
        let sibling = name == "0000:07:00.0" ? try laboratory.bind("0000:07:00.1") : nil
        let memory = try context.createMemory(size: 1 << 20, name: nil, huge: false)
        let mm = try context.createMM()
        try context.mapMM(
            mm, va: 0x1000, memory: memory, offset: 0, length: 1 << 20, access: [.read, .write], populate: populate)
        let untouched = state(laboratory)
        var bond: ObjectID = 0
        let failures = try failEverywhere(laboratory) { bond = try context.bindSVA(device: device, mm: mm).bond }
        #expect(failures >= 2, "PASID and ASID at least")
        try laboratory.write(device, pasid: 1, 0x2000, [1, 2, 3])
        if let sibling { #expect(try laboratory.read(sibling, pasid: 1, 0x2000, 3) == [1, 2, 3]) }
        #expect(try context.unbindSVA(bond: bond) == 0)
        #expect(state(laboratory) == untouched)
    }

    @Test func openQueue() throws {
        let laboratory = try makeLaboratory()
        let context = laboratory.context
        let device = try laboratory.bind("uacce0")
        let mm = try context.createMM()
        let untouched = state(laboratory)
        var queue: ObjectID = 0
        #expect(try failEverywhere(laboratory) { queue = try context.openQueue(device: device, mm: mm).queue } >= 2)
        _ = try context.closeQueue(queue)
        #expect(state(laboratory) == untouched)
    }

    @Test func theLeafOfContextDescriptors() throws {
        let laboratory = try makeLaboratory()
        let context = laboratory.context
        let device = try laboratory.bind("0000:05:00.0")
        for _ in 0..<1023 { _ = try context.bindSVA(device: device, mm: try context.createMM()) }
        let mm = try context.createMM()
        var pasid: UInt32 = 0
        #expect(try failEverywhere(laboratory) { pasid = try context.bindSVA(device: device, mm: mm).pasid } >= 2)
        #expect(pasid == 1024)
    }

    @Test func mapIntoBoundSpaces() throws {
        let laboratory = try makeLaboratory()
        let context = laboratory.context
        let memory = try context.createMemory(size: 8 << 20, name: nil, huge: false)
        let mm = try context.createMM()
        for name in ["0000:03:00.0", "0001:01:00.0"] {
            _ = try context.bindSVA(device: try laboratory.bind(name), mm: mm)
        }
        _ = try failEverywhere(laboratory) {
            try context.mapMM(
                mm, va: 0x20_0000, memory: memory, offset: 0, length: 8 << 20, access: [.read, .write], populate: true)
        }
    }

    @Test func quotasRefuseBeforeAnythingChanges() throws {
        let laboratory = try makeLaboratory()
        let context = laboratory.context
        let device = try laboratory.bind("uacce0")
        let mm = try context.createMM()
        laboratory.account.setLimit(laboratory.account.used(.objects), of: .objects)
        let before = state(laboratory)
        #expect(refusal { _ = try context.createMM() }?.errno == .EDQUOT)
        #expect(refusal { _ = try context.bindSVA(device: device, mm: mm) }?.errno == .EDQUOT)
        #expect(refusal { _ = try context.openQueue(device: device, mm: mm) }?.errno == .EDQUOT)
        #expect(state(laboratory) == before)
        laboratory.account.setLimit(laboratory.account.used(.objects) + 1, of: .objects)
        #expect(refusal { _ = try context.openQueue(device: device, mm: mm) }?.errno == .EDQUOT)
        #expect(state(laboratory) == before)
    }
}
