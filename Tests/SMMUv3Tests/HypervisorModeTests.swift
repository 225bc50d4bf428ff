import SMMUv3
import Testing

/// CR2.E2H: whether the hypervisor's streams (STE.STRW = 0b10) are those of EL2 or of EL2-E2H (3.17.5, 6.3.12.3).
@Suite struct HypervisorModeTests {
    private static let page: UInt64 = 0x1000
    private static let old: UInt64 = 0x5000
    private static let new: UInt64 = 0x6000

    private static func machine(E2H: Bool, hyp: UInt32 = 1) throws -> Machine {
        try Machine(Identification.laboratory.with(\.IDR0, 9, 9, hyp), CR2: 2 | (E2H ? 1 : 0))
    }

    /// Streams 1 and 2 with ASIDs of the same number and a table each, whose page is cached and has moved since.
    private func age(_ machine: Machine, _ attributes: UInt64 = Machine.page) -> [UInt64] {
        let roots = (UInt32(1)...2).map { stream in
            let root = machine.allocate()
            let cd = machine.allocate()
            machine.set(machine.context(root, asid: UInt64(stream)), at: cd)
            var ste = machine.stage1(cd)
            ste.STRW = 2
            machine.set(ste, stream: stream)
            machine.map(root, Self.page, Self.old | UInt64(stream) << 20, attributes)
            return root
        }
        for stream in UInt32(1)...2 { _ = machine.translate(Self.page, stream: stream) }
        for (index, root) in roots.enumerated() {
            machine.map(root, Self.page, Self.new | UInt64(index + 1) << 20, attributes)
        }
        return roots
    }

    private func forgotten(_ machine: Machine) -> [UInt32] {
        [1, 2].filter { (machine.translate(Self.page, stream: $0).address ?? 0) & 0xfffff == Self.new }
    }

    @Test func withE2HEntriesHaveAnASID() throws {
        let cases: [(Command, [UInt32])] = [
            (.TLBI_EL2_VA(address: Self.page, asid: 2), [2]), (.TLBI_EL2_VA(address: Self.page, asid: 3), []),
            (.TLBI_EL2_VA(address: 0x2000, asid: 2), []), (.TLBI_EL2_VAA(address: Self.page), [1, 2]),
            (.TLBI_EL2_ASID(asid: 1), [1]), (.TLBI_EL2_ASID(asid: 9), []), (.TLBI_EL2_ALL(), [1, 2]),
            (.TLBI_NH_ALL(), []), (.TLBI_NH_ASID(asid: 1), []), (.TLBI_NH_VA(address: Self.page, asid: 1), []),
            (.TLBI_NSNH_ALL(), []),
        ]
        for (command, expected) in cases {
            let machine = try Self.machine(E2H: true)
            _ = age(machine)
            #expect(machine.translate(Self.page, stream: 2).address == Self.old | 2 << 20)
            try machine.submit(command)
            #expect(forgotten(machine) == expected, "\(command)")
            #expect(machine.commandError == 0)
        }
    }

    @Test func withE2HGlobalEntriesGoByAddressAndStayByASID() throws {
        let machine = try Self.machine(E2H: true)
        _ = age(machine, Machine.page & ~PageDescriptor.nG)
        // The first stream's entry serves both.
        #expect(machine.translate(Self.page, stream: 2).address == Self.old | 1 << 20)
        try machine.submit(.TLBI_EL2_ASID(asid: 1))
        #expect(forgotten(machine) == [])
        try machine.submit(.TLBI_EL2_VA(address: Self.page, asid: 77))
        #expect(forgotten(machine) == [1, 2])
    }

    @Test func withoutE2HEntriesHaveNone() throws {
        for command in [Command.TLBI_EL2_VA(address: Self.page, asid: 99), .TLBI_EL2_ALL()] {
            let machine = try Self.machine(E2H: false)
            _ = age(machine)
            // Without ASIDs the streams cannot be told apart.
            #expect(machine.translate(Self.page, stream: 2).address == Self.old | 1 << 20)
            try machine.submit(.TLBI_NH_ALL(), .TLBI_NSNH_ALL(), .TLBI_EL2_VA(address: 0x2000, asid: 1))
            #expect(forgotten(machine) == [])
            try machine.submit(command)
            #expect(forgotten(machine) == [1, 2], "\(command)")
        }
    }

    @Test(arguments: [true, false]) func onlyE2HHasTwoTablesAndTwoPrivileges(_ E2H: Bool) throws {
        let machine = try Self.machine(E2H: E2H)
        let roots = [machine.allocate(), machine.allocate()]
        let cd = machine.allocate()
        var context = machine.context(roots[0])
        (context.EPD1, context.TTB1, context.T1SZ, context.TG1) = (false, roots[1], 16, 2)
        machine.set(context, at: cd)
        var ste = machine.stage1(cd)
        ste.STRW = 2
        machine.set(ste, stream: 1)
        let upper: UInt64 = 0xffff_0000_0000_0000
        machine.map(roots[1], Self.page, Self.new)
        machine.map(roots[0], Self.page, Self.old, PageDescriptor.AF | PageDescriptor.nG)
        #expect(machine.translate(upper | Self.page).address == (E2H ? Self.new : nil))
        #expect(machine.translate(upper | Self.page).type == (E2H ? nil : .F_TRANSLATION))
        // AP[1] = 0 keeps the unprivileged out where there are such.
        #expect(machine.translate(Self.page).type == (E2H ? .F_PERMISSION : nil))
        #expect(machine.translate(Self.page, privileged: true).address == Self.old)
    }

    @Test func theBitIsGuardedAndReserved() throws {
        let machine = try Self.machine(E2H: true)
        #expect(machine.read(.CR2) == 3)
        try machine.write(.CR2, 2)
        #expect(machine.read(.CR2) == 3, "the SMMU is enabled")
        try machine.write(.CR0, 0x1e)
        try machine.write(.CR2, 2)
        #expect(machine.read(.CR2) == 2)
        #expect(try Self.machine(E2H: true, hyp: 0).read(.CR2) == 2)
    }

    /// A change makes the cached configuration void: the streams are of the other world from then on.
    @Test func aChangeTakesEffect() throws {
        let machine = try Self.machine(E2H: false)
        _ = age(machine)
        #expect(machine.translate(Self.page, stream: 2).address == Self.old | 1 << 20)
        try machine.write(.CR0, 0x1e)
        try machine.write(.CR2, 3)
        try machine.write(.CR0, 0x1f)
        try machine.submit(.CFGI_ALL(), .TLBI_EL2_ALL())
        #expect(machine.translate(Self.page, stream: 1).address == Self.new | 1 << 20)
        #expect(machine.translate(Self.page, stream: 2).address == Self.new | 2 << 20)
    }
}
