import SMMUv3
import Testing

/// What A, R and S make of a fault, by the stage where it is found (3.12.5, 5.5).
@Suite struct FaultConfigurationTests {
    /// Where a nested transaction meets its fault.
    enum Place: CaseIterable {
        case stage1
        case stage2
        case stage2OfTable
        case stage2OfContext
        case inputBeyondIAS

        /// The stage whose configuration counts, and CLASS of the record.
        var isStage2: Bool { self == .stage2 || self == .stage2OfTable || self == .stage2OfContext }
        var CLASS: UInt64 { self == .stage2OfContext ? 0 : self == .stage2OfTable ? 1 : 2 }
    }

    private let machine: Machine
    private let stage2: UInt64

    init() throws {
        machine = try Machine()
        stage2 = machine.allocate(8192)
        for page in stride(from: UInt64(0x100_0000), to: 0x110_0000, by: 4096) {
            machine.map(stage2, page, page, Machine.stage2Page, start: 1)
        }
    }

    /// A nested stream whose access to 0x1000 ends at the place, and its address.
    private func prepare(_ place: Place, _ flags: UInt64) -> UInt64 {
        let (root, cd) = (machine.allocate(), machine.allocate())
        var descriptor = machine.context(place == .stage2OfTable ? 0x5000_0000 : root, asid: flags)
        (descriptor.A, descriptor.R, descriptor.S) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0)
        machine.set(descriptor, at: cd)
        if place == .stage2 { machine.map(root, 0x1000, 0x5000_0000) }
        var ste = machine.stage2(stage2, vmid: flags)
        (ste.Config, ste.S1ContextPtr) = (StreamConfiguration.nested.rawValue, cd)
        if place == .stage2OfContext { ste.S1ContextPtr = 0x5000_0000 }
        if place == .inputBeyondIAS { ste.Config = StreamConfiguration.stage2.rawValue }
        (ste.S2R, ste.S2S) = (flags & 8 != 0, flags & 16 != 0)
        machine.set(ste, stream: UInt32(flags))
        return place == .inputBeyondIAS ? 0x1000_0000_1000 : 0x1000
    }

    @Test(arguments: Place.allCases)
    func everyCombination(_ place: Place) throws {
        for flags in 0..<32 as Range<UInt64> {
            let address = prepare(place, flags)
            let translation = machine.translate(address, stream: UInt32(flags), .write)
            let recorded = try machine.events()
            let event = try #require(translation.event, "\(place) \(flags): \(translation)")
            #expect(event.type == (place == .inputBeyondIAS ? .F_ADDR_SIZE : .F_TRANSLATION))
            #expect(event.S2 == place.isStage2 && event.CLASS == place.CLASS && event.InputAddr == address)
            #expect(!event.RnW && !event.InD && event.IPA == (place.isStage2 ? 0x5000_0000 : 0))
            // A stage 1 that is skipped has no flags: an abort with a record.
            let isSkipped = place == .inputBeyondIAS
            let stalls = !isSkipped && flags & (place.isStage2 ? 16 : 4) != 0
            let records = isSkipped || stalls || flags & (place.isStage2 ? 8 : 2) != 0
            #expect(event.Stall == stalls && recorded == (records ? [event] : []), "\(place) \(flags)")
            guard !stalls else { continue }
            #expect(machine.smmu.lastFaultAborts == (isSkipped || place.isStage2 || flags & 1 != 0))
        }
    }
}
