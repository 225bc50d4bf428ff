import SMMUv3
import Testing

/// Memory types and shareability of outputs (13.1).
@Suite struct AttributeTests {
    private static let (none, outer, inner): (UInt8, UInt8, UInt8) = (0, 2, 3)
    /// AttrIndx 0 to 5: write-back, Non-cacheable, Device-nGnRE, write-back without write-allocation, write-through,
    /// outer write-back with inner Non-cacheable.
    private static let MAIR: UInt64 = 0xf4_bb_ee_04_44_ff

    private let machine: Machine
    private let root: UInt64
    private let outerRoot: UInt64

    init() throws {
        machine = try Machine(Identification.laboratory.with(\.IDR1, 27, 27, 1))
        root = machine.allocate()
        outerRoot = machine.allocate(8192)
        for page in stride(from: UInt64(0x100_0000), to: 0x110_0000, by: 4096) {
            machine.map(outerRoot, page, page, Machine.stage2Page, start: 1)
        }
        let cd = machine.allocate()
        var descriptor = machine.context(root)
        (descriptor.MAIR0, descriptor.MAIR1) = (Self.MAIR & 0xffff_ffff, Self.MAIR >> 32)
        machine.set(descriptor, at: cd)
        machine.set(machine.stage1(cd), stream: 1)
        machine.set(machine.stage2(outerRoot), stream: 2)
        for (stream, forcesWriteBack) in [(UInt32(3), false), (4, true)] {
            var ste = machine.stage2(outerRoot, vmid: UInt64(stream))
            (ste.Config, ste.S1ContextPtr, ste.S2FWB) = (StreamConfiguration.nested.rawValue, cd, forcesWriteBack)
            machine.set(ste, stream: stream)
        }
    }

    private func attributes(_ address: UInt64, stream: UInt32) throws -> OutputAttributes {
        guard case .ok(let first) = machine.translate(address, stream: stream),
            case .ok(let second) = machine.translate(address, stream: stream)
        else {
            throw Refused()
        }
        #expect(first.attributes == second.attributes, "the TLB gives what the tables gave")
        return first.attributes
    }

    private struct Refused: Error {}

    @Test(
        arguments: [(0, 0xff, Self.inner), (1, 0x44, Self.outer), (2, 0x04, Self.outer), (5, 0xf4, Self.inner)]
            as [(UInt64, UInt8, UInt8)])
    func uncachedTypesAreOuterShareable(index: UInt64, type: UInt8, shareability: UInt8) throws {
        machine.map(root, 0x1000, 0x5000, Machine.page | PageDescriptor.AttrIndx(index) | PageDescriptor.SH(3))
        let found = try attributes(0x1000, stream: 1)
        #expect(found.memoryAttributes == type && found.shareability == shareability)
    }

    /// AttrIndx, MemAttr, S2FWB, type, shareability: both leaves ask for Inner Shareable.
    @Test(
        arguments: [
            (0, 0xf, false, 0xff, Self.inner), (3, 0xa, false, 0xaa, Self.inner), (4, 0xf, false, 0xbb, Self.inner),
            (5, 0xa, false, 0xb4, Self.inner), (0, 0x5, false, 0x44, Self.outer), (0, 0x1, false, 0x04, Self.outer),
            (2, 0xf, false, 0x04, Self.outer), (2, 0x0, false, 0x00, Self.outer),
            (2, 0x6, true, 0xff, Self.outer), (1, 0x6, true, 0xff, Self.outer), (3, 0x6, true, 0xee, Self.inner),
            (4, 0x6, true, 0xff, Self.inner), (5, 0x6, true, 0xff, Self.inner),
            (2, 0x5, true, 0x04, Self.outer), (0, 0x5, true, 0x44, Self.outer), (3, 0x7, true, 0xee, Self.inner),
            (1, 0x7, true, 0x44, Self.outer), (0, 0x1, true, 0x04, Self.outer),
        ] as [(UInt64, UInt64, Bool, UInt8, UInt8)])
    func stagesCombine(index: UInt64, MemAttr: UInt64, FWB: Bool, type: UInt8, shareability: UInt8) throws {
        let inner = PageDescriptor.SH(3)
        machine.map(root, 0x1000, 0x5000, Machine.page | PageDescriptor.AttrIndx(index) | inner)
        let permitted = PageDescriptor.AF | PageDescriptor.S2AP0 | PageDescriptor.S2AP1
        machine.map(outerRoot, 0x5000, 0x9000, permitted | PageDescriptor.MemAttr(MemAttr) | inner, start: 1)
        let found = try attributes(0x1000, stream: FWB ? 4 : 3)
        #expect(found.memoryAttributes == type && found.shareability == shareability)
    }

