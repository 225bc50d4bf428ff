import IOMMU
import SMMUv3
import TestSupport
import Testing

@testable import BareSMMU

/// An SMMU that moves with its guest.
@Suite struct StateTests {
    private static let address: UInt64 = 0x1234_5000

    /// A guest with a stream that stalls, where one page is mapped; two transactions wait.
    private func guest() throws -> (guest: BareGuest, table: UInt64) {
        let guest = try BareGuest()
        let (table, context, streams) = try (guest.page(), guest.page(), guest.page())
        var descriptor = ContextDescriptor()
        (descriptor.V, descriptor.AA64, descriptor.A, descriptor.R) = (true, true, true, true)
        (descriptor.EPD1, descriptor.S) = (true, true)
        (descriptor.T0SZ, descriptor.IPS, descriptor.ASID, descriptor.TTB0) = (16, 4, 9, table)
        guest.store(context, descriptor.words)
        var entry = StreamTableEntry()
        (entry.V, entry.Config, entry.S1ContextPtr) = (true, StreamConfiguration.stage1.rawValue, context)
        guest.store(streams + 64, entry.words)
        try guest.map(Self.address, in: table, leaf: 0x9_8765_4000 | 0xf43)
        try guest.enable(streamTable: streams, configuration: 4)
        try guest.issue(.CFGI_ALL(), .SYNC())
        _ = try guest.translate(Self.address, stream: 1)
        for page in [1, 2] as [UInt64] { _ = try guest.translate(Self.address + page << 12, stream: 1, access: .write) }
        return (guest, table)
    }

    /// Another SMMU of the same guest, in its place.
    private func replace(_ guest: BareGuest, _ identity: BareIdentity = .standard) throws {
        guest.vsmmu = try guest.models.createVSMMU(identity)
        try guest.mapMemory()
    }

    @Test func aMovedSMMUGoesOnWhereItWas() throws {
        let (guest, table) = try guest()
        let (registers, stalls) = (try guest.registers(), try guest.models.stalls(of: guest.vsmmu))
        #expect(stalls.map(\.id) == [1, 2])
        let length = try guest.models.saveVSMMU(guest.vsmmu, memory: guest.memoryID, offset: 0x10_0000)
        try replace(guest)
        #expect(try guest.models.loadVSMMU(guest.vsmmu, memory: guest.memoryID, offset: 0x10_0000) == length)
        #expect(try guest.registers() == registers)
        #expect(try guest.models.stalls(of: guest.vsmmu) == stalls)
        // The guest maps what is missing, and has it tried again.
        try guest.map(Self.address + 0x1000, in: table, leaf: 0x9_8765_5000 | 0xf43)
        var told: [BareSMMUNotice] = []
        guest.tell = { told += $0 }
        try guest.issue(.RESUME(streamID: 1, stag: stalls[0].tag, action: .retry), .SYNC())
        #expect(told == [.resume(id: 1, streamID: 1, .retry)])
        let result = try guest.models.translateVSMMU(guest.vsmmu, stalls[0].transaction)
        #expect(result.outcome == .translated(try #require(output(result))) && output(result)?.address == 0x9_8765_5000)
        // New stalls have new names; caches began empty.
        _ = try guest.translate(Self.address + 0x3000, stream: 1)
        #expect(try guest.models.stalls(of: guest.vsmmu).map(\.id) == [2, 3])
        #expect(try !guest.models.translateVSMMU(guest.vsmmu, transaction(Self.address)).isCached)
    }

    /// What an SMMU was before it becomes another one ends as with a reset.
    @Test func loadingEndsWhatWasThere() throws {
        let (guest, _) = try guest()
        _ = try guest.models.saveVSMMU(guest.vsmmu, memory: guest.memoryID, offset: 0x10_0000)
        _ = try guest.translate(Self.address + 0x5000, stream: 1)
        _ = try guest.models.loadVSMMU(guest.vsmmu, memory: guest.memoryID, offset: 0x10_0000)
        let told = guest.models.takeNotices(of: guest.vsmmu)
        #expect(
            told.count == 4 && told.prefix(3).allSatisfy { if case .resume(_, 1, .abort) = $0 { true } else { false } })
        #expect(told.last == .invalidate(BareInvalidation(.all)))
        #expect(try guest.models.stalls(of: guest.vsmmu).map(\.id) == [1, 2])
    }

    private func transaction(_ address: UInt64) -> TransactionRequest {
        TransactionRequest(streamID: 1, pasid: nil, address: address, access: .read, privileged: false)
    }

    private func output(_ result: TranslationResult) -> TranslationOutput? {
        if case .translated(let output) = result.outcome { return output }
        return nil
    }

    /// Whatever is changed in it, it is refused, and the SMMU is what it was.
    @Test func aChangedStateIsRefused() throws {
        let (guest, _) = try guest()
        let place = BareGuest.base + 0x10_0000
        let length = try guest.models.saveVSMMU(guest.vsmmu, memory: guest.memoryID, offset: 0x10_0000)
        func load() throws { _ = try guest.models.loadVSMMU(guest.vsmmu, memory: guest.memoryID, offset: 0x10_0000) }
        let before = try guest.registers()
        for word in 0..<length / 8 {
            let address = place + word * 8
            let kept = guest[address]
            for bit in [0, 17, 63] as [UInt64] {
                guest[address] = kept ^ 1 << bit
                let error = refusal { try load() }
                #expect(error?.errno == .EINVAL, "word \(word)")
                #expect(error?.reason == (word == 1 ? .stateVersion : .stateCorrupt), "word \(word)")
            }
            guest[address] = kept
        }
        #expect(try guest.registers() == before)
        #expect(try guest.models.stalls(of: guest.vsmmu).map(\.id) == [1, 2])
        #expect(!guest.models.hasNotices)
        try replace(guest, .full)
        #expect(refusal { try load() }?.reason == .stateMismatch)
    }

    /// Words with a checksum of their own that no SMMU ever wrote.
    @Test func aMadeUpStateIsRefusedOrHarmless() throws {
        let (guest, _) = try guest()
        let vsmmu = try guest.models.vsmmu(guest.vsmmu)
        let words = vsmmu.saveState()
        var generator = SeededGenerator(seed: 5)
        var accepted = 0
        for _ in 0..<3_000 {
            var changed = words
            for _ in 0...generator.next(below: 2) {
                changed[generator.next(below: changed.count)] = generator.next() >> generator.next(below: UInt64(64))
            }
            if generator.next(below: 10) == 0 { changed.removeLast(generator.next(below: changed.count)) }
            do {
                try vsmmu.loadState(changed)
                accepted += 1
            } catch {
                #expect(error.errno == .EINVAL)
            }
            for stream in [0, 1, 70_000] as [UInt32] { _ = try guest.translate(Self.address, stream: stream) }
            try guest.models.write(guest.vsmmu, offset: 0x98, size: 4, 5) { _ in }
            _ = try guest.models.stalls(of: guest.vsmmu)
        }
        #expect(accepted > 0)
    }
}
