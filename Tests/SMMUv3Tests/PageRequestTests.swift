import SMMUv3
import Testing

/// PRI (8).
@Suite struct PageRequestTests {
    private let machine: Machine

    init() throws {
        machine = try Machine(CR2: 2)
        machine.set(machine.stage1(machine.allocate()), stream: 1)
    }

    private func request(_ index: UInt16, last: Bool = true, substream: UInt32? = nil, stream: UInt32 = 1)
        -> PageRequest
    {
        PageRequest(
            streamID: stream, substreamID: substream, address: 0x1234_5000, access: .write, prgIndex: index,
            isLast: last)
    }

    @Test func requestsAreQueuedAndAnswered() throws {
        let asked = request(7, substream: 3)
        #expect(machine.smmu.receive(asked) == .queued)
        #expect(machine.memory[Machine.priQueue] == asked.word0 && machine.memory[Machine.priQueue + 8] == asked.word1)
        #expect(asked.word0 == 0xf000_0003_0000_0001 && asked.word1 == 0x1234_5007)
        #expect(machine.interrupts == [.priQueue])
        try machine.submit(.PRI_RESP(streamID: 1, substreamID: 3, prgIndex: 7, response: .Success))
        #expect(
            machine.answers == [PageRequestAnswer(streamID: 1, substreamID: 3, prgIndex: 7, response: .Success)])
    }

    @Test func overflowIsAnsweredUntilAcknowledged() throws {
        for index in 0..<4 {
            #expect(machine.smmu.receive(request(UInt16(index))) == .queued)
        }
        #expect(machine.smmu.receive(request(4, last: false)) == .discarded)
        #expect(machine.read(.PRIQ_PROD) & 1 << 31 != 0)
        let success = PageRequestAnswer(streamID: 1, substreamID: nil, prgIndex: 5, response: .Success)
        #expect(machine.smmu.receive(request(5)) == .answered(success))
        // STE.PPAR = 0: the answer carries no PASID (8.1).
        #expect(machine.smmu.receive(request(5, substream: 3)) == .answered(success))
        let failure = PageRequestAnswer(streamID: 3, substreamID: nil, prgIndex: 5, response: .ResponseFailure)
        #expect(machine.smmu.receive(request(5, substream: 3, stream: 3)) == .answered(failure))
        try machine.write(.PRIQ_CONS, machine.read(.PRIQ_PROD) & 0x7fff_ffff)
        #expect(machine.smmu.receive(request(5)) == .answered(success))
        try machine.write(.PRIQ_CONS, machine.read(.PRIQ_PROD))
        #expect(machine.smmu.receive(request(5)) == .queued)
    }

    /// In an overflow only the last request of a group is looked at and answered (8.1).
    @Test func overflowIgnoresOtherRequestsWhateverTheirStream() throws {
        let machine = try Machine(Identification.laboratory.with(\.IDR0, 23, 23, 1), CR2: 0xa)
        for index in 0..<4 { _ = machine.smmu.receive(request(UInt16(index))) }
        for stream in [3, 999] as [UInt32] {
            #expect(machine.smmu.receive(request(4, last: false, substream: 3, stream: stream)) == .discarded)
        }
        var marker = request(4, substream: 3, stream: 999)
        marker.word0 &= ~(0b11 << 60)
        #expect(marker.isStopMarker && machine.smmu.receive(marker) == .discarded)
        #expect(try machine.events().isEmpty)
        let failure = PageRequestAnswer(streamID: 999, substreamID: nil, prgIndex: 5, response: .ResponseFailure)
        #expect(machine.smmu.receive(request(5, substream: 3, stream: 999)) == .answered(failure))
        #expect(try machine.events().map(\.type) == [.C_BAD_STREAMID])
    }

    /// LWR = 0b100 is a Stop Marker with a PASID only; without, it is a page request and wants an answer (8).
    @Test func stopMarkersHaveAPASID() throws {
        try machine.write(.CR0, 0xd)
        var marker = request(1, substream: 3)
        var plain = request(1)
        (marker.word0, plain.word0) = (marker.word0 & ~(0b11 << 60), plain.word0 & ~(0b11 << 60))
        #expect(marker.isStopMarker && !plain.isStopMarker)
        #expect(machine.smmu.receive(marker) == .discarded)
        let failure = PageRequestAnswer(streamID: 1, substreamID: nil, prgIndex: 1, response: .ResponseFailure)
        #expect(machine.smmu.receive(plain) == .answered(failure))
        // An SMMU without substreams knows no PASIDs, so no markers either.
        let single = try Machine(Identification.laboratory.with(\.IDR1, 10, 6, 0))
        #expect(single.smmu.receive(marker) == .queued)
        #expect(single.memory[Machine.priQueue] == 0x4000_0000_0000_0001)
    }

    @Test func disabledAndAbortedQueuesFail() throws {
        let failure = PageRequestOutcome.answered(
            PageRequestAnswer(streamID: 1, substreamID: nil, prgIndex: 1, response: .ResponseFailure))
        try machine.write(.CR0, 0xd)
        #expect(machine.smmu.receive(request(1, substream: 3)) == failure)
        try machine.write(.PRIQ_BASE, 0x3_0000_0002)
        try machine.write(.CR0, 0xf)
        #expect(machine.smmu.receive(request(1)) == failure)
        #expect(machine.read(.GERROR) & UInt64(GERROR.PRIQ_ABT_ERR) != 0)
    }
}
