@testable import SMMUv3
import Testing

/// Looking without touching.
@Suite struct InspectionTests {
    private let machine: Machine
    private let root: UInt64
    private let cd: UInt64

    init() throws {
        machine = try Machine()
        root = machine.allocate()
        cd = machine.allocate()
        var descriptor = machine.context(root)
        (descriptor.HA, descriptor.HD, descriptor.S) = (true, true, true)
        machine.set(descriptor, at: cd)
        machine.set(machine.stage1(cd), stream: 1)
    }

    private func inspect(_ address: UInt64, _ access: Access = .read, trace: Bool = false) -> Inspection {
        machine.smmu.inspect(Transaction(streamID: 1, address: address, access: access), trace: trace)
    }

    @Test func traceListsTheWalk() {
        let leaf = machine.map(root, 0x1234_5000, 0x9000)
        let inspection = inspect(0x1234_5678, trace: true)
        #expect(inspection.translation.address == 0x9678 && !inspection.isCached)
        #expect(inspection.steps.map(\.level) == [0, 1, 2, 3] && inspection.steps.allSatisfy { $0.stage == 1 })
        #expect(inspection.steps.map(\.index) == [0, 0, 0x91, 0x145])
        #expect(inspection.steps[0].table == root && inspection.steps[3].descriptor == machine.memory[leaf])
        #expect(inspection.steps[3].table == leaf & ~0xfff)
        #expect(inspect(0x1234_5678).steps.isEmpty)
    }

    @Test func nothingChanges() throws {
        let leaf = machine.map(
            root, 0x1000, 0x5000, Machine.page & ~PageDescriptor.AF | PageDescriptor.AP2 | PageDescriptor.DBM)
        let before = machine.memory[leaf]
        #expect(inspect(0x1000, .write).translation.address == 0x5000)
        #expect(machine.memory[leaf] == before)
        #expect(inspect(0x8000).translation.event?.Stall == true)
        #expect(machine.smmu.stalledTransactions.isEmpty && machine.read(.EVENTQ_PROD) == 0)
        let view = machine.smmu.cacheView()
        #expect(view.translations.isEmpty && view.streamIDs.isEmpty && view.contexts.isEmpty)
        #expect(view.tlb.hits == 0 && view.tlb.misses == 0)
    }

    @Test func cachedAnswers() throws {
        let leaf = machine.map(root, 0x1000, 0x5000)
        _ = machine.translate(0x1000)
        machine.memory[leaf] = 0
        #expect(inspect(0x1000).isCached && inspect(0x1000).translation.address == 0x5000)
        // The trace shows the tables as they are.
        #expect(inspect(0x1000, trace: true).steps.last?.descriptor == 0)
        try machine.submit(.TLBI_NH_ALL())
        #expect(!inspect(0x1000).isCached && inspect(0x1000).translation.type == .F_TRANSLATION)
    }

    @Test func lookupsReadTheTablesNotTheCaches() throws {
        _ = machine.translate(0x1000)
        var ste = machine.stage1(cd)
        ste.S1STALLD = false
        ste.MEV = true
        machine.set(ste, stream: 1)
        #expect(machine.smmu.lookupSTE(streamID: 1) == ste)
        #expect(machine.smmu.lookupSTE(streamID: 256) == nil)
        #expect(machine.smmu.lookupCD(streamID: 1, substreamID: 0)?.TTB0 == root)
        #expect(machine.smmu.lookupCD(streamID: 1, substreamID: 1) == nil)
        #expect(machine.smmu.lookupCD(streamID: 2, substreamID: 0) == nil)
    }

    @Test func fieldsByName() {
        let fields = machine.stage1(cd).fields
        func value(_ name: String) -> UInt64? { fields.first { $0.name.description == name }?.value }
        #expect(value("V") == 1 && value("Config") == 5 && value("S1ContextPtr") == cd)
        let context = machine.context(root, asid: 0x1234).fields
        #expect(context.first { $0.name.description == "ASID" } == DecodedField("ASID", 0x1234, width: 16))
    }
}

/// Address spaces beyond what the tags are kept for.
@Suite struct ExhaustionTests {
    /// Invalidations alone use tags up, too: before one is used twice, everything starts afresh.
    @Test func manyInvalidations() throws {
        let machine = try Machine(geometry: .standard)
        let (root, cd) = (machine.allocate(), machine.allocate())
        machine.map(root, 0x1000, 0x5000)
        machine.set(machine.stage1(cd), stream: 1)
        machine.set(machine.context(root, asid: 7), at: cd)
        #expect(machine.translate(0x1000).address == 0x5000)
        machine.smmu.spaces.lastGeneration = 0xfff0_0000
        try machine.submit(.TLBI_NH_ASID(asid: 7))
        #expect(machine.translate(0x1000).address == 0x5000)
        #expect(machine.smmu.spaces.lastGeneration < 100)
        #expect(machine.translate(0x1000).address == 0x5000)
    }

    /// More ASIDs than tags are kept for: everything starts afresh, nothing is mixed up.
    @Test func manyAddressSpaces() throws {
        let machine = try Machine(geometry: .standard)
        let roots = [machine.allocate(), machine.allocate()]
        machine.map(roots[0], 0x1000, 0x5000)
        machine.map(roots[1], 0x1000, 0x6000)
        let cd = machine.allocate()
        machine.set(machine.stage1(cd), stream: 1)
        for round in UInt64(0)..<16600 {
            let asid = round % 16500
            machine.set(machine.context(roots[Int(asid & 1)], asid: asid), at: cd)
            try machine.submit(.CFGI_CD(streamID: 1, substreamID: 0))
            guard machine.translate(0x1000).address == 0x5000 + (asid & 1) << 12 else {
                Issue.record("ASID \(asid)")
                return
            }
        }
    }
}
