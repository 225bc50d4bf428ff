import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU

@Suite struct DriverSVATests {
    @Test func liveQuiescedGone() throws {
        let bench = try DriverTestBench()
        let master = try bench.master(pasidBits: 10, stall: true)
        let domain = try bench.driver.makeSVADomain()
        try bench.attach(master, pasid: 3, .sva(domain))
        try domain.map(va: 0x7000_0000_0000, pa: 0x100_0000_0000, length: 0x1000, access: .read)
        #expect(bench.output(master, 0x7000_0000_0123, pasid: 3) == 0x100_0000_0123)
        // A write to what is read-only waits for the address space.
        guard case .stalled = bench.translate(master, 0x7000_0000_0000, pasid: 3, .write) else {
            Issue.record("no stall")
            return
        }
        bench.driver.service()
        let fault = try #require(bench.events.faults.first)
        #expect(fault.pasid == 3)
        bench.driver.respond(to: fault.tag, success: false)
        domain.unmap(va: 0x7000_0000_0000, length: 0x1000)
        domain.invalidate(va: 0x7000_0000_0000, length: 0x1000)
        guard case .stalled = bench.translate(master, 0x7000_0000_0000, pasid: 3) else {
            Issue.record("no stall")
            return
        }
        bench.driver.service()
        bench.driver.respond(to: bench.events.faults[1].tag, success: false)
        try domain.map(va: 0x1000, pa: 0x100_0000_0000, length: 0x1000, access: .read)
        #expect(bench.output(master, 0x1000, pasid: 3) != nil)
        let asid = domain.asid
        domain.quiesce()
        domain.quiesce()
        let records = bench.driver.recordedEvents
        guard case .fault(_, recorded: false) = bench.translate(master, 0x1000, pasid: 3) else {
            Issue.record("DMA into an ended address space is not simply aborted")
            return
        }
        bench.driver.service()
        #expect(bench.driver.recordedEvents == records, "nothing is reported of an ended address space")
        let context = try #require(bench.smmu.lookupCD(streamID: 0x100, substreamID: 3))
        #expect(context.V && context.EPD0 && !context.R && !context.S && context.A && context.ASID == UInt64(asid))
        // Another PASID keeps the CD table in place.
        let other = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: true)
        try bench.attach(master, pasid: 4, other)
        try bench.attach(master, pasid: 3, .blocked)
        guard case .fault(let event, _) = bench.translate(master, 0x1000, pasid: 3) else {
            Issue.record("DMA after the unbind was not reported")
            return
        }
        #expect(event.type == .C_BAD_CD)
        bench.driver.destroy(domain)
        #expect(try bench.driver.asids.take() == UInt32(asid))
    }

    @Test func broadcastSparesTheTLBI() throws {
        let bench = try DriverTestBench()
        let master = try bench.master(pasidBits: 10, ats: true)
        let domain = try bench.driver.makeSVADomain()
        try bench.attach(master, pasid: 3, .sva(domain))
        let before = bench.driver.queue.issued
        bench.link.invalidations = []
        domain.invalidate(va: 0x4000, length: 0x1000, broadcast: true)
        let opcodes = bench.driver.queue.commands(since: before, limit: 10).map(\.command.opcode)
        #expect(opcodes == [.ATC_INV, .SYNC])
        #expect(bench.link.invalidations.map(\.substreamID) == [3])
    }

    /// A device that asks again in between would be served from the TLB: that is empty before its own cache is.
    @Test func theTLBIsEmptyBeforeDevicesForget() throws {
        let bench = try DriverTestBench()
        let master = try bench.master(pasidBits: 10, ats: true)
        let domain = try bench.driver.makeSVADomain()
        try bench.attach(master, pasid: 3, .sva(domain))
        let before = bench.driver.queue.issued
        domain.invalidate(va: 0x4000, length: 0x1000, broadcast: false)
        let opcodes = bench.driver.queue.commands(since: before, limit: 10).map(\.command.opcode)
        #expect(opcodes == [.TLBI_NH_VA, .SYNC, .ATC_INV, .SYNC])
    }

    /// ATS goes off with the last PASID: nothing that the device was told outlives it.
    @Test func theDeviceForgetsEverythingWithItsLastTranslation() throws {
        let bench = try DriverTestBench()
        let master = try bench.master(pasidBits: 10, ats: true)
        let domain = try bench.driver.makeSVADomain()
        for pasid in [3, 4] as [UInt32] { try bench.attach(master, pasid: pasid, .sva(domain)) }
        bench.link.invalidations = []
        try bench.attach(master, pasid: 4, .blocked)
        #expect(bench.link.invalidations.allSatisfy { $0.substreamID == 4 } && !bench.link.invalidations.isEmpty)
        bench.link.invalidations = []
        try bench.attach(master, pasid: 3, .blocked)
        #expect(bench.link.invalidations.map(\.substreamID) == [3, nil])
        bench.link.invalidations = []
        try bench.attach(master, pasid: 3, .blocked)
        #expect(bench.link.invalidations.isEmpty)
    }

    /// The CPUs' ASID belongs to a stage 1 domain in use on two devices: it moves, and nothing is lost or stale.
    @Test func aDomainMovesOutOfTheWay() throws {
        let bench = try DriverTestBench(.oneCommand)
        let masters = [try bench.master(0x100, pasidBits: 10), try bench.master(0x101)]
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: true)
        let address: UInt64 = 0x5000
        try domain.map(iova: address, pa: 0x100_0000_0000, length: 0x1000, access: .read, hugePages: true)
        for master in masters { try bench.attach(master, domain) }
        try bench.attach(masters[0], pasid: 8, domain)
        let old = domain.tag
        let observer = HitlessObserver(bench)
        observer.probes = [(UInt32(0x100), UInt32?.none), (0x101, nil), (0x100, 8)].map { stream, pasid in
            let probe = Transaction(streamID: stream, substreamID: pasid, address: address, access: .read)
            return .init(name: "stream \(stream)", transaction: probe) {
                if case .ok(let output) = $0 { return output.address == 0x100_0000_0000 }
                return false
            }
        }
        try bench.driver.claimASID(old)
        #expect(observer.violations.isEmpty && observer.count > 0)
        #expect(domain.tag != old)
        let shared = try bench.driver.makeSVADomain(claimed: old)
        observer.probes = []
        try bench.attach(masters[0], pasid: 9, .sva(shared))
        #expect(bench.output(masters[0], address, pasid: 9) == nil, "nothing of the old owner's is cached")
        domain.unmap(iova: address, length: 0x1000)
        domain.flush()
        for master in masters { #expect(bench.output(master, address) == nil) }
        // Taken by an address space: no second one.
        #expect { try bench.driver.claimASID(old) } throws: { ($0 as? IOMMUError)?.errno == .EBUSY }
        #expect(bench.driver.queue.errors == 0)
    }

    @Test func aMoveWithoutRoomChangesNothing() throws {
        let bench = try DriverTestBench()
        let master = try bench.master()
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        try bench.attach(master, domain)
        let (tag, issued) = (domain.tag, bench.driver.queue.issued)
        while (try? bench.driver.asids.take()) != nil {}
        #expect { try bench.driver.claimASID(tag) } throws: { ($0 as? IOMMUError)?.errno == .ENOSPC }
        #expect(domain.tag == tag)
        #expect(bench.driver.queue.issued == issued)
        #expect(bench.driver.stage1Domains[tag] === domain)
    }
}

