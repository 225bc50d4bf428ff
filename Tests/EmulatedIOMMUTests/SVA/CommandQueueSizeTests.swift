import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Bonds, queues and attachments of devices with bonds, over command queues that run full at every command, and over
/// some that never do: the same happens, at every point of failure, and nobody else's translation notices.
@Suite struct CommandQueueSizeTests {
    /// Devices with ATS that share one address space: more invalidations at once than a small queue holds.
    private static let crowd = (0..<20).map { index in
        Laboratory.device("crowd\(index)", 0x2000 + UInt32(index), pasidBits: 8, pri: true)
    }

    /// A device that is worked on, beside one that is left alone.
    private struct Setting {
        let bench: UnwindingBench
        let name: String
        let device: ObjectID
        let neighbour: ObjectID
        let mms: [ObjectID]
        /// The address space of all of the crowd, and of the neighbour.
        let common: ObjectID
        let memory: ObjectID
        let ioases: [ObjectID]
        let crowd: [ObjectID]
        var context: ObjectContext { bench.context }

        static let va: UInt64 = 0x40_0000
        static let iova: UInt64 = 0x1000
        /// An address space lies at its number of megabytes into the memory, an IOAS behind them.
        static func offset(_ index: Int) -> UInt64 { UInt64(index) << 20 }

        init(_ name: String, slotBits: Int, _ length: FailureLength) throws {
            let bench = try UnwindingBench(slotBits: slotBits, length, devices: CommandQueueSizeTests.crowd)
            let context = bench.context
            let memory = try context.createMemory(size: 8 << 20, name: nil, huge: false)
            func space(_ index: Int) throws -> ObjectID {
                let mm = try context.emulated.createMM()
                try context.emulated.mapMM(
                    mm, va: Self.va, memory: memory, offset: Self.offset(index), length: 1 << 16,
                    access: [.read, .write], populate: true)
                return mm
            }
            common = try space(0)
            mms = [try space(1), try space(2)]
            ioases = try (3..<5).map { index in
                let ioas = try context.allocateIOAS()
                let request = MapRequest(
                    memory: memory, offset: Self.offset(index), length: 1 << 16, iova: Self.iova,
                    access: [.read, .write])
                _ = try context.map(ioas: ioas, request)
                return ioas
            }
            device = try bench.laboratory.bind(name)
            neighbour = try bench.laboratory.bind("0000:03:00.0")
            crowd = try CommandQueueSizeTests.crowd.map { try bench.laboratory.bind($0.name) }
            for other in crowd + [neighbour] { _ = try context.emulated.bindSVA(device: other, mm: common) }
            (self.bench, self.name, self.memory) = (bench, name, memory)
        }

        /// Where an access gets; counted from the start of the memory, nil if it does not get through.
        func reach(_ name: String, pasid: UInt32?, _ address: UInt64) throws -> UInt64? {
            let device = try bench.backend.device(named: name)
            let transaction = Transaction(
                streamID: device.description.streamIDs[0], substreamID: pasid, address: address, access: .write)
            guard case .ok(let output) = device.smmu.smmu.translate(transaction),
                let base = try? context.base(ofMemory: memory)
            else { return nil }
            return output.address &- base
        }
    }

    /// Looks, after whatever the SMMU has consumed, at what nobody may disturb.
    private final class Witness {
        private let setting: Setting
        private var expected: [(name: String, pasid: UInt32?, address: UInt64, allowed: [UInt64])] = []
        private(set) var looks = 0
        private(set) var violations: [String] = []
        private var isLooking = false

        init(_ setting: Setting) {
            self.setting = setting
            for smmu in setting.bench.backend.smmus {
                smmu.driver.queue.observer = { [unowned self] in look() }
            }
        }

        deinit { for smmu in setting.bench.backend.smmus { smmu.driver.queue.observer = nil } }

        /// From now on the access gets to one of these bytes of the memory at any time.
        func expect(_ name: String, _ pasid: UInt32?, _ address: UInt64, _ allowed: [UInt64]) {
            expected.removeAll { $0.name == name && $0.pasid == pasid && $0.address == address }
            if !allowed.isEmpty { expected.append((name, pasid, address, allowed)) }
        }

        private func look() {
            guard !isLooking else { return }
            isLooking = true
            defer { isLooking = false }
            looks += 1
            for it in expected {
                let found = try? setting.reach(it.name, pasid: it.pasid, it.address)
                if !it.allowed.contains(where: { $0 == found }) {
                    violations.append("\(it.name) \(it.pasid ?? 0) reaches \(found as UInt64??)")
                }
            }
        }
    }

