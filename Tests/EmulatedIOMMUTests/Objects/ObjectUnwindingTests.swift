import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Every operation on tables and devices fails at every point at which it can, and leaves what was before; how many
/// commands fit into the queue makes no difference.
@Suite struct ObjectUnwindingTests {
    enum Operation: String, CaseIterable {
        case bindDevice, allocatePaging, allocateWithPASID, allocateNestParent, allocateViommu
        case allocateNested, attachIOAS, attachHWPT, attachNestParent, attachNested, attachPASID, attachHighPASID
        case replaceIOAS, replaceByNested, replaceNested, replacePASID, addDevice

        /// Tags and allocations at which it can fail, at least.
        var points: Int {
            switch self {
            case .bindDevice, .allocateViommu, .allocateNested, .attachNestParent, .attachNested, .replaceByNested: 0
            case .attachPASID: 1
            // CD tables of both devices, or both levels of one; the leaf of a stream table.
            case .attachHighPASID, .replacePASID, .addDevice: 2
            case .attachHWPT: 4
            // A tag, the tables set aside for splitting, and those of every level of every mapping.
            case .allocatePaging, .allocateWithPASID, .allocateNestParent: 16
            // The CD tables of both devices too.
            case .attachIOAS, .replaceIOAS, .replaceNested: 20
            }
        }

        var makesObject: Bool {
            switch self {
            case .attachHWPT, .attachNestParent, .attachNested, .attachPASID, .attachHighPASID, .replaceByNested,
                .replacePASID, .addDevice:
                false
            default: true
            }
        }
    }

    /// What the operations work on: a group of two, and a device with a two-level CD table.
    private struct Setting {
        let bench: UnwindingBench
        let pair: [ObjectID]
        let wide: ObjectID
        let ioases: [ObjectID]
        let parent: ObjectID
        let viommu: ObjectID
        var context: ObjectContext { bench.context }

        /// They need a new table at level 3; at 2 and 3; at 1, 2 and 3; blocks, and a table behind them.
        static let mappings: [(iova: UInt64, length: UInt64)] = [
            (0x1000, 4096), (0x20_1000, 8192), (0x7000_0000, 4096), (0x80_0000_0000, 4096),
            (0x100_0000_0000, (4 << 20) + 4096),
        ]

        init(slotBits: Int, _ length: FailureLength = .once) throws {
            let bench = try UnwindingBench(slotBits: slotBits, length)
            let context = bench.context
            let memory = try context.createMemory(size: 16 << 20, name: nil, huge: false)
            ioases = try (0..<2).map { _ in
                let ioas = try context.allocateIOAS()
                for (iova, length) in Self.mappings {
                    let request = MapRequest(
                        memory: memory, offset: 0, length: length, iova: iova, access: [.read, .write])
                    _ = try context.map(ioas: ioas, request)
                }
                return ioas
            }
            pair = try UnwindingBench.pair.map { try bench.laboratory.bind($0) }
            wide = try bench.laboratory.bind(UnwindingBench.wide)
            parent = try context.allocateHWPT(HWPTRequest(device: wide, pt: ioases[0], flags: .nestParent))
            viommu = try context.allocateVIOMMU(device: wide, hwpt: parent, type: "arm_smmuv3")
            for (index, device) in (pair + [wide]).enumerated() {
                _ = try context.allocateVDevice(viommu: viommu, device: device, virtualID: UInt64(index))
            }
            self.bench = bench
        }

        func hwpt(_ device: ObjectID, _ ioas: Int = 0, _ flags: HWPTFlags = []) throws -> ObjectID {
            try context.allocateHWPT(HWPTRequest(device: device, pt: ioases[ioas], flags: flags))
        }

        func nested(_ device: ObjectID) throws -> ObjectID {
            try context.allocateHWPT(
                HWPTRequest(device: device, pt: viommu, vste: (1 | 5 << 1 | 0x10000, 0)))
        }

        /// Attaches the pair to the first IOAS, or whatever `pt` is.
        func attachPair(to pt: ObjectID? = nil) throws {
            for device in pair { _ = try context.attach(device: device, to: pt ?? ioases[0], pasid: nil) }
        }
    }

    private func prepare(_ operation: Operation, _ it: Setting) throws -> () throws -> Void {
        let (context, first, wide) = (it.context, it.pair[0], it.wide)
        switch operation {
        case .bindDevice: return { _ = try context.bind(deviceNamed: "0000:03:00.0") }
        case .allocatePaging: return { _ = try it.hwpt(first) }
        case .allocateWithPASID: return { _ = try it.hwpt(first, 0, [.pasid, .dirtyTracking]) }
        case .allocateNestParent: return { _ = try it.hwpt(first, 1, .nestParent) }
        case .allocateViommu:
            return { _ = try context.allocateVIOMMU(device: wide, hwpt: it.parent, type: "arm_smmuv3") }
        case .allocateNested: return { _ = try it.nested(wide) }
        default: return try prepareAttachment(operation, it)
        }
    }

