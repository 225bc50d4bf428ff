import IOMMU
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Every operation fails at every point at which it can, and leaves what was before.
@Suite struct UnwindingTests {
    @Test(arguments: ["0000:01:00.0", "0000:05:00.0", "0001:01:00.0", "0000:07:00.0"], FailureLength.allCases)
    func bind(name: String, length: FailureLength) throws {
        for slotBits in UnwindingBench.slotBits {
            try bind(name: name, try UnwindingBench(slotBits: slotBits, length), populate: true)
            try bind(name: name, try UnwindingBench(slotBits: slotBits, length), populate: false)
        }
    }

    private func bind(name: String, _ bench: UnwindingBench, populate: Bool) throws {
        let laboratory = bench.laboratory
        let context = laboratory.context
        let device = try laboratory.bind(name)
        let sibling = name == "0000:07:00.0" ? try laboratory.bind("0000:07:00.1") : nil
        let memory = try context.createMemory(size: 1 << 20, name: nil, huge: false)
        let mm = try context.emulated.createMM()
        try context.emulated.mapMM(
            mm, va: 0x1000, memory: memory, offset: 0, length: 1 << 20, access: [.read, .write], populate: populate)
        let untouched = bench.state
        var bond: ObjectID = 0
        let failures = try bench.failEverywhere { bond = try context.emulated.bindSVA(device: device, mm: mm).bond }
        // PASID, ASID, root, CD table; populated, the tables of three levels for each window of 2 MiB.
        #expect(failures >= (populate ? 7 : 4), "\(failures)")
        try laboratory.write(device, pasid: 1, 0x2000, [1, 2, 3])
        if let sibling { #expect(try laboratory.read(sibling, pasid: 1, 0x2000, 3) == [1, 2, 3]) }
        #expect(try context.emulated.unbindSVA(bond: bond) == 0)
        #expect(bench.state == untouched)
    }

    /// Stage 1 domains have the ASIDs that the CPUs use next, and get them back if the bond fails later on.
    @Test(arguments: UnwindingBench.slotBits, FailureLength.allCases)
    func domainsInTheWayOfABond(slotBits: Int, length: FailureLength) throws {
        let bench = try UnwindingBench(slotBits: slotBits, length)
        let context = bench.context
        let device = try bench.laboratory.bind("0001:01:00.0")
        let memory = try context.createMemory(size: 1 << 20, name: nil, huge: false)
        let ioas = try context.allocateIOAS()
        let request = MapRequest(memory: memory, offset: 0, length: 4096, iova: 0x1000, access: [.read, .write])
        _ = try context.map(ioas: ioas, request)
        let hwpts = try (0..<2).map { _ in
            try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .pasid))
        }
        _ = try context.attach(device: device, to: hwpts[0], pasid: nil)
        _ = try context.attach(device: device, to: hwpts[1], pasid: 2)
        try bench.laboratory.write(device, 0x1000, [1])
        let mm = try context.emulated.createMM()
        try context.emulated.mapMM(
            mm, va: 0x1000, memory: memory, offset: 4096, length: 1 << 16, access: [.read, .write], populate: true)
        var bond: (bond: ObjectID, pasid: UInt32, asid: UInt32) = (0, 0, 0)
        let failures = try bench.failEverywhere {
            bond = try context.emulated.bindSVA(device: device, mm: mm)
        } check: {
            let own = try bench.laboratory.read(device, 0x1000, 1)
            let beside = try bench.laboratory.read(device, pasid: 2, 0x1000, 1)
            #expect(own == [1] && beside == [1])
        }
        #expect(failures >= 6, "PASID, both ASIDs, root, tables")
        #expect(bond.asid == 1, "the ASID of the first domain")
        try bench.laboratory.write(device, pasid: bond.pasid, 0x1000, [2])
        #expect(try bench.laboratory.read(device, 0x1000, 1) == [1])
    }

    /// A page that a device asks for cannot be entered into the tables: the access fails, and the next one succeeds.
    @Test(arguments: SharedAddressTests.devices, FailureLength.allCases)
    func faultsWithoutMemoryForTables(name: String, length: FailureLength) throws {
        let bench = try UnwindingBench(length)
        let context = bench.context
        let device = try bench.laboratory.bind(name)
        let memory = try context.createMemory(size: 4096, name: nil, huge: false)
        let mm = try context.emulated.createMM()
        try context.emulated.mapMM(
            mm, va: 0x7000_0000_0000, memory: memory, offset: 0, length: 4096, access: [.read, .write], populate: false)
        let (_, pasid, _) = try context.emulated.bindSVA(device: device, mm: mm)
        let failures = try bench.failEverywhere(as: .EFAULT) {
            try bench.laboratory.write(device, pasid: pasid, 0x7000_0000_0000, [5])
        }
        #expect(failures >= 3, "a table of each level")
        #expect(try context.readMemory(memory, offset: 0, length: 1) == [5])
        #expect(bench.laboratory.takeEvents().allSatisfy { $0.kind != .smmuEvent }, "nothing is logged")
    }

    @Test func openQueue() throws {
        let bench = try UnwindingBench()
        let laboratory = bench.laboratory
        let context = laboratory.context
        let device = try laboratory.bind("uacce0")
        let mm = try context.emulated.createMM()
        let untouched = bench.state
        var queue: ObjectID = 0
        #expect(try bench.failEverywhere { queue = try context.emulated.openQueue(device: device, mm: mm).queue } >= 4)
        _ = try context.emulated.closeQueue(queue)
        #expect(bench.state == untouched)
    }

    @Test func theLeafOfContextDescriptors() throws {
        let bench = try UnwindingBench()
        let laboratory = bench.laboratory
        let context = laboratory.context
        let device = try laboratory.bind("0000:05:00.0")
        for _ in 0..<1023 { _ = try context.emulated.bindSVA(device: device, mm: try context.emulated.createMM()) }
        let mm = try context.emulated.createMM()
        var pasid: UInt32 = 0
        #expect(try bench.failEverywhere { pasid = try context.emulated.bindSVA(device: device, mm: mm).pasid } >= 4)
        #expect(pasid == 1024)
    }

    @Test func theSecondDeviceOfAGroup() throws {
        let bench = try UnwindingBench()
        let context = bench.context
        let (first, second) = (UnwindingBench.pair[0], UnwindingBench.pair[1])
        let device = try bench.laboratory.bind(first)
        let memory = try context.createMemory(size: 4096, name: nil, huge: false)
        let mm = try context.emulated.createMM()
        try context.emulated.mapMM(
            mm, va: 0x1000, memory: memory, offset: 0, length: 4096, access: [.read, .write], populate: true)
        let bond = try context.emulated.bindSVA(device: device, mm: mm)
        let sibling = try bench.laboratory.bind(second)
        bench.refuseForQuota { _ = try context.emulated.bindSVA(device: sibling, mm: mm) }
        let untouched = bench.state
        var other: ObjectID = 0
        #expect(try bench.failEverywhere { other = try context.emulated.bindSVA(device: sibling, mm: mm).bond } == 0)
        try bench.laboratory.write(sibling, pasid: bond.pasid, 0x1000, [4])
        #expect(try context.emulated.unbindSVA(bond: other) == 0)
        #expect(bench.state == untouched)
    }

    @Test func aDevicePluggedIntoABoundGroup() throws {
        let bench = try UnwindingBench()
        let context = bench.context
        let device = try bench.laboratory.bind(UnwindingBench.pair[0])
        let memory = try context.createMemory(size: 4096, name: nil, huge: false)
        let mm = try context.emulated.createMM()
        try context.emulated.mapMM(
            mm, va: 0x1000, memory: memory, offset: 0, length: 4096, access: [.read, .write], populate: true)
        let bond = try context.emulated.bindSVA(device: device, mm: mm)
        try bench.backend.addDevice(UnwindingBench.member("0000:07:00.2", 0x702))
        let late = try bench.laboratory.bind("0000:07:00.2")
        bench.refuseForQuota { _ = try context.emulated.bindSVA(device: late, mm: mm) }
        var other: ObjectID = 0
        #expect(
            try bench.failEverywhere { other = try context.emulated.bindSVA(device: late, mm: mm).bond } >= 2,
            "CD tables")
        try bench.laboratory.write(late, pasid: bond.pasid, 0x1000, [5])
        #expect(try bench.laboratory.read(device, pasid: bond.pasid, 0x1000, 1) == [5])
        #expect(try context.emulated.unbindSVA(bond: bond.bond) == 0)
        try bench.laboratory.write(late, pasid: bond.pasid, 0x1000, [6])
        #expect(try context.emulated.unbindSVA(bond: other) == 0)
        #expect(refusal { try bench.laboratory.write(late, pasid: bond.pasid, 0x1000, [7]) }?.errno == .EFAULT)
        #expect(bench.backend.devices.allSatisfy { $0.device.sharedPASIDs.isEmpty })
    }

    @Test func mapIntoBoundSpaces() throws {
        let bench = try UnwindingBench()
        let laboratory = bench.laboratory
        let context = laboratory.context
        let memory = try context.createMemory(size: 8 << 20, name: nil, huge: false)
        let mm = try context.emulated.createMM()
        for name in ["0000:03:00.0", "0001:01:00.0"] {
            _ = try context.emulated.bindSVA(device: try laboratory.bind(name), mm: mm)
        }
        let failures = try bench.failEverywhere {
            try context.emulated.mapMM(
                mm, va: 0x20_0000, memory: memory, offset: 0, length: 8 << 20, access: [.read, .write], populate: true)
        }
        #expect(failures >= 12, "two SMMUs, four windows and the levels above")
    }

    @Test func quotasRefuseBeforeAnythingChanges() throws {
        let bench = try UnwindingBench()
        let laboratory = bench.laboratory
        let context = laboratory.context
        let device = try laboratory.bind("uacce0")
        let mm = try context.emulated.createMM()
        laboratory.account.setLimit(laboratory.account.used(.objects), of: .objects)
        let before = bench.state
        #expect(refusal { _ = try context.emulated.createMM() }?.errno == .EDQUOT)
        #expect(refusal { _ = try context.emulated.bindSVA(device: device, mm: mm) }?.errno == .EDQUOT)
        #expect(refusal { _ = try context.emulated.openQueue(device: device, mm: mm) }?.errno == .EDQUOT)
        #expect(bench.state == before)
        laboratory.account.setLimit(laboratory.account.used(.objects) + 1, of: .objects)
        #expect(refusal { _ = try context.emulated.openQueue(device: device, mm: mm) }?.errno == .EDQUOT)
        #expect(bench.state == before)
    }
}