    /// Everything that happens to one device, step by step; the state after each of them.
    private func run(_ name: String, slotBits: Int, _ length: FailureLength) throws -> [[String]] {
        let it = try Setting(name, slotBits: slotBits, length)
        let (bench, context, witness) = (it.bench, it.context, Witness(it))
        var states: [[String]] = []
        func step(_ body: () throws -> Void) throws {
            _ = try bench.failEverywhere(body)
            states.append(bench.stateWithoutAddresses)
        }
        witness.expect("0000:03:00.0", 1, Setting.va, [Setting.offset(0)])
        witness.expect(Self.crowd[7].name, 1, Setting.va, [Setting.offset(0)])

        var (bonds, users): ([ObjectID], [Int]) = ([0, 0], [])
        try step { bonds[0] = try context.emulated.bindSVA(device: it.device, mm: it.mms[0]).bond }
        witness.expect(name, 2, Setting.va, [Setting.offset(1)])
        try step { bonds[1] = try context.emulated.bindSVA(device: it.device, mm: it.mms[1]).bond }
        #expect(try it.reach(name, pasid: 3, Setting.va) == Setting.offset(2))

        // The device itself moves under its bonds.
        try step { _ = try context.attach(device: it.device, to: it.ioases[0], pasid: nil) }
        #expect(try it.reach(name, pasid: nil, Setting.iova) == Setting.offset(3))
        witness.expect(name, nil, Setting.iova, [Setting.offset(3), Setting.offset(4)])
        try step { _ = try context.replace(device: it.device, with: it.ioases[1], pasid: nil) }
        #expect(try it.reach(name, pasid: nil, Setting.iova) == Setting.offset(4))
        witness.expect(name, nil, Setting.iova, [Setting.offset(4)])

        var queue: ObjectID = 0
        if name == "uacce0" {
            try step { queue = try context.emulated.openQueue(device: it.device, mm: it.mms[1]).queue }
            try step { _ = try context.emulated.startQueue(queue) }
            try step { _ = try bench.laboratory.submit(queue, .fill(destination: Setting.va, length: 64, value: 7)) }
            #expect(try context.readMemory(it.memory, offset: Setting.offset(2), length: 1) == [7])
        }
        try step { try context.emulated.exitMM(it.mms[1]) }
        #expect(try it.reach(name, pasid: 3, Setting.va) == nil)
        if queue != 0 {
            #expect(try context.emulated.queueState(queue).state == .zombie)
            try step { _ = try context.emulated.closeQueue(queue) }
        }
        try step { users.append(try context.emulated.unbindSVA(bond: bonds[1])) }
        witness.expect(name, nil, Setting.iova, [])
        try step { try context.detach(device: it.device, pasid: nil) }
        #expect(try it.reach(name, pasid: nil, Setting.iova) == nil)
        witness.expect(name, 2, Setting.va, [])
        try step { users.append(try context.emulated.unbindSVA(bond: bonds[0])) }
        #expect(try it.reach(name, pasid: 2, Setting.va) == nil)
        #expect(users == [0, 0])
        try runCrowd(it, witness, &states)
        #expect(witness.violations.isEmpty, "\(witness.violations.prefix(3))")
        #expect(witness.looks > 0)
        for smmu in bench.backend.smmus {
            #expect(smmu.driver.queue.errors == 0 && smmu.driver.queue.slots == 1 << UInt32(slotBits))
        }
        return states
    }

    /// Pages, then the whole address space, are taken from all of the crowd at once.
    private func runCrowd(_ it: Setting, _ witness: Witness, _ states: inout [[String]]) throws {
        let names = Self.crowd.map(\.name)
        for name in [names[7], "0000:03:00.0"] { witness.expect(name, 1, Setting.va, []) }
        let page = Setting.va + 0x1000
        for name in names { #expect(try it.reach(name, pasid: 1, page) == 0x1000) }
        try it.context.emulated.unmapMM(it.common, va: page, length: 0x1000)
        states.append(it.bench.stateWithoutAddresses)
        for name in names {
            #expect(try it.reach(name, pasid: 1, page) == nil)
            #expect(try it.reach(name, pasid: 1, Setting.va) == 0)
        }
        try it.context.emulated.exitMM(it.common)
        states.append(it.bench.stateWithoutAddresses)
        for name in names { #expect(try it.reach(name, pasid: 1, Setting.va) == nil) }
        for bond in it.context.emulated.bonds() {
            #expect(bond.state == "quiesced")
            #expect(try it.context.emulated.unbindSVA(bond: bond.bond) == 0)
        }
        states.append(it.bench.stateWithoutAddresses)
        #expect(it.bench.backend.devices.allSatisfy { $0.device.sharedPASIDs.isEmpty })
    }

    @Test(arguments: ["0000:01:00.0", "0000:05:00.0", "uacce0", "0001:01:00.0", "0000:07:00.0"])
    func nothingIsLostOrHalfDone(name: String) throws {
        // Failures that last are for the largest only: what they do has nothing to do with the queue.
        let states = try UnwindingBench.slotBits.map { try run(name, slotBits: $0, $0 == 10 ? .fromThenOn : .once) }
        for (other, slotBits) in zip(states, UnwindingBench.slotBits) {
            #expect(other.count == states[0].count)
            for (index, pair) in zip(other, states[0]).enumerated() {
                #expect(pair.0 == pair.1, "step \(index) with 2^\(slotBits) slots")
            }
        }
    }
}
