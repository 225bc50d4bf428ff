import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU

/// Every command with every bit, as IHI 0070 chapter 4 defines them for a guest's stage 1: a command that the SMMU
/// would refuse, or may, never gets into the queue that all devices share.
@Suite struct GuestCommandTests {
    /// A field by its bits in the 128 of a command.
    struct Field {
        let name: String
        let bits: ClosedRange<Int>

        /// "NUM[16:12]"
        init(_ text: Substring) {
            let parts = text.split { "[:]".contains($0) }
            name = String(parts[0])
            let ends = parts.dropFirst().compactMap { Int($0) }
            bits = (ends.last ?? 0)...(ends.first ?? 0)
        }
    }

    /// 4.3 to 4.5: what each command has beside its opcode. SSec is illegal on the Non-secure queue (4.1.6), which
    /// makes it a bit that no command has here.
    static let commands: [(opcode: UInt8, fields: String)] = [
        (0x05, "SubstreamID[31:12] StreamID[63:32] Leaf[64:64]"),
        (0x06, "StreamID[63:32]"),
        (0x10, "VMID[47:32]"),
        (0x11, "VMID[47:32] ASID[63:48]"),
        (0x12, "NUM[16:12] SCALE[24:20] VMID[47:32] ASID[63:48] Leaf[64:64] TTL[73:72] TG[75:74] Address[127:76]"),
        (0x13, "NUM[16:12] SCALE[24:20] VMID[47:32] Leaf[64:64] TTL[73:72] TG[75:74] Address[127:76]"),
        (0x30, ""),
        (0x40, "Global[9:9] SSV[11:11] SubstreamID[31:12] StreamID[63:32] Size[69:64] Address[127:76]"),
    ]

    /// An SMMU that lacks something, and the fields that its commands then lack.
    struct Variant: Sendable {
        let name: String
        let clear: [Int: UInt32]
        let lacks: Set<String>
        let opcodes: Set<UInt8>
    }

    static let everyOpcode = Set(commands.map(\.opcode))
    static let variants = [
        Variant(name: "laboratory", clear: [:], lacks: [], opcodes: everyOpcode),
        Variant(name: "no RIL", clear: [3: 1 << 10], lacks: ["NUM", "SCALE", "TTL", "TG"], opcodes: everyOpcode),
        Variant(name: "no ATS", clear: [0: 1 << 10 | 1 << 16], lacks: [], opcodes: everyOpcode.subtracting([0x40])),
        Variant(
            name: "no SubstreamIDs", clear: [1: 0x1f << 6, 0: 1 << 19], lacks: ["SSV", "SubstreamID", "Global"],
            opcodes: everyOpcode),
        Variant(name: "ASIDs of 8 bits", clear: [0: 1 << 12], lacks: ["ASID[63:56]"], opcodes: everyOpcode),
    ]

    final class Guest {
        let bench: DriverTestBench
        let viommu: DriverVIOMMU

        init(_ variant: Variant) throws {
            var words = Identification.laboratory
            words.IDR0 &= ~(variant.clear[0] ?? 0)
            words.IDR1 &= ~(variant.clear[1] ?? 0)
            words.IDR3 &= ~(variant.clear[3] ?? 0)
            bench = try DriverTestBench(words)
            let parent = try bench.driver.makePagingDomain(.nestParent, dirtyTracking: false, pasid: false)
            viommu = try bench.driver.makeViommu(parent: parent)
            // Every StreamID that one bit makes.
            for bit in 0...32 {
                let streamID: UInt32 = bit == 32 ? 0 : 1 << UInt32(bit)
                let master = try bench.driver.makeMaster(
                    streamIDs: [UInt32(0x200 + bit)], pasidBits: 0, stall: false, pri: false, ats: false)
                try viommu.setVDevice(virtualID: streamID, master: master)
            }
        }

        /// Whether the guest may issue it; a refusal leaves the queue alone.
        func issues(_ command: (UInt64, UInt64)) -> Bool {
            let before = bench.driver.queue.issued
            do {
                let done = try viommu.invalidate(entries: [command])
                #expect(done == 1 && bench.driver.queue.issued == before + 2)
                return true
            } catch {
                #expect(error.errno == .EIO && error.members.contains(.init("handled", .number(0))))
                #expect(bench.driver.queue.issued == before)
                return false
            }
        }
    }

    private static func words(_ opcode: UInt8, _ bits: Set<Int>) -> (UInt64, UInt64) {
        var words = (UInt64(opcode), UInt64(0))
        for bit in bits { if bit < 64 { words.0 |= 1 << UInt64(bit) } else { words.1 |= 1 << UInt64(bit - 64) } }
        return words
    }

