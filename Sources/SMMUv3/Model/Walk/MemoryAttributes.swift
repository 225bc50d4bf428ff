/// Memory types of both stages, in the format of MAIR (13.1).
enum MemoryAttributes {
    /// Normal write-back: what bypass reports, as the interconnect gives no type of its own.
    static let writeBack: UInt8 = 0xff

    /// The type that a stage 1 descriptor selects.
    @inline(__always)
    static func stage1(MAIR: UInt64, descriptor: UInt64) -> UInt8 {
        UInt8(truncatingIfNeeded: MAIR &>> ((descriptor &>> 2 & 7) &* 8))
    }

    /// The type that a stage 2 descriptor allows; write-back leaves stage 1 as it is.
    @inline(__always)
    static func stage2(_ descriptor: UInt64, forcesWriteBack: Bool) -> UInt8 {
        let field = UInt8(truncatingIfNeeded: descriptor &>> 2) & 0xf
        if forcesWriteBack {
            // With S2FWB bit 2 of MemAttr says Normal; only Non-cacheable restricts stage 1 then.
            return field & 0b100 == 0 ? (field & 0b11) << 2 : field & 0b11 == 0b01 ? 0x44 : writeBack
        }
        if field & 0b1100 == 0 {
            return field << 2
        }
        return encode(max(field >> 2, 1)) << 4 | encode(max(field & 0b11, 1))
    }

    /// The stricter of both stages, by half (13.1.5).
    static func combine(_ stage1: UInt8, _ stage2: UInt8) -> UInt8 {
        switch (isDevice(stage1), isDevice(stage2)) {
        case (true, true): return min(stage1 & 0x0c, stage2)
        case (true, false): return stage1
        case (false, true): return stage2
        case (false, false):
            let outer = min(cacheability(hint: stage1 >> 4), cacheability(hint: stage2 >> 4))
            let inner = min(cacheability(hint: stage1 & 0xf), cacheability(hint: stage2 & 0xf))
            return encode(outer) << 4 | encode(inner)
        }
    }

    /// Outer Shareable wins over Inner, Inner over none.
    static func combineShareability(_ stage1: UInt8, _ stage2: UInt8) -> UInt8 {
        if stage1 == 2 || stage2 == 2 {
            return 2
        }
        return max(stage1, stage2)
    }

    /// Whether a stage 2 descriptor maps any Device type.
    @inline(__always)
    static func isDevice(stage2 descriptor: UInt64, forcesWriteBack: Bool) -> Bool {
        forcesWriteBack ? !descriptor.bit(4) : descriptor.bits(5, 4) == 0
    }

    @inline(__always)
    static func isDevice(_ attribute: UInt8) -> Bool { attribute & 0xf0 == 0 }

    /// 1 non-cacheable, 2 write-through, 3 write-back, of a MAIR nibble.
    private static func cacheability(hint: UInt8) -> UInt8 {
        switch hint {
        case 0b0100: 1
        case 0b0000...0b0011, 0b1000...0b1011: 2
        default: 3
        }
    }

    private static func encode(_ cacheability: UInt8) -> UInt8 {
        switch cacheability {
        case 1: 0x4
        case 2: 0xb
        default: 0xf
        }
    }
}