    /// Every reserved encoding of a MAIR byte, and what it behaves as (5.4 MAIR0, MAIR1).
    @Test func reservedTypes() throws {
        var pairs = (1...0xf).map { (UInt8($0), UInt8($0 & 0xc)) }
        pairs += (1...0xf).map { (UInt8($0 << 4), UInt8($0 << 4 | 3)) }
        machine.map(root, 0x1000, 0x5000, Machine.page)
        for (index, (given, behaves)) in pairs.enumerated() {
            let cd = machine.allocate()
            var descriptor = machine.context(root, asid: UInt64(index) + 2)
            descriptor.MAIR0 = UInt64(given)
            machine.set(descriptor, at: cd)
            machine.set(machine.stage1(cd), stream: UInt32(index) + 10)
            let found = try attributes(0x1000, stream: UInt32(index) + 10)
            #expect(found.memoryAttributes == behaves, "MAIR 0x\(String(given, radix: 16))")
        }
    }

    /// AttrIndx, ALLOCCFG, type: no-allocate and transient win, whether stage 1 or the stream says so (13.4.2).
    @Test(
        arguments: [
            (0, 0b0000, 0xff), (0, 0b1110, 0xff), (0, 0b1100, 0xee), (0, 0b1010, 0xdd), (0, 0b1000, 0xcc),
            (0, 0b1111, 0x77), (0, 0b1101, 0x66), (3, 0b1110, 0xee), (3, 0b1010, 0xcc), (4, 0b1100, 0xaa),
            (4, 0b1111, 0x33), (5, 0b1100, 0xe4), (1, 0b1100, 0x44), (2, 0b1111, 0x04),
        ] as [(UInt64, UInt64, UInt8)])
    func hintsOfStreamAndStageOneCombine(index: UInt64, ALLOCCFG: UInt64, type: UInt8) throws {
        machine.map(root, 0x1000, 0x5000, Machine.page | PageDescriptor.AttrIndx(index))
        machine.map(outerRoot, 0x5000, 0x9000, Machine.stage2Page, start: 1)
        for (stream, model) in [(UInt32(7), UInt32(1)), (8, 3)] {
            var ste = StreamTableEntry()
            for word in 0..<8 {
                ste[word] = machine.memory[Machine.streamTable + UInt64(model) * 64 + UInt64(word) * 8]
            }
            ste.ALLOCCFG = ALLOCCFG
            machine.set(ste, stream: stream)
            #expect(try attributes(0x1000, stream: stream).memoryAttributes == type, "stream \(stream)")
            // The TLB entry is the other stream's, too: its hints are its own.
            let plain = try attributes(0x1000, stream: model).memoryAttributes
            #expect(plain == UInt8(truncatingIfNeeded: Self.MAIR >> (index * 8)))
            let looked = machine.smmu.inspect(
                Transaction(streamID: stream, address: 0x1000, access: .read), trace: false)
            guard case .ok(let output) = looked.translation else { throw Refused() }
            #expect(output.attributes.memoryAttributes == type)
        }
    }

