import Testing

@testable import SMMUv3

/// The Performance Monitor Counter Group (chapter 10).
@Suite struct MonitorTests {
    private let machine: Machine
    private let root: UInt64
    private let clock = Clock()

    /// Offsets of the page (10.5.1).
    private enum Offset {
        static let (enable, disable): (UInt32, UInt32) = (0xc00, 0xc20)
        static let (interrupt, noInterrupt): (UInt32, UInt32) = (0xc40, 0xc60)
        static let (clearOverflow, setOverflow): (UInt32, UInt32) = (0xc80, 0xcc0)
        static let (CAPR, CFGR, CR, CEID0): (UInt32, UInt32, UInt32, UInt32) = (0xd88, 0xe00, 0xe04, 0xe20)
        static let (IRQ_CTRL, IRQ_CFG0, IRQ_CFG1): (UInt32, UInt32, UInt32) = (0xe50, 0xe58, 0xe60)
        static let IRQ_STATUS: UInt32 = 0xe68
        static func counter(_ index: UInt32) -> UInt32 { index * 8 }
        static func shadow(_ index: UInt32) -> UInt32 { 0x600 + index * 8 }
        static func type(_ index: UInt32) -> UInt32 { 0x400 + index * 4 }
        static func match(_ index: UInt32) -> UInt32 { 0xa00 + index * 4 }
    }

    /// A clock that tests set, in front of the machine's ears.
    private final class Clock: SMMUDelegate {
        var now: UInt64 = 0
        var interrupts: [Interrupt] = []
        func cycles() -> UInt64 { now }
        func interruptRaised(_ interrupt: Interrupt) { interrupts.append(interrupt) }
        func stallResolved(_ resolution: StallResolution) {}
        func invalidateTranslations(_ invalidation: ATCInvalidation) -> Bool { true }
        func pageRequestAnswered(_ answer: PageRequestAnswer) {}
    }

    init() throws {
        var words = Identification.laboratory
        words.IDR0 |= 1 << 13
        machine = try Machine(words)
        root = machine.allocate()
        let cd = machine.allocate()
        machine.set(machine.context(root), at: cd)
        var ste = machine.stage1(cd)
        ste.EATS = 1
        for stream in 1...3 as ClosedRange<UInt32> { machine.set(ste, stream: stream) }
        machine.map(root, 0x1000, 0x5000)
        machine.map(root, 0x2000, 0x6000)
        machine.smmu.delegate = clock
    }

    private func read(_ offset: UInt32, width: Int = 8) throws -> UInt64 {
        try machine.smmu.readMonitorRegister(offset, width: width)
    }

    private func write(_ offset: UInt32, _ value: UInt64, width: Int = 8) throws {
        try machine.smmu.writeMonitorRegister(offset, width: width, value: value)
    }

    private func counters() throws -> [UInt64] { try (0..<8).map { try read(Offset.counter($0)) } }

    /// Counter n counts event n of all streams.
    private func countAll() throws {
        for index in 0..<8 as Range<UInt32> {
            try write(Offset.type(index), 1 << 29 | UInt64(index), width: 4)
            try write(Offset.match(index), 0xffff_ffff, width: 4)
            try write(Offset.counter(index), 0)
        }
        try write(Offset.enable, 0xff)
        try write(Offset.CR, 1, width: 4)
    }

    @Test func eventsOfKnownTransactionsAreCounted() throws {
        try countAll()
        // STE, CD and four levels of tables; then nothing; then a hit of the configuration only.
        #expect(machine.translate(0x1000).address == 0x5000)
        #expect(try counters() == [0, 1, 1, 1, 4, 2, 0, 0])
        #expect(machine.translate(0x1008).address == 0x5008)
        #expect(try counters() == [0, 2, 1, 1, 4, 2, 0, 0])
        #expect(machine.translate(0x2000).address == 0x6000)
        #expect(try counters() == [0, 3, 2, 1, 8, 2, 0, 0])
        // A fault at the last level has read what it read.
        #expect(machine.translate(0x3000).type == .F_TRANSLATION)
        #expect(try counters() == [0, 4, 3, 1, 12, 2, 0, 0])
        // A Translation Request and the access at its answer.
        #expect(machine.translate(0x1000, .read, .translationRequest).address == 0x5000)
        #expect(try counters() == [0, 5, 4, 1, 16, 2, 1, 0])
        #expect(machine.translate(0x5000, .read, .translated).address == 0x5000)
        #expect(try counters() == [0, 6, 4, 1, 16, 2, 1, 1])
        // Looking is no transaction.
        _ = machine.smmu.inspect(
            Transaction(streamID: 2, address: 0x1000, access: .read, privileged: false), trace: true)
        #expect(try counters() == [0, 6, 4, 1, 16, 2, 1, 1])
    }

