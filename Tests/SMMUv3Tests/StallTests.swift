import SMMUv3
import Testing

/// Stalled transactions, CMD_RESUME and CMD_STALL_TERM (3.12.2, 4.7).
@Suite struct StallTests {
    private let machine: Machine
    private let root: UInt64
    private let cd: UInt64

    init() throws {
        machine = try Machine(Identification.laboratory.with(\.IDR5, 31, 16, 12))
        root = machine.allocate()
        cd = machine.allocate()
        var descriptor = machine.context(root)
        (descriptor.S, descriptor.R) = (true, false)
        machine.set(descriptor, at: cd)
        machine.set(machine.stage1(cd), stream: 1)
    }

    @Test func faultStallsAndRetryTranslates() throws {
        guard case .stalled(let STAG, let event, true) = machine.translate(0x1000, .write) else {
            Issue.record("did not stall")
            return
        }
        #expect(event.Stall && event.STAG == STAG && event.type == .F_TRANSLATION)
        #expect(try machine.events() == [event])
        machine.map(root, 0x1000, 0x5000)
        try machine.submit(.RESUME(streamID: 2, stag: STAG, action: .retry))
        #expect(machine.resolutions.isEmpty)
        try machine.submit(.RESUME(streamID: 1, stag: STAG, action: .retry))
        #expect(machine.resolutions == [StallResolution(streamID: 1, STAG: STAG, action: .retry)])
        #expect(machine.translate(0x1000, .write).address == 0x5000)
        #expect(machine.smmu.stalledTransactions.isEmpty)
    }

    @Test func termination() throws {
        for address in stride(from: UInt64(0x1000), through: 0x3000, by: 0x1000) {
            _ = machine.translate(address)
        }
        let tags = machine.smmu.stalledTransactions.map(\.STAG)
        #expect(Set(tags).count == 3)
        try machine.submit(.RESUME(streamID: 1, stag: tags[1], action: .terminate(abort: false)))
        #expect(machine.resolutions.map(\.action) == [.terminate(abort: false)])
        try machine.submit(.STALL_TERM(streamID: 2), .STALL_TERM(streamID: 1))
        #expect(machine.resolutions.map(\.STAG) == [tags[1], tags[0], tags[2]])
        #expect(machine.resolutions.last?.action == .terminate(abort: true))
    }

    @Test func recordsOfStallsWaitForTheQueue() throws {
        for index in 0..<10 {
            _ = machine.translate(UInt64(index) << 12)
        }
        // Eight fit; stalls cause no overflow (7.4).
        #expect(machine.read(.EVENTQ_PROD) & 1 << 31 == 0)
        let first = try machine.events()
        let second = try machine.events()
        #expect(first.count == 8 && second.map(\.InputAddr) == [0x8000, 0x9000])
    }

    @Test func aRecordThatTheQueueHasNotTakenIsNotCalledRecorded() throws {
        try machine.write(.CR0, 0x1b)
        guard case .stalled(_, let event, false) = machine.translate(0x1000) else {
            Issue.record("is told to be recorded while the queue is disabled")
            return
        }
        #expect(machine.read(.EVENTQ_PROD) == 0)
        try machine.write(.CR0, 0x1f)
        #expect(try machine.events() == [event])
    }

    @Test func staleRecordsAreRetriedInstead() throws {
        for index in 0..<9 {
            _ = machine.translate(UInt64(index) << 12)
        }
        try machine.submit(.TLBI_NH_ALL(), .SYNC())
        _ = try machine.events()
        #expect(try machine.events().isEmpty)
        #expect(machine.resolutions.map(\.action) == [.retry] && machine.resolutions.map(\.isRecorded) == [false])
        #expect(machine.smmu.stalledTransactions.count == 8)
    }

    /// Without a place the stalling configuration is not honoured: an abort, whose record says so (3.12).
    @Test func stallsAreBounded() throws {
        for index in 0..<12 {
            #expect(machine.translate(UInt64(index) << 12).event?.Stall == true)
        }
        _ = try machine.events()
        _ = try machine.events()
        guard case .fault(let event, recorded: true) = machine.translate(0x10_0000, .write) else {
            Issue.record("a fault without a place is no fault with a record")
            return
        }
        #expect(!event.Stall && event.STAG == 0 && event.type == .F_TRANSLATION && event.InputAddr == 0x10_0000)
        #expect(try machine.events() == [event] && machine.smmu.lastFaultAborts)
    }

    /// Or it is held back, until there is one or its sender may take one (3.12.2.3); it has left no trace then.
    @Test func transactionsWithoutAPlaceAreHeldBack() throws {
        machine.smmu.stallOverflow = .hold
        machine.smmu.admitsStalls = false
        guard case .held(let event) = machine.translate(0x1000) else {
            Issue.record("takes a place without leave")
            return
        }
        #expect(event.type == .F_TRANSLATION && !event.Stall)
        machine.smmu.admitsStalls = true
        for index in 0..<12 { _ = machine.translate(UInt64(index) << 12) }
        guard case .held = machine.translate(0x10_0000) else {
            Issue.record("takes a place that there is not")
            return
        }
        let recorded = try machine.events() + machine.events()
        #expect(recorded.count == 12 && recorded.allSatisfy { $0.InputAddr < 0x10_0000 })
        try machine.submit(.RESUME(streamID: 1, stag: recorded[0].STAG, action: .terminate(abort: true)))
        #expect(machine.translate(0x10_0000).event?.Stall == true)
        // What does not fault needs no place.
        machine.map(root, 0x20_0000, 0x5000)
        #expect(machine.translate(0x20_0000).address == 0x5000)
    }

    @Test func disablingTerminates() throws {
        _ = machine.translate(0x1000)
        try machine.write(.CR0, 0)
        #expect(machine.resolutions.map(\.action) == [.terminate(abort: true)])
    }

    @Test func otherFaultsNeverStall() {
        machine.memory[root] = 0x3_0000_0000 | 3
        #expect(machine.translate(0x1000).type == .F_WALK_EABT)
        #expect(machine.smmu.stalledTransactions.isEmpty)
    }

    @Test func stallModels() throws {
        let none = try Machine(Identification.laboratory.with(\.IDR0, 25, 24, 1))
        let cd = none.allocate()
        var descriptor = none.context(none.allocate())
        descriptor.S = true
        none.set(descriptor, at: cd)
        none.set(none.stage1(cd), stream: 1)
        #expect(none.translate(0x1000).type == .C_BAD_CD)
        try none.submit(.RESUME(streamID: 1, stag: 0, action: .retry))
        #expect(none.commandError == 1)
        let forced = try Machine(Identification.laboratory.with(\.IDR0, 25, 24, 2))
        descriptor.S = false
        forced.set(descriptor, at: cd)
        forced.set(forced.stage1(cd), stream: 1)
        #expect(forced.translate(0x1000).type == .C_BAD_CD)
        var ste = machine.stage1(self.cd)
        ste.S1STALLD = true
        machine.set(ste, stream: 1)
        #expect(machine.translate(0x1000).type == .C_BAD_CD)
    }

    @Test func stage2Stalls() throws {
        var ste = machine.stage2(machine.allocate(8192))
        (ste.S2S, ste.S2R) = (true, false)
        machine.set(ste, stream: 3)
        let event = try #require(machine.translate(0x1000, stream: 3).event)
        #expect(event.Stall && event.S2)
    }
}
