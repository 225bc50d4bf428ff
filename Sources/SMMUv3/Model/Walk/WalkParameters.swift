/// One translation table as a walk needs it, decoded once per STE or CD.
struct WalkParameters {
    /// Effective base address of the start table.
    var base: UInt64 = 0
    /// The bits of an address that a descriptor can hold.
    var addressMask: UInt64 = 0
    /// log2 of the granule: 12, 14 or 16.
    var granuleBits: UInt8 = 12
    /// log2 of the entries of a whole table: 9, 11 or 13.
    var stride: UInt8 = 9
    /// Level of the first lookup.
    var startLevel: Int8 = 0
    /// Bits of the input address.
    var inputBits: UInt8 = 0
    /// Effective IPS or S2PS.
    var outputBits: UInt8 = 0
    /// The lowest level that may hold blocks.
    var firstBlockLevel: Int8 = 1
    /// Descriptor bits [15:12] hold OA[51:48].
    var hasLargeOutput = false
    /// No walk is made (EPD).
    var isDisabled = false

    init() {}

    /// - Parameters:
    ///   - base: programmed table address.
    ///   - granuleBits: log2 of the granule.
    ///   - inputBits: bits of input address.
    ///   - startLevel: level of the first lookup, nil to derive it from the size (stage 1).
    ///   - outputBits: effective output size.
    ///   - OAS: output address size of the implementation.
    init(base: UInt64, granuleBits: Int, inputBits: Int, startLevel: Int?, outputBits: Int, OAS: Int) {
        let stride = granuleBits - 3
        let start = startLevel ?? 3 - (inputBits - 1 - granuleBits) / stride
        let startShift = granuleBits + stride * (3 - start)
        // The start table is aligned to its size, to 64 bytes at least where addresses have 52 bits (5.4 TTB0).
        let tableBits = max(inputBits - startShift + 3, outputBits == 52 ? 6 : 4)
        self.base = base & ~((1 << UInt64(tableBits)) - 1)
        self.granuleBits = UInt8(granuleBits)
        self.stride = UInt8(stride)
        self.startLevel = Int8(start)
        self.inputBits = UInt8(inputBits)
        self.outputBits = UInt8(outputBits)
        hasLargeOutput = granuleBits == 16 && OAS == 52
        firstBlockLevel = granuleBits == 12 || hasLargeOutput ? 1 : 2
        addressMask = 0x0000_ffff_ffff_ffff & ~((1 << UInt64(granuleBits)) - 1)
    }

    /// log2 of the bytes that one entry maps at a level.
    @inline(__always)
    func shift(level: Int8) -> UInt64 {
        UInt64(granuleBits) &+ UInt64(stride) &* UInt64(bitPattern: Int64(3 &- level))
    }

    /// The address in a descriptor that was read at `shift`, low bits cleared.
    @inline(__always)
    func address(_ descriptor: UInt64) -> UInt64 {
        var address = descriptor & addressMask
        if hasLargeOutput {
            address |= descriptor.bits(15, 12) << 48
        }
        return address
    }

    /// log2 of the granule that CD.TG0 or STE.S2TG selects, 0 if reserved.
    static func granuleBits(TG0: UInt64) -> Int {
        switch TG0 {
        case 0: 12
        case 1: 16
        case 2: 14
        default: 0
        }
    }

    /// log2 of the granule that CD.TG1 selects, 0 if reserved.
    static func granuleBits(TG1: UInt64) -> Int {
        switch TG1 {
        case 1: 14
        case 2: 12
        case 3: 16
        default: 0
        }
    }
}