    private func prepareAttachment(_ operation: Operation, _ it: Setting) throws -> () throws -> Void {
        let (context, first, wide) = (it.context, it.pair[0], it.wide)
        func attaching(_ device: ObjectID, _ pt: ObjectID, _ pasid: UInt32? = nil) -> () throws -> Void {
            { _ = try context.attach(device: device, to: pt, pasid: pasid) }
        }
        func replacing(_ device: ObjectID, _ pt: ObjectID, _ pasid: UInt32? = nil) -> () throws -> Void {
            { _ = try context.replace(device: device, with: pt, pasid: pasid) }
        }
        switch operation {
        case .attachIOAS: return attaching(first, it.ioases[0])
        case .attachHWPT: return attaching(first, try it.hwpt(first))
        case .attachNestParent: return attaching(first, it.parent)
        case .attachNested: return attaching(first, try it.nested(first))
        case .attachPASID:
            let hwpt = try it.hwpt(wide, 0, .pasid)
            _ = try context.attach(device: wide, to: hwpt, pasid: nil)
            return attaching(wide, hwpt, 1024)
        case .attachHighPASID: return attaching(wide, try it.hwpt(wide, 0, .pasid), 40_000)
        case .replaceIOAS:
            try it.attachPair()
            return replacing(first, it.ioases[1])
        case .replaceByNested:
            try it.attachPair()
            return replacing(first, try it.nested(first))
        case .replaceNested:
            try it.attachPair(to: try it.nested(first))
            return replacing(first, it.ioases[1])
        case .replacePASID:
            _ = try context.attach(device: wide, to: try it.hwpt(wide, 0, .pasid), pasid: 40_000)
            return replacing(wide, try it.hwpt(wide, 1, .pasid), 40_000)
        default:
            try it.attachPair()
            // Its second stream needs a new leaf of the stream table, its third another.
            var late = UnwindingBench.member("0000:07:00.2", 0x702)
            late.streamIDs += [0x7002, 0x8002]
            return { try it.bench.backend.addDevice(late) }
        }
    }

    @Test(arguments: Operation.allCases, FailureLength.allCases)
    func everyPointOfFailure(operation: Operation, length: FailureLength) throws {
        for slotBits in UnwindingBench.slotBits {
            let it = try Setting(slotBits: slotBits, length)
            let run = try prepare(operation, it)
            if operation.makesObject { it.bench.refuseForQuota { try run() } }
            let failures = try it.bench.failEverywhere(run)
            #expect(failures >= operation.points, "\(operation) failed at \(failures) points")
        }
    }

    /// The state after each operation is the same whatever waits in the queue.
    @Test(arguments: Operation.allCases)
    func theSmallestQueueChangesNothing(operation: Operation) throws {
        let states = try UnwindingBench.slotBits.map { slotBits in
            let it = try Setting(slotBits: slotBits)
            try prepare(operation, it)()
            for smmu in it.bench.backend.smmus {
                #expect(smmu.driver.queue.errors == 0 && smmu.driver.queue.slots == 1 << UInt32(slotBits))
            }
            return it.bench.stateWithoutAddresses
        }
        #expect(states.allSatisfy { $0 == states[0] })
    }

    /// What a device needed that has been unplugged is free again, its part of the stream table included.
    @Test(arguments: UnwindingBench.slotBits)
    func aDeviceComesAndGoes(slotBits: Int) throws {
        let it = try Setting(slotBits: slotBits)
        let (before, bytes) = (it.bench.state, it.bench.tableBytes())
        for _ in 0..<3 {
            var description = Laboratory.device("0000:09:00.0", 0x9000, pasidBits: 12, stall: true)
            description.streamIDs += [0x9001, 0xa000]
            try it.bench.backend.addDevice(description)
            let device = try it.bench.laboratory.bind("0000:09:00.0")
            _ = try it.context.attach(device: device, to: it.ioases[0], pasid: nil)
            try it.bench.laboratory.write(device, 0x1000, [1])
            try it.bench.backend.removeDevice(named: "0000:09:00.0")
            try it.context.unbind(device: device)
            #expect(it.bench.state == before)
            #expect(it.bench.tableBytes() == bytes)
        }
    }

    /// IDR1.CMDQS = 0: the queue holds one command at a time.
    @Test func aQueueOfOneEntry() throws {
        let bench = try DriverTestBench(.oneCommand)
        #expect(bench.driver.queue.slots == 1)
        let master = try bench.master(pasidBits: 16, stall: true)
        let domains = try (0..<2).map { _ in
            try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: true)
        }
        for (index, domain) in domains.enumerated() {
            try domain.map(
                iova: 0x1000, pa: 0x100_0000 + UInt64(index) << 12, length: 4096, access: .read, hugePages: true)
            try bench.attach(master, domain)
            try bench.attach(master, pasid: 1024, domain)
            #expect(bench.output(master, 0x1000) == 0x100_0000 + UInt64(index) << 12)
            #expect(bench.output(master, 0x1000, pasid: 1024) == 0x100_0000 + UInt64(index) << 12)
        }
        domains[1].unmap(iova: 0x1000, length: 4096)
        domains[1].flush()
        #expect(bench.output(master, 0x1000) == nil)
        #expect(bench.output(master, 0x1000, pasid: 1024) == nil)
        #expect(bench.driver.queue.errors == 0)
    }
}