    @Test func whatIsOffDoesNotCount() throws {
        try countAll()
        try write(Offset.disable, 1 << 4)
        _ = machine.translate(0x1000)
        #expect(try counters() == [0, 1, 1, 1, 0, 2, 0, 0])
        try write(Offset.CR, 0, width: 4)
        _ = machine.translate(0x2000)
        clock.now = 100
        #expect(try counters() == [0, 1, 1, 1, 0, 2, 0, 0])
        // What translates as quickly as without counters counts again once they are on.
        try write(Offset.CR, 1, width: 4)
        _ = machine.translate(0x2000)
        #expect(try counters() == [0, 2, 1, 1, 0, 2, 0, 0])
    }

    @Test func updatesOfTablesAreAccesses() throws {
        let cd = machine.allocate()
        var descriptor = machine.context(root)
        (descriptor.HA, descriptor.HD, descriptor.ASID) = (true, true, 2)
        machine.set(descriptor, at: cd)
        machine.set(machine.stage1(cd), stream: 4)
        machine.map(root, 0x7000, 0x7000, Machine.page & ~PageDescriptor.AF)
        try countAll()
        _ = machine.translate(0x7000, stream: 4)
        #expect(try read(Offset.counter(4)) == 5)
    }

    @Test func filtersLetStreamsThrough() throws {
        // StreamID 2 exactly; 2 and 3; all of one world; all; 2 exactly, of an event that has no stream.
        let filters: [(span: UInt64, match: UInt64, event: UInt64)] = [
            (0, 2, 1), (1, 2 | 0, 1), (1, 0x7fff, 1), (1, 0xffff_ffff, 1), (0, 2, 0),
        ]
        for (index, filter) in filters.enumerated() {
            try write(Offset.type(UInt32(index)), filter.span << 29 | filter.event, width: 4)
            try write(Offset.match(UInt32(index)), filter.match, width: 4)
        }
        #expect(try read(Offset.match(3), width: 4) == 0xffff)
        try write(Offset.enable, 0x1f)
        try write(Offset.CR, 1, width: 4)
        for stream in [1, 2, 2, 3, 3, 3] as [UInt32] { _ = machine.translate(0x1000, stream: stream) }
        clock.now = 7
        #expect(try counters() == [2, 5, 6, 6, 7, 0, 0, 0])
    }

    @Test func cyclesAreOfTheClock() throws {
        clock.now = 1000
        try countAll()
        clock.now = 1500
        #expect(try read(Offset.counter(0)) == 500)
        try write(Offset.CR, 0, width: 4)
        clock.now = 2000
        try write(Offset.CR, 1, width: 4)
        clock.now = 2001
        #expect(try read(Offset.counter(0), width: 4) == 501)
        #expect(try read(Offset.counter(0) + 4, width: 4) == 0)
    }

    @Test func overflowsAreToldAndCapture() throws {
        try countAll()
        try write(Offset.type(1), 1 << 31 | 1 << 29 | 1, width: 4)
        try write(Offset.counter(1), .max)
        try write(Offset.interrupt, 1 << 1)
        try write(Offset.IRQ_CFG0, 0x9000)
        try write(Offset.IRQ_CFG1, 0x17, width: 4)
        try write(Offset.IRQ_CTRL, 1, width: 4)
        // As it was while interrupts are on.
        try write(Offset.IRQ_CFG1, 0x18, width: 4)
        _ = machine.translate(0x1000)
        #expect(try read(Offset.setOverflow) == 1 << 1 && read(Offset.clearOverflow) == 1 << 1)
        #expect(try counters() == [0, 0, 1, 1, 4, 2, 0, 0])
        #expect(try (0..<8).map { try read(Offset.shadow($0)) }[1...] == [0, 1, 1, 4, 2, 0, 0])
        #expect(clock.interrupts == [.monitors] && machine.memory[0x9000] == 0x17)
        try write(Offset.clearOverflow, 1 << 1)
        #expect(try read(Offset.setOverflow) == 0)
        // Without an interrupt of its own; and one to where no memory is.
        try write(Offset.counter(4), .max)
        _ = machine.translate(0x2000)
        #expect(try read(Offset.setOverflow) == 1 << 4 && read(Offset.counter(4)) == 3)
        #expect(clock.interrupts == [.monitors])
        try write(Offset.IRQ_CTRL, 0, width: 4)
        try write(Offset.IRQ_CFG0, 0xfff_0000_0000)
        try write(Offset.IRQ_CTRL, 1, width: 4)
        try write(Offset.counter(1), .max)
        _ = machine.translate(0x2000)
        #expect(try read(Offset.IRQ_STATUS, width: 4) == 1)
        try write(Offset.IRQ_CTRL, 0, width: 4)
        #expect(try read(Offset.IRQ_STATUS, width: 4) == 1)
        try write(Offset.IRQ_CTRL, 1, width: 4)
        #expect(try read(Offset.IRQ_STATUS, width: 4) == 0)
        // Capturing on demand.
        try write(Offset.CAPR, 1, width: 4)
        #expect(try read(Offset.shadow(4)) == 3 && read(Offset.CAPR, width: 4) == 0)
    }

