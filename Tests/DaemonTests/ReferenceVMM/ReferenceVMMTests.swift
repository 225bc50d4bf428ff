import JSONRPC
import SMMUv3
import TestSupport
import Testing

/// A guest's driver, a VMM, its devices and the daemon, over the socket.
struct ReferenceVMMTests {
    private typealias Access = ReferenceVMM.Access

    private let daemon: RunningDaemon
    private let vmm: ReferenceVMM

    init() throws {
        daemon = try RunningDaemon()
        vmm = try ReferenceVMM(try daemon.connect())
    }

    private func access(_ stream: UInt32, _ address: UInt64, pasid: UInt32? = nil) -> Access {
        Access(stream: stream, pasid: pasid, address: address, isWrite: true)
    }

    /// DMA through mapped pages; after an unmap storm none of them is written to any more.
    @Test func anUnmapStormReachesEveryPage() throws {
        let guest = try ReferenceGuest(vmm)
        let contexts = guest.page()
        try guest.bind(0x108, contexts: contexts, pasid: 0, asid: 5, stalls: false)
        try guest.attach(0x108, contexts: contexts)
        let pages = (0..<200).map { 0x1_0000_0000 + UInt64($0) << 12 }
        let frames = pages.map { _ in guest.page() }
        for round in 0..<2 as Range<UInt64> {
            for (address, frame) in zip(pages, frames) { guest.map(5, address, frame) }
            for offset in [8, 16] as [UInt64] {
                for (index, address) in pages.enumerated() {
                    #expect(try vmm.write(access(0x108, address + offset), round << 32 | UInt64(index)) == .done)
                }
            }
            for (index, frame) in frames.enumerated() { #expect(guest[frame + 16] == round << 32 | UInt64(index)) }
            try guest.unmap(5, pages)
            for address in pages.prefix(50) {
                #expect(try vmm.write(access(0x108, address + 24), 0xdead) == .failed("F_TRANSLATION"))
            }
            #expect(frames.allSatisfy { guest[$0 + 24] == 0 })
            try guest.handleInterrupts()
        }
        #expect(guest.faults.count == 100 && guest.faults.allSatisfy { $0.type == .F_TRANSLATION })
        #expect(vmm.hits >= 400)
    }

    /// Shared virtual addressing with stalls: pages come when they are touched; what has none is aborted.
    @Test func stalledTransactionsFindTheirPages() throws {
        let guest = try ReferenceGuest(vmm)
        let contexts = guest.page()
        try guest.bind(9, contexts: contexts, pasid: 1, asid: 7, stalls: true)
        try guest.attach(9, contexts: contexts)
        var given: [UInt64: UInt64] = [:]
        guest.pager = { asid, address in
            guard asid == 7, address < 0x8_0000_0000 else { return nil }
            given[address] = guest.page()
            return given[address]
        }
        for index in 0..<20 as Range<UInt64> {
            #expect(try vmm.write(access(9, 0x7_0000_0000 + index << 12, pasid: 1), index) == .stalled)
        }
        #expect(try vmm.write(access(9, 0x9_0000_0000, pasid: 1), 1) == .stalled)
        #expect(vmm.openStalls == 21)
        try guest.handleInterrupts()
        let ends = try vmm.goOn()
        #expect(ends == Array(repeating: .done, count: 20) + [.failed("abort")] && vmm.openStalls == 0)
        #expect(given.count == 20)
        for index in 0..<20 as Range<UInt64> { #expect(given[0x7_0000_0000 + index << 12].map { guest[$0] } == index) }
    }

    /// A device with ATS and PRI; then its ATS goes off.
    @Test func aDeviceAsksForPagesAndKeepsTranslations() throws {
        let guest = try ReferenceGuest(vmm)
        let contexts = guest.page()
        try guest.bind(0x210, contexts: contexts, pasid: 1, asid: 8, stalls: false)
        try guest.attach(0x210, contexts: contexts, ats: true)
        let frame = guest.page()
        guest.pager = { _, address in address == 0x5000 ? frame : nil }
        let (good, bad) = (access(0x210, 0x5008, pasid: 1), access(0x210, 0x6008, pasid: 1))
        for (group, access) in [(3, good), (4, bad)] {
            #expect(try vmm.writeTranslated(access, 1) == .failed("ats_no_access"))
            #expect(try vmm.requestPage(access, group: group) == "queued")
        }
        try guest.handleInterrupts()
        #expect(vmm.pageResponses == [3: "success", 4: "invalid"])
        #expect(try vmm.writeTranslated(good, 0x11) == .done)
        #expect(try vmm.writeTranslated(good, 0x12) == .done)
        #expect(guest[frame + 8] == 0x12 && vmm.hits == 1 && guest.faults.isEmpty)
        try guest.unmap(8, [0x5000], ats: 0x210)
        #expect(try vmm.writeTranslated(good, 0x13) == .failed("ats_no_access"))
        #expect(guest[frame + 8] == 0x12)
        try guest.attach(0x210, contexts: contexts, ats: false)
        #expect(try vmm.writeTranslated(good, 0x14) == .failed("ats_unsupported_request"))
        try guest.handleInterrupts()
        #expect(guest.faults.map(\.type) == [.F_BAD_ATS_TREQ])
    }

    /// Firmware that leaves everything as it is, and another system after it.
    @Test func aRebootFindsAnSMMUOutOfReset() throws {
        for round in 0..<3 as Range<UInt64> {
            let guest = try ReferenceGuest(vmm)
            let contexts = guest.page()
            let frame = guest.page()
            try guest.bind(8, contexts: contexts, pasid: 0, asid: 5, stalls: true)
            try guest.attach(8, contexts: contexts)
            guest.map(5, 0x1000, frame)
            #expect(try vmm.write(access(8, 0x1000), round) == .done && guest[frame] == round)
            #expect(try vmm.write(access(8, 0x2000), round) == .stalled)
            try vmm.reset()
            #expect(try vmm.goOn() == [.failed("abort")] && vmm.openStalls == 0)
            vmm.pendingInterrupts = []
        }
    }
}