    /// What the transaction brings along is replaced where it is not cacheable: then it has no hints (13.1.4).
    @Test func uncacheableInputHasNoHints() throws {
        machine.map(root, 0x1000, 0x5000, Machine.page | PageDescriptor.AttrIndx(3))
        var ste = StreamTableEntry()
        for word in 0..<8 { ste[word] = machine.memory[Machine.streamTable + 64 + UInt64(word) * 8] }
        override(&ste, MemAttr: 0x5, ALLOCCFG: 0b1000, SHCFG: 0)
        machine.set(ste, stream: 7)
        #expect(try attributes(0x1000, stream: 7).memoryAttributes == 0xee)
    }

    private func override(_ ste: inout StreamTableEntry, MemAttr: UInt64, ALLOCCFG: UInt64, SHCFG: UInt64) {
        (ste.MTCFG, ste.MemAttr, ste.ALLOCCFG, ste.SHCFG) = (true, MemAttr, ALLOCCFG, SHCFG)
    }

    /// MemAttr, ALLOCCFG, SHCFG, type, shareability.
    @Test(
        arguments: [
            (0xf, 0, 3, 0xff, Self.inner), (0xf, 0, 1, 0xff, Self.none), (0xf, 0b1100, 2, 0xee, Self.outer),
            (0xa, 0b1111, 0, 0x33, Self.none), (0xa, 0b1000, 0, 0x88, Self.none), (0x5, 0b1110, 3, 0x44, Self.outer),
            (0x2, 0b1110, 3, 0x08, Self.outer), (0x4, 0, 3, 0x00, Self.outer), (0xc, 0, 0, 0x00, Self.outer),
        ] as [(UInt64, UInt64, UInt64, UInt8, UInt8)])
    func overridesApplyWithoutStageOne(
        MemAttr: UInt64, ALLOCCFG: UInt64, SHCFG: UInt64, type: UInt8, shareability: UInt8
    ) throws {
        var bypass = StreamTableEntry()
        (bypass.V, bypass.Config) = (true, StreamConfiguration.bypass.rawValue)
        override(&bypass, MemAttr: MemAttr, ALLOCCFG: ALLOCCFG, SHCFG: SHCFG)
        machine.set(bypass, stream: 5)
        var second = machine.stage2(outerRoot)
        override(&second, MemAttr: MemAttr, ALLOCCFG: ALLOCCFG, SHCFG: SHCFG)
        machine.set(second, stream: 6)
        machine.map(outerRoot, 0x5000, 0x9000, Machine.stage2Page, start: 1)
        for stream in [5, 6] as [UInt32] {
            let found = try attributes(0x5000, stream: stream)
            #expect(found.memoryAttributes == type && found.shareability == shareability, "stream \(stream)")
        }
        let fields = MemAttr | 1 << 4 | ALLOCCFG << 8 | SHCFG << 12
        try machine.write(.CR0, 0)
        try machine.write(.GBPA, fields | 1 << 31)
        let found = try attributes(0x5000, stream: 1)
        #expect(found.memoryAttributes == type && found.shareability == shareability)
    }

    @Test func overridesOfOneStreamAreNotThoseOfItsVM() throws {
        machine.map(outerRoot, 0x5000, 0x9000, Machine.stage2Page, start: 1)
        var other = machine.stage2(outerRoot)
        override(&other, MemAttr: 0x5, ALLOCCFG: 0, SHCFG: 3)
        machine.set(other, stream: 6)
        for _ in 0..<2 {
            #expect(try attributes(0x5000, stream: 6).memoryAttributes == 0x44)
            #expect(try attributes(0x5000, stream: 2).memoryAttributes == 0xff)
        }
    }

    @Test func overridesNeedATTR_TYPES_OVR() throws {
        let plain = try Machine()
        var bypass = StreamTableEntry()
        (bypass.V, bypass.Config) = (true, StreamConfiguration.bypass.rawValue)
        override(&bypass, MemAttr: 0x5, ALLOCCFG: 0b1000, SHCFG: 2)
        plain.set(bypass, stream: 5)
        guard case .ok(let output) = plain.translate(0x5000, stream: 5) else {
            throw Refused()
        }
        #expect(output.attributes.memoryAttributes == 0xff && output.attributes.shareability == Self.none)
    }
}