    /// What 4.4.1.1 and 4.5.1 call reserved or illegal among the values of legal fields.
    private static func isReserved(_ bits: Set<Int>, _ opcode: UInt8) -> Bool {
        func value(_ range: ClosedRange<Int>) -> Int {
            range.reduce(0) { $0 | (bits.contains($1) ? 1 << ($1 - range.lowerBound) : 0) }
        }
        if opcode == 0x40 { return value(64...69) > 52 }
        guard opcode == 0x12 || opcode == 0x13 else { return false }
        let (number, scale, hint, granule) = (value(12...16), value(20...24), value(72...73), value(74...75))
        if granule == 0 { return number != 0 || scale != 0 || hint != 0 }
        if granule == 2, hint == 1 { return true }
        return number == 0 && scale == 0 && hint == 0
    }

    private static func has(_ variant: Variant, _ opcode: UInt8) -> Set<Int>? {
        guard variant.opcodes.contains(opcode), let fields = commands.first(where: { $0.opcode == opcode })?.fields
        else { return nil }
        var bits = Set<Int>()
        for field in fields.split(separator: " ").map(Field.init) where !variant.lacks.contains(field.name) {
            bits.formUnion(field.bits)
        }
        return variant.lacks.contains("ASID[63:56]") && opcode >= 0x11 && opcode <= 0x12
            ? bits.subtracting(56...63) : bits
    }

    @Test(arguments: 0..<5) func everyOpcodeWithEveryBit(_ index: Int) throws {
        let variant = Self.variants[index]
        let guest = try Guest(variant)
        var accepted = 0
        for opcode in UInt8(0)...255 {
            let fields = Self.has(variant, opcode)
            // Alone, and beside a range that is legal.
            for base in [[], [74, 12]] as [Set<Int>] {
                for bit in [nil] + (8..<128).map({ Optional($0) }) {
                    let bits = bit.map { base.symmetricDifference([$0]) } ?? base
                    let isLegal = fields.map { bits.isSubset(of: $0) && !Self.isReserved(bits, opcode) } ?? false
                    let isIssued = guest.issues(Self.words(opcode, bits))
                    #expect(isIssued == isLegal, "\(variant.name): opcode \(opcode), bits \(bits.sorted())")
                    if isIssued { accepted += 1 }
                }
            }
        }
        #expect(accepted > 300)
        #expect(guest.bench.driver.queue.errors == 0)
    }

    /// Every value of the fields of a range.
    @Test func everyRange() throws {
        let guest = try Guest(Self.variants[0])
        for opcode: UInt8 in [0x12, 0x13] {
            for granule in 0..<4 {
                for hint in 0..<4 {
                    for number in [0, 1, 31] {
                        for scale in [0, 1, 31, 32, 39, 63] {
                            let words = (
                                UInt64(opcode) | UInt64(number) << 12 | UInt64(scale) << 20,
                                UInt64(granule) << 10 | UInt64(hint) << 8
                            )
                            var bits = Set<Int>()
                            for bit in 0..<64 where bit > 7 && words.0 >> UInt64(bit) & 1 == 1 { bits.insert(bit) }
                            for bit in 0..<64 where words.1 >> UInt64(bit) & 1 == 1 { bits.insert(bit + 64) }
                            let isLegal = scale < 32 && !Self.isReserved(bits, opcode)
                            #expect(guest.issues(words) == isLegal, "\(granule) \(hint) \(number) \(scale)")
                        }
                    }
                }
            }
        }
        for size in 0..<64 {
            #expect(guest.issues((0x40, UInt64(size))) == (size <= 52), "size \(size)")
        }
        #expect(guest.bench.driver.queue.errors == 0)
    }

    @Test func theGoodOnesBeforeAreDone() throws {
        let guest = try Guest(Self.variants[0])
        let (good, bad): ((UInt64, UInt64), (UInt64, UInt64)) = ((0x10, 0), (0x12, 0x1400))
        let before = guest.bench.driver.queue.issued
        #expect {
            try guest.viommu.invalidate(entries: [good, good, good, bad, good])
        } throws: { error in
            (error as? IOMMUError)?.members.contains(.init("handled", .number(3))) == true
        }
        let opcodes = guest.bench.driver.queue.commands(since: before, limit: 10).map(\.command.opcode)
        #expect(opcodes == [.TLBI_NH_ALL, .TLBI_NH_ALL, .TLBI_NH_ALL, .SYNC])
    }
}
