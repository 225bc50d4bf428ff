import IOMMU
import LinuxIO
import SMMUv3
import Testing

@testable import EmulatedIOMMU

@Suite struct DriverNestedTests {
    /// A guest with one device.
    final class Guest {
        let bench: DriverTestBench
        let master: Master
        let parent: PagingDomain
        let viommu: DriverVIOMMU
        let tables: GuestTables

        init(pasidBits: Int = 0, ats: Bool = false) throws {
            bench = try DriverTestBench()
            master = try bench.master(pasidBits: pasidBits, ats: ats)
            parent = try bench.driver.makePagingDomain(.nestParent, dirtyTracking: false, pasid: false)
            viommu = try bench.driver.makeViommu(parent: parent)
            tables = try GuestTables(bench, parent: parent)
            try parent.map(iova: 0, pa: 0x100_0000_0000, length: 0x10_0000, access: [.read, .write], hugePages: true)
            try viommu.setVDevice(virtualID: 0x42, master: master)
        }

        func attach(_ vste: (UInt64, UInt64)) throws {
            let domain = try bench.driver.makeNestedDomain(viommu, vste: vste)
            try bench.attach(master, .nested(domain, faults: false))
        }
    }

    func errno(_ body: () throws -> Void) -> Errno? {
        do {
            try body()
            return nil
        } catch { return (error as? IOMMUError)?.errno }
    }

    @Test func staleUntilTheGuestInvalidates() throws {
        let guest = try Guest()
        try guest.tables.map(0x7000, ipa: 0x3000)
        try guest.attach(guest.tables.vste)
        #expect(guest.bench.output(guest.master, 0x7abc) == 0x100_0000_3abc)
        try guest.tables.map(0x7000, ipa: 0x4000)
        #expect(guest.bench.output(guest.master, 0x7abc) == 0x100_0000_3abc, "stale until invalidated")
        let command = Command.TLBI_NH_VA(address: 0x7000, asid: 1, vmid: 0x99)
        #expect(try guest.viommu.invalidate(entries: [(command.word0, command.word1)]) == 1)
        #expect(guest.bench.output(guest.master, 0x7abc) == 0x100_0000_4abc)
        let issued = guest.bench.driver.queue.commands(since: 0, limit: .max).suffix(2).map(\.command)
        #expect(issued[0].VMID == guest.parent.tag)
        #expect(issued[1].opcode == .SYNC)
        // What the host unmaps is gone for the guest at once.
        guest.parent.unmap(iova: 0, length: 0x10_0000)
        guest.parent.flush()
        #expect(guest.bench.output(guest.master, 0x7abc) == nil)
        #expect(guest.bench.driver.queue.errors == 0)
    }

    @Test func abortAndBypass() throws {
        let guest = try Guest()
        try guest.attach((1 | 4 << 1, 0))
        #expect(guest.bench.output(guest.master, 0x3abc) == 0x100_0000_3abc)
        try guest.attach((1, 0))
        #expect(guest.bench.translate(guest.master, 0x3abc) == .terminated(.steAbort))
        try guest.attach((0xffff_fffe, .max))
        #expect(guest.bench.translate(guest.master, 0x3abc) == .terminated(.steAbort), "V = 0: the rest is ignored")
        #expect(guest.parent.userCount == 1)
        try guest.bench.attach(guest.master, .blocked)
        #expect(guest.parent.userCount == 0)
    }

    @Test func everyBitOfTheSTE() throws {
        let guest = try Guest()
        // IHI 0070 5.2: what uAPI leaves to the guest.
        let allowed0: UInt64 = 0xf80f_ffff_ffff_ffff
        let allowed1: UInt64 = 0x3800_00ff
        for bit in 1..<64 {
            let word0 = UInt64(1) | 5 << 1 | 1 << UInt64(bit)
            var isLegal = allowed0 >> UInt64(bit) & 1 == 1
            if [1, 2, 3].contains(bit) { isLegal = [0, 4, 5].contains(word0 >> 1 & 7) }
            let result = errno { _ = try guest.bench.driver.makeNestedDomain(guest.viommu, vste: (word0, 0)) }
            #expect(result == (isLegal ? nil : .EIO), "word 0 bit \(bit)")
        }
        for bit in 0..<64 {
            let word1 = UInt64(1) << UInt64(bit)
            let isLegal = allowed1 >> UInt64(bit) & 1 == 1 && bit != 29
            let result = errno { _ = try guest.bench.driver.makeNestedDomain(guest.viommu, vste: (11, word1)) }
            #expect(result == (isLegal ? nil : .EIO), "word 1 bit \(bit)")
        }
        for configuration in UInt64(0)..<8 {
            let vste = (1 | configuration << 1, UInt64(0))
            let result = errno { _ = try guest.bench.driver.makeNestedDomain(guest.viommu, vste: vste) }
            #expect(result == ([0, 4, 5].contains(configuration) ? nil : .EIO))
        }
    }

