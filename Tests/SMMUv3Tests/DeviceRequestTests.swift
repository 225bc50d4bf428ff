import SMMUv3
import Testing

/// ATS and PRI (3.9, 8).
@Suite struct DeviceRequestTests {
    private let machine: Machine
    private let root: UInt64
    private let cd: UInt64

    init() throws {
        machine = try Machine(CR2: 2)
        root = machine.allocate()
        cd = machine.allocate()
        machine.set(machine.context(root), at: cd)
        var ste = machine.stage1(cd)
        ste.EATS = 1
        machine.set(ste, stream: 1)
        machine.set(machine.stage1(cd), stream: 2)
    }

    // MARK: ATS

    @Test func translationRequestGrantsWhatTablesPermit() throws {
        machine.map(root, 0x1000, 0x5000)
        machine.map(root, 0x2000, 0x6000, Machine.page | PageDescriptor.AP2)
        guard case .ok(let writable) = machine.translationRequest(0x1000, .write),
            case .ok(let readable) = machine.translationRequest(0x2000, .write)
        else {
            Issue.record("no completion")
            return
        }
        #expect(writable.address == 0x5000 && writable.attributes.isWritable && writable.pageSize == 4096)
        #expect(readable.address == 0x6000 && readable.attributes.isReadable && !readable.attributes.isWritable)
        #expect(machine.translationRequest(0x3000).termination == .atsNoAccess)
        #expect(try machine.events().isEmpty)
    }

    @Test func translationRequestMarksAWriteDirty() throws {
        var descriptor = machine.context(root)
        (descriptor.HA, descriptor.HD) = (true, true)
        machine.set(descriptor, at: cd)
        let leaf = machine.map(root, 0x1000, 0x5000, Machine.page | PageDescriptor.AP2 | PageDescriptor.DBM)
        _ = machine.translationRequest(0x1000, .read)
        #expect(machine.memory[leaf] & PageDescriptor.AP2 != 0)
        _ = machine.translationRequest(0x1000, .write)
        #expect(machine.memory[leaf] & PageDescriptor.AP2 == 0)
    }

    @Test func refusedTranslationRequests() throws {
        #expect(machine.translationRequest(0x1000, stream: 2).termination == .atsUnsupportedRequest)
        #expect(try machine.events().map(\.type) == [.F_BAD_ATS_TREQ])
        #expect(machine.translationRequest(0x1000, stream: 3).termination == .atsCompleterAbort)
        #expect(machine.translationRequest(0x1000, stream: 999).termination == .atsCompleterAbort)
        #expect(try machine.events().isEmpty)
        try machine.write(.CR0, 0xe)
        #expect(machine.translationRequest(0x1000).termination == .atsUnsupportedRequest)
        #expect(try machine.events().map(\.type) == [.F_BAD_ATS_TREQ])
    }

    @Test func configurationErrorsOfRequestsAreRecordedOnDemand() throws {
        let machine = try Machine(Identification.laboratory.with(\.IDR0, 23, 23, 1), CR2: 0xa)
        #expect(machine.translationRequest(0x1000).termination == .atsCompleterAbort)
        #expect(machine.translationRequest(0x1000, stream: 999).termination == .atsCompleterAbort)
        #expect(try machine.events().map(\.type) == [.C_BAD_STE, .C_BAD_STREAMID])
    }

    @Test func translatedTransactions() throws {
        #expect(machine.translated(0x5000).address == 0x5000)
        #expect(machine.translated(0x5000, stream: 2).type == .F_TRANSL_FORBIDDEN)
        #expect(machine.translated(0x1000_0000_0000).termination == .addressBeyondOAS)
        #expect(machine.translated(0x5000, stream: 3).termination == .atsTranslatedForbidden)
        try machine.write(.CR0, 0xf)
        #expect(machine.translated(0x5000, stream: 2).address == 0x5000)
        try machine.write(.CR0, 0xe)
        #expect(machine.translated(0x5000).type == .F_TRANSL_FORBIDDEN)
    }

    @Test func splitStage() throws {
        let stage2 = machine.allocate(8192)
        for page in stride(from: UInt64(0x100_0000), to: 0x104_0000, by: 4096) {
            machine.map(stage2, page, page, Machine.stage2Page, start: 1)
        }
        machine.map(root, 0x1000, 0x9000_0000)
        machine.map(stage2, 0x9000_0000, 0x7000, Machine.stage2Page, start: 1)
        var ste = machine.stage2(stage2)
        (ste.Config, ste.S1ContextPtr, ste.EATS) = (StreamConfiguration.nested.rawValue, cd, 2)
        machine.set(ste, stream: 4)
        #expect(machine.translationRequest(0x1000, stream: 4).address == 0x9000_0000)
        #expect(machine.translated(0x9000_0010, stream: 4, .write).address == 0x7010)
        #expect(machine.translated(0xa000_0000, stream: 4).type == .F_TRANSLATION)
        ste.Config = StreamConfiguration.stage1.rawValue
        machine.set(ste, stream: 5)
        #expect(machine.translate(0x1000, stream: 5).type == .C_BAD_STE)
    }

    @Test func invalidations() throws {
        try machine.submit(
            .ATC_INV(streamID: 1, substreamID: 3, address: 0x1234_5000, size: 4, global: true),
            .ATC_INV(streamID: 1, substreamID: nil, address: 0x1000, size: 52), .SYNC())
        #expect(
            machine.invalidations == [
                ATCInvalidation(streamID: 1, substreamID: 3, global: true, address: 0x1234_0000, log2Size: 16),
                ATCInvalidation(streamID: 1, substreamID: nil, global: false, address: 0, log2Size: 64),
            ])
        machine.answersInvalidations = false
        try machine.submit(.ATC_INV(streamID: 1, substreamID: nil, address: 0, size: 0), .SYNC())
        #expect(machine.commandError == 3)
        machine.answersInvalidations = true
        try machine.write(.GERRORN, machine.read(.GERROR))
        #expect(machine.commandError == 0)
        #expect(machine.read(.CMDQ_CONS) & 0xfffff == machine.read(.CMDQ_PROD))
    }

    // MARK: PRI

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

extension Machine {
    fileprivate func translationRequest(_ address: UInt64, stream: UInt32 = 1, _ access: Access = .read) -> Translation
    {
        translate(address, stream: stream, access, .translationRequest)
    }

    fileprivate func translated(_ address: UInt64, stream: UInt32 = 1, _ access: Access = .read) -> Translation {
        translate(address, stream: stream, access, .translated)
    }
}
