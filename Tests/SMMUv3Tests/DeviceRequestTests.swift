import SMMUv3
import Testing

/// ATS (3.9, 13.7).
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

    /// R, W, X, Priv and Span of what was asked for; X and Priv come with a PASID only (7.3.6, 13.7.1).
    @Test(
        arguments: [
            (nil, .read, false, 0x8000_0001), (nil, .write, false, 0xc000_0001), (nil, .execute, true, 0x8000_0001),
            (3, .read, false, 0x8000_0001), (3, .write, true, 0xd000_0001), (3, .execute, false, 0xa000_0001),
            (3, .execute, true, 0xb000_0001),
        ] as [(UInt32?, Access, Bool, UInt64)])
    func aRefusedRequestIsRecordedAsItWas(
        substream: UInt32?, access: Access, privileged: Bool, word: UInt64
    ) throws {
        for isEnabled in [true, false] {
            try machine.write(.CR0, isEnabled ? 0x1f : 0x1e)
            _ = machine.translate(
                0x1234_5678, stream: 2, substream: substream, access, privileged: privileged, .translationRequest)
            let event = try #require(try machine.events().first)
            #expect(event.type == .F_BAD_ATS_TREQ && event.StreamID == 2 && event.substream == substream)
            #expect(event.word1 == word && event.word2 == 0x1234_5000 && event.word3 == 0)
            let fields = event.fields.map(\.name.description)
            #expect(fields.suffix(6) == ["R", "W", "X", "Priv", "Span", "InputAddr"])
        }
    }

    /// Descriptor, access, privileged, and R, W, Exe of the completion (the table of 13.7).
    @Test(
        arguments: [
            (PageDescriptor.AP1 | PageDescriptor.AP2, .read, false, "R"), (PageDescriptor.AP1, .write, false, "RW"),
            (PageDescriptor.AP1 | PageDescriptor.AP2, .write, false, "R"), (0, .write, true, "RW"),
            (PageDescriptor.AP1 | PageDescriptor.UXN, .execute, false, "R"),
            (PageDescriptor.AP1, .read, false, "R"), (PageDescriptor.AP1, .execute, false, "RX"),
            (0, .execute, false, ""), (0, .read, false, ""),
        ] as [(UInt64, Access, Bool, String)])
    func completionsGrantWhatWasAskedFor(bits: UInt64, access: Access, privileged: Bool, granted: String) throws {
        let leaf = PageDescriptor.AF | PageDescriptor.nG
        machine.map(root, 0x1000, 0x5000, leaf | bits)
        var ste = machine.stage1(cd)
        (ste.EATS, ste.S1CDMax) = (1, 2)
        machine.set(ste, stream: 1)
        machine.set(machine.context(root), at: cd + 64)
        let answer = machine.translate(
            0x1000, substream: 1, access, privileged: privileged, .translationRequest)
        #expect(answer.granted == granted)
    }

    /// A page that is not dirty yet is writable for who asked to write only: nobody would mark it later (3.13.7.1).
    @Test func aReadRequestGrantsNoWrites() throws {
        var descriptor = machine.context(root)
        (descriptor.HA, descriptor.HD) = (true, true)
        machine.set(descriptor, at: cd)
        let leaf = machine.map(root, 0x1000, 0x5000, Machine.page | PageDescriptor.AP2 | PageDescriptor.DBM)
        #expect(machine.translationRequest(0x1000, .read).granted == "R")
        #expect(machine.memory[leaf] & PageDescriptor.AP2 != 0)
        #expect(machine.translationRequest(0x1000, .write).granted == "RW")
        #expect(machine.memory[leaf] & PageDescriptor.AP2 == 0)
    }

    /// S1DSS = 0b01: without a PASID the device gets the identity, readable and writable (13.6.4).
    @Test func requestsThatSkipStage1() throws {
        var ste = machine.stage1(cd)
        (ste.EATS, ste.S1CDMax, ste.S1DSS) = (1, 2, 1)
        machine.set(ste, stream: 1)
        let answer = machine.translationRequest(0x7000)
        #expect(answer.address == 0x7000 && answer.granted == "RW")
        ste.S1DSS = 0
        machine.set(ste, stream: 4)
        #expect(machine.translationRequest(0x7000, stream: 4).termination == .atsCompleterAbort)
        #expect(try machine.events().isEmpty)
    }

    @Test func overridesOfInstructionApplyToRequests() throws {
        let machine = try Machine(Identification.laboratory.with(\.IDR1, 26, 26, 1))
        let (root, cd) = (machine.allocate(), machine.allocate())
        machine.set(machine.context(root), at: cd)
        machine.set(machine.context(root), at: cd + 64)
        var ste = machine.stage1(cd)
        (ste.EATS, ste.S1CDMax, ste.INSTCFG) = (1, 2, 0b11)
        machine.set(ste, stream: 1)
        // Execute-only at the privilege that asks: reads are fetches here, so that they may.
        machine.map(root, 0x1000, 0x5000, PageDescriptor.AF | PageDescriptor.nG)
        let answer = machine.translate(0x1000, substream: 1, .execute, .translationRequest)
        #expect(answer.granted == "RX")
        ste.INSTCFG = 0b10
        machine.set(ste, stream: 2)
        machine.map(root, 0x2000, 0x6000, Machine.page | PageDescriptor.UXN)
        let data = machine.translate(0x2000, stream: 2, substream: 1, .execute, .translationRequest)
        #expect(data.granted == "RX")
    }

    @Test func configurationErrorsOfRequestsAreRecordedOnDemand() throws {
        let machine = try Machine(Identification.laboratory.with(\.IDR0, 23, 23, 1), CR2: 0xa)
        #expect(machine.translationRequest(0x1000).termination == .atsCompleterAbort)
        #expect(machine.translationRequest(0x1000, stream: 999).termination == .atsCompleterAbort)
        #expect(try machine.events().map(\.type) == [.C_BAD_STE, .C_BAD_STREAMID])
    }

    /// For Translated transactions REC_CFG_ATS alone decides, whatever RECINVSID says (3.9.1.3).
    @Test(arguments: [0x8, 0xa] as [UInt64])
    func configurationErrorsOfTranslatedTransactions(CR2: UInt64) throws {
        let machine = try Machine(Identification.laboratory.with(\.IDR0, 23, 23, 1), CR2: CR2)
        #expect(machine.translated(0x1000).termination == .atsTranslatedForbidden)
        #expect(machine.translated(0x1000, stream: 999).termination == .atsTranslatedForbidden)
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
}

extension Machine {
    func translationRequest(_ address: UInt64, stream: UInt32 = 1, _ access: Access = .read) -> Translation {
        translate(address, stream: stream, access, .translationRequest)
    }

    func translated(_ address: UInt64, stream: UInt32 = 1, _ access: Access = .read) -> Translation {
        translate(address, stream: stream, access, .translated)
    }
}

extension Translation {
    /// R, W and X of an output.
    var granted: String? {
        switch self {
        case .ok(let output):
            let attributes = output.attributes
            return (attributes.isReadable ? "R" : "") + (attributes.isWritable ? "W" : "")
                + (attributes.isExecutable ? "X" : "")
        case .terminated(.atsNoAccess): return ""
        default: return nil
        }
    }
}