    /// What Linux's arm_smmuv3_pmu does when it finds one: what there is, then everything off.
    @Test func aDriversProbeFindsWhatThereIs() throws {
        let CFGR = try read(Offset.CFGR, width: 4)
        let (counters, size) = (CFGR & 0x3f + 1, CFGR >> 8 & 0x3f + 1)
        #expect(counters == 8 && size == 64)
        // No page 1, a filter for each counter, MSIs, capture.
        #expect(CFGR >> 20 & 1 == 0 && CFGR >> 23 & 1 == 0 && CFGR >> 21 & 1 == 1 && CFGR >> 22 & 1 == 1)
        #expect(try read(Offset.CEID0) == 0xff && read(Offset.CEID0 + 8) == 0)
        try write(Offset.IRQ_CFG0, 0)
        let present: UInt64 = (1 << counters) - 1
        try write(Offset.disable, present)
        try write(Offset.noInterrupt, present)
        try write(Offset.clearOverflow, present)
        try write(Offset.IRQ_CTRL, 0, width: 4)
        try write(Offset.CR, 0, width: 4)
        #expect(try read(0xe54, width: 4) == 0 && read(0xe70, width: 4) == 2 && read(0xe08, width: 4) == 0)
        // pmu_enable, event_add, event_start of a counter at half its range.
        try write(Offset.IRQ_CTRL, 1, width: 4)
        try write(Offset.CR, 1, width: 4)
        #expect(try read(0xe54, width: 4) == 1)
        try write(Offset.type(0), 1, width: 4)
        try write(Offset.match(0), 1, width: 4)
        try write(Offset.counter(0), .max >> 1)
        try write(Offset.interrupt, 1)
        try write(Offset.enable, 1)
        _ = machine.translate(0x1000)
        #expect(try read(Offset.counter(0)) == 1 << 63)
        #expect(try read(Offset.enable) == 1 && read(Offset.disable) == 1 && read(Offset.interrupt) == 1)
    }

    @Test func theRestReadsZeroAndIgnoresWrites() throws {
        for offset in stride(from: UInt32(0), to: 0x2000, by: 4) { try write(offset, 0xffff_ffff, width: 4) }
        for offset in [0x40, 0x1f8, 0x420, 0x640, 0xa20, 0xdf8, 0xe40, 0xe48, 0xfb0, 0x1000] as [UInt32] {
            #expect(try read(offset) == 0, "\(offset)")
        }
        #expect(throws: MMIOError.misaligned) { try read(4) }
        #expect(throws: MMIOError.badWidth) { try read(0, width: 2) }
        machine.smmu.reset()
        #expect(try read(Offset.enable) == 0 && counters() == [UInt64](repeating: 0, count: 8))
        #expect(try read(Offset.CR, width: 4) == 0 && read(Offset.type(0), width: 4) == 0)
    }

    @Test func aSavedGroupGoesOn() throws {
        try countAll()
        _ = machine.translate(0x1000)
        let state = machine.smmu.saveState()
        clock.now = 1 << 40
        #expect(machine.smmu.loadState(state))
        _ = machine.translate(0x1000)
        #expect(try counters() == [0, 2, 2, 2, 8, 4, 0, 0])
    }

    @Test func anSMMUWithoutATSOrMSIHasNoneOfTheirs() throws {
        var words = Identification.laboratory
        words.IDR0 &= ~(1 << 10 | 1 << 16)
        let bare = try SMMU(memory: machine.memory, identification: words)
        #expect(try bare.readMonitorRegister(Offset.CEID0, width: 8) == 0x3f)
        #expect(try bare.readMonitorRegister(Offset.CFGR, width: 4) >> 21 & 1 == 0)
        try bare.writeMonitorRegister(Offset.IRQ_CFG0, width: 8, value: 0x9000)
        #expect(try bare.readMonitorRegister(Offset.IRQ_CFG0, width: 8) == 0)
    }
}

extension Machine {
    fileprivate func translate(_ address: UInt64, _ access: Access, _ type: AddressType) -> Translation {
        translate(address, stream: 1, access, type)
    }
}
