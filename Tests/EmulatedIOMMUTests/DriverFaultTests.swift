import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU

@Suite struct DriverFaultTests {
    @Test func stallWaitsForTheAnswer() throws {
        let bench = try DriverTestBench()
        let master = try bench.master(stall: true)
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        try bench.attach(master, domain, faults: true)
        guard case .stalled(let tag, _, _) = bench.translate(master, 0x5678, .write) else {
            Issue.record("the access did not stall")
            return
        }
        bench.driver.service()
        let fault = try #require(bench.events.faults.first)
        #expect(fault.tag == .stall(streamID: 0x100, stag: tag))
        #expect(fault.address == 0x5678)
        #expect(fault.permissions == .write)
        #expect(fault.pasid == nil && fault.last)
        #expect(bench.link.resolutions.isEmpty)
        try domain.map(iova: 0x5000, pa: 0x100_0000_0000, length: 0x1000, access: [.read, .write], hugePages: true)
        bench.driver.respond(to: fault.tag, success: true)
        #expect(bench.link.resolutions == [StallResolution(streamID: 0x100, STAG: tag, action: .retry)])
        #expect(bench.output(master, 0x5678, .write) == 0x100_0000_0678)
        #expect(bench.driver.queue.errors == 0)
    }

    @Test func refusedStallIsAborted() throws {
        let bench = try DriverTestBench()
        let master = try bench.master(stall: true)
        let domain = try bench.driver.makePagingDomain(.stage2, dirtyTracking: false, pasid: false)
        try bench.attach(master, domain, faults: true)
        guard case .stalled(let tag, _, _) = bench.translate(master, 0x5678) else {
            Issue.record("the access did not stall")
            return
        }
        bench.driver.service()
        bench.driver.respond(to: try #require(bench.events.faults.first).tag, success: false)
        #expect(
            bench.link.resolutions == [StallResolution(streamID: 0x100, STAG: tag, action: .terminate(abort: true))]
        )
    }

    /// A device that can stall does, whoever handles its faults: if nobody does, the stall is aborted and reported.
    @Test(arguments: [PagingKind.stage1, .stage2, .nestParent])
    func missWithoutFaultHandlingIsAnEvent(_ kind: PagingKind) throws {
        let bench = try DriverTestBench()
        let master = try bench.master(stall: true)
        let domain = try bench.driver.makePagingDomain(kind, dirtyTracking: false, pasid: false)
        try bench.attach(master, domain)
        guard case .stalled(let tag, let record, _) = bench.translate(master, 0x5678) else {
            Issue.record("the access did not stall")
            return
        }
        bench.driver.service()
        #expect(record.Stall && bench.events.events == [record])
        let expected = StallResolution(streamID: 0x100, STAG: tag, action: .terminate(abort: true))
        #expect(bench.link.resolutions == [expected])
        #expect(bench.events.masters.first??.streamIDs == [0x100])
        #expect(bench.driver.events(since: 0, limit: 10).map(\.sequence) == [1])
        #expect(bench.events.faults.isEmpty)
    }

    /// More faults than the queue holds: the driver acknowledges the overflow and goes on.
    @Test func eventQueueOverflow() throws {
        let bench = try DriverTestBench()
        let master = try bench.master()
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        try bench.attach(master, domain)
        for index in 0..<600 { _ = bench.translate(master, UInt64(index) << 12) }
        bench.driver.service()
        #expect(bench.events.events.count == 512)
        _ = bench.translate(master, 0xabc_d000)
        bench.driver.service()
        #expect(bench.events.events.last?.InputAddr == 0xabc_d000)
        #expect(bench.events.events.count == 513)
    }

    @Test func pageRequestsAreAnsweredByGroup() throws {
        let bench = try DriverTestBench()
        let master = try bench.master(pasidBits: 10, pri: true, ats: true)
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: true)
        try bench.attach(master, pasid: 9, domain, faults: true)
        #expect(master.isATSEnabled)
        for (address, last) in [(UInt64(0x1000), false), (0x2000, true)] {
            _ = bench.smmu.receive(
                PageRequest(
                    streamID: 0x100, substreamID: 9, address: address, access: .write, prgIndex: 3, isLast: last
                )
            )
        }
        bench.driver.service()
        #expect(bench.events.faults.map(\.address) == [0x1000, 0x2000])
        #expect(bench.events.faults.map(\.last) == [false, true])
        #expect(bench.events.faults.map(\.permissions) == [[.read, .write], [.read, .write]])
        #expect(bench.link.answers.isEmpty)
        bench.driver.respond(to: bench.events.faults[1].tag, success: true)
        #expect(
            bench.link.answers
                == [PageRequestAnswer(streamID: 0x100, substreamID: 9, prgIndex: 3, response: .Success)]
        )
        // Nobody handles faults of the device itself.
        _ = bench.smmu.receive(
            PageRequest(streamID: 0x100, substreamID: nil, address: 0x1000, access: .read, prgIndex: 4, isLast: true)
        )
        bench.driver.service()
        #expect(bench.link.answers.last?.response == .ResponseFailure)
    }

    @Test func deviceThatIgnoresInvalidationsDoesNotHangTheQueue() throws {
        let bench = try DriverTestBench()
        let master = try bench.master(ats: true)
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        try domain.map(iova: 0x1000, pa: 0x100_0000_0000, length: 0x1000, access: .read, hugePages: true)
        try bench.attach(master, domain)
        bench.link.deviceAnswers = false
        #expect(bench.output(master, 0x1000) != nil)
        domain.unmap(iova: 0x1000, length: 0x1000)
        domain.flush()
        #expect(bench.driver.queue.errors > 0)
        #expect(bench.output(master, 0x1000) == nil)
    }

    @Test func devicesForgetWhatIsUnmapped() throws {
        let bench = try DriverTestBench()
        let master = try bench.master(pasidBits: 10, ats: true)
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: true)
        try domain.map(iova: 0x10_0000, pa: 0x100_0000_0000, length: 0x8000, access: .read, hugePages: true)
        try bench.attach(master, domain)
        try bench.attach(master, pasid: 4, domain)
        bench.link.invalidations = []
        domain.unmap(iova: 0x10_0000, length: 0x8000)
        domain.flush()
        let expected = [nil, UInt32(4)].map {
            ATCInvalidation(streamID: 0x100, substreamID: $0, global: false, address: 0x10_0000, log2Size: 15)
        }
        #expect(bench.link.invalidations == expected)
        try bench.attach(master, pasid: 4, .blocked)
        #expect(bench.link.invalidations.contains { $0.substreamID == 4 && $0.log2Size == 64 })
        try bench.attach(master, .blocked)
        #expect(!master.isATSEnabled)
    }
}
