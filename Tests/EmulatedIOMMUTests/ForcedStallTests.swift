import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU

/// STALL_MODEL = 2: every fault stalls, and every STE and CD has to say so, or is ILLEGAL.
@Suite struct ForcedStallTests {
    private static var identification: Identification {
        var identification = Identification.laboratory
        identification.IDR0 = identification.IDR0 & ~(3 << 24) | 2 << 24
        return identification
    }

    @Test(arguments: [PagingKind.stage1, .stage2, .nestParent], [false, true])
    func faultsThatNobodyHandlesEnd(_ kind: PagingKind, ats: Bool) throws {
        let bench = try DriverTestBench(Self.identification)
        let master = try bench.master(ats: ats)
        let domain = try bench.driver.makePagingDomain(kind, dirtyTracking: false, pasid: false)
        try domain.map(iova: 0x1000, pa: 0x100_0000_0000, length: 0x1000, access: .read, hugePages: true)
        try bench.attach(master, domain)
        #expect(bench.output(master, 0x1234) == 0x100_0000_0234)
        guard case .stalled(let tag, let record, _) = bench.translate(master, 0x5000) else {
            Issue.record("the access did not stall")
            return
        }
        bench.driver.service()
        #expect(bench.events.events == [record] && bench.events.faults.isEmpty)
        let expected = StallResolution(streamID: 0x100, STAG: tag, action: .terminate(abort: true))
        #expect(bench.link.resolutions == [expected])
    }

    /// The address space has ended: its CD stays legal, and what comes is aborted without a word.
    @Test func endedAddressSpacesStaySilent() throws {
        let bench = try DriverTestBench(Self.identification)
        let master = try bench.master(pasidBits: 8)
        let domain = try bench.driver.makeSVADomain()
        try domain.map(va: 0x1000, pa: 0x100_0000_0000, length: 0x1000, access: .read)
        try bench.attach(master, pasid: 3, .sva(domain))
        #expect(bench.output(master, 0x1000, pasid: 3) != nil)
        domain.quiesce()
        guard case .stalled(let tag, _, _) = bench.translate(master, 0x1000, pasid: 3) else {
            Issue.record("the access did not stall: \(bench.translate(master, 0x1000, pasid: 3))")
            return
        }
        bench.driver.service()
        #expect(bench.events.events.isEmpty && bench.events.faults.isEmpty)
        let expected = StallResolution(streamID: 0x100, STAG: tag, action: .terminate(abort: true))
        #expect(bench.link.resolutions == [expected])
        try bench.attach(master, pasid: 3, .blocked)
        #expect(bench.driver.queue.errors == 0)
    }
}