extension DriverSVATests {
    /// An address space ends and its PASID goes while another PASID and the device itself work on.
    @Test func neighboursOfAnEndingAddressSpaceNoticeNothing() throws {
        let bench = try DriverTestBench(.oneCommand)
        let master = try bench.master(pasidBits: 10)
        let own = try DriverHitlessTests.paging(bench, "own", .stage1, 0x100_0000_0000)
        let beside = try DriverHitlessTests.paging(bench, "beside", .stage1, 0x200_0000_0000)
        try bench.attach(master, own.target)
        try bench.attach(master, pasid: 7, beside.target)
        let shared = try bench.driver.makeSVADomain()
        let address = DriverHitlessTests.address
        try shared.map(va: address, pa: 0x300_0000_0000, length: 0x1000, access: .read)
        let observer = HitlessObserver(bench)
        func probe(
            _ name: String, _ pasid: UInt32?, _ allowed: @escaping (Translation) -> Bool
        ) -> HitlessObserver.Probe {
            let transaction = Transaction(streamID: 0x100, substreamID: pasid, address: address, access: .read)
            return .init(name: name, transaction: transaction, allowed: allowed)
        }
        let still = [
            probe("device", nil) { DriverHitlessTests.leads($0, to: own) },
            probe("pasid 7", 7) { DriverHitlessTests.leads($0, to: beside) },
        ]
        func works(_ result: Translation) -> Bool {
            if case .ok(let output) = result { return output.address == 0x300_0000_0000 }
            return false
        }
        func isReported(_ result: Translation, _ type: EventType) -> Bool {
            if case .fault(let event, _) = result { return event.type == type }
            return false
        }
        func isSilent(_ result: Translation) -> Bool {
            if case .fault(_, recorded: false) = result { return true }
            return false
        }
        observer.probes = still + [probe("bind", 3) { works($0) || isReported($0, .C_BAD_CD) }]
        try bench.attach(master, pasid: 3, .sva(shared))
        observer.probes = still + [probe("exit", 3) { works($0) || isSilent($0) }]
        shared.quiesce()
        observer.probes = still + [probe("ended", 3) { isSilent($0) }]
        observer.probe("exit")
        observer.probes = still + [probe("unbind", 3) { isSilent($0) || isReported($0, .C_BAD_CD) }]
        try bench.attach(master, pasid: 3, .blocked)
        #expect(observer.violations.isEmpty, "\(observer.violations.prefix(3))")
        #expect(observer.count > 30)
    }
}