    @Test func theBadCommandIsNamed() throws {
        let guest = try Guest()
        let good = Command.CFGI_CD_ALL(streamID: 0x42)
        let unknown = Command.CFGI_CD_ALL(streamID: 0x43)
        do {
            _ = try guest.viommu.invalidate(
                entries: [(good.word0, good.word1), (good.word0, good.word1), (unknown.word0, 0), (good.word0, 0)]
            )
            Issue.record("an unknown virtual StreamID was accepted")
        } catch {
            #expect(error.errno == .EIO)
            #expect(error.members.contains(IOMMUError.Member("handled", .number(2))))
        }
        let issued = guest.bench.driver.queue.commands(since: 0, limit: .max).suffix(3).map(\.command)
        #expect(issued.map(\.opcode) == [.CFGI_CD_ALL, .CFGI_CD_ALL, .SYNC])
        #expect(issued[0].StreamID == 0x100)
    }

    @Test func stage1NeedsAVirtualStreamID() throws {
        let guest = try Guest()
        guest.viommu.removeVDevice(virtualID: 0x42)
        #expect(errno { try guest.attach(guest.tables.vste) } == .ENOENT)
        try guest.attach((9, 0))
        let other = try guest.bench.master(0x101)
        try guest.viommu.setVDevice(virtualID: 0x42, master: guest.master)
        #expect(errno { try guest.viommu.setVDevice(virtualID: 0x42, master: other) } == .EEXIST)
        #expect(errno { try guest.viommu.setVDevice(virtualID: 0x43, master: guest.master) } == .EEXIST)
        let two = try guest.bench.driver.makeMaster(
            streamIDs: [0x300, 0x301], pasidBits: 0, stall: false, pri: false, ats: false
        )
        #expect(errno { try guest.viommu.setVDevice(virtualID: 0x44, master: two) } == .EOPNOTSUPP)
    }

    @Test func eventsCarryTheVirtualStreamID() throws {
        let guest = try Guest(pasidBits: 4)
        try guest.attach(guest.tables.vste)
        _ = guest.bench.translate(guest.master, 0x9000)
        // Legal to install, not to use: more CDs than SubstreamIDs. (S1Fmt = 3 behaves as 0.)
        try guest.attach((guest.tables.vste.0 | 17 << 59, guest.tables.vste.1))
        _ = guest.bench.translate(guest.master, 0x9000)
        try guest.attach(guest.tables.vste)
        guest.tables.writeContext { $0.V = false }
        let command = Command.CFGI_CD(streamID: 0x42, substreamID: 0)
        _ = try guest.viommu.invalidate(entries: [(command.word0, command.word1)])
        _ = guest.bench.translate(guest.master, 0x9000)
        guest.bench.driver.service()
        let records = guest.bench.events.events.compactMap { DriverVIOMMU.virtualized($0, virtualID: 0x42) }
        #expect(records.map(\.type) == [.F_TRANSLATION, .C_BAD_STE, .C_BAD_CD])
        #expect(records.allSatisfy { $0.StreamID == 0x42 })
        var foreign = EventRecord()
        foreign.number = EventType.F_CD_FETCH.rawValue
        #expect(DriverVIOMMU.virtualized(foreign, virtualID: 0x42) == nil)
    }

    /// A guest without stage 1 has nothing to say about ATS: the host invalidates.
    @Test func bypassHasATS() throws {
        let guest = try Guest(ats: true)
        try guest.attach((9, 0))
        #expect(guest.master.isATSEnabled)
        #expect(guest.bench.driver.streams.entry(0x100).EATS == 1)
        #expect(guest.bench.output(guest.master, 0x3abc) == 0x100_0000_3abc)
        guest.bench.link.invalidations = []
        guest.parent.unmap(iova: 0, length: 0x10_0000)
        guest.parent.flush()
        #expect(guest.bench.link.invalidations.map(\.streamID) == [0x100])
        #expect(guest.bench.link.invalidations.first?.log2Size == 64)
        try guest.attach((1, 0))
        #expect(!guest.master.isATSEnabled)
    }

    @Test func guestsATS() throws {
        let guest = try Guest(ats: true)
        try guest.attach((guest.tables.vste.0, guest.tables.vste.1 | 1 << 28))
        #expect(guest.master.isATSEnabled)
        try guest.attach(guest.tables.vste)
        #expect(!guest.master.isATSEnabled)
    }
}
