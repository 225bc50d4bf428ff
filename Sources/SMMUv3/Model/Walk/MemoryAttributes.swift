/// Memory types of both stages, in the format of MAIR (13.1).
enum MemoryAttributes {
    /// Normal write-back, allocating: what transactions bring along, as there is no interconnect that says (13.1.3).
    static let writeBack: UInt8 = 0xff
    /// Normal, inner and outer Non-cacheable.
    static let nonCacheable: UInt8 = 0x44

    /// CD.MAIR with the types that its Reserved encodings behave as (5.4 MAIR0, MAIR1).
    static func effective(MAIR: UInt64) -> UInt64 {
        var result: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            var type = MAIR >> shift & 0xff
            if type & 0xf0 == 0 {
                type &= 0x0c
            } else if type & 0x0f == 0 {
                // Inner Write-Through, transient, allocating.
                type |= 0b0011
            }
            result |= type << shift
        }
        return result
    }

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
            // With S2FWB bit 2 of MemAttr says Normal; only Non-cacheable restricts stage 1 then. Bit 3, NoTagAccess,
            // has no meaning for an SMMU (3.23.1).
            return field & 0b100 == 0 ? (field & 0b11) << 2 : field & 0b10 == 0 ? nonCacheable : writeBack
        }
        if field == 0b0100 {
            // Reserved without IDR3.MTEPERM, and the same then.
            return writeBack
        }
        if field & 0b1100 == 0 {
            return field << 2
        }
        return encode(max(field >> 2, 1)) << 4 | encode(max(field & 0b11, 1))
    }

    /// Write-back by order of stage 2, with the hints of what stage 1 has cacheable (13.1.6, 13.4.3).
    static func forcedWriteBack(_ stage1: UInt8) -> UInt8 {
        func half(_ half: UInt8) -> UInt8 {
            isDevice(stage1) || cacheability(hint: half) == 1 ? 0b1111 : half | 0b0100
        }
        return half(stage1 >> 4) << 4 | half(stage1 & 0xf)
    }

    /// Whether a stage 2 descriptor makes any type of stage 1 write-back (13.1.6).
    @inline(__always)
    static func replacesStage1(_ descriptor: UInt64, forcesWriteBack: Bool) -> Bool {
        forcesWriteBack && descriptor & PageDescriptor.MemAttr(0b0111) == PageDescriptor.MemAttr(0b0110)
    }

    /// The stricter of both stages, by half (13.1.5).
    static func combine(_ stage1: UInt8, _ stage2: UInt8) -> UInt8 {
        switch (isDevice(stage1), isDevice(stage2)) {
        case (true, true): return min(stage1 & 0x0c, stage2)
        case (true, false): return stage1
        case (false, true): return stage2
        case (false, false): return combineHalf(stage1 >> 4, stage2 >> 4) << 4 | combineHalf(stage1 & 0xf, stage2 & 0xf)
        }
    }

    /// One half of a Normal type; the hints are those of stage 1.
    private static func combineHalf(_ stage1: UInt8, _ stage2: UInt8) -> UInt8 {
        switch min(cacheability(hint: stage1), cacheability(hint: stage2)) {
        case 1: 0b0100
        case 2: stage1 & 0b1011
        default: stage1
        }
    }

    /// Device and Non-cacheable are Outer Shareable, whatever else was asked for (13.1.7).
    @inline(__always)
    static func consistentShareability(_ type: UInt8, _ shareability: UInt8) -> UInt8 {
        isDevice(type) || type == nonCacheable ? 0b10 : shareability
    }

    /// A type with other allocation and transient hints, where it is cacheable (5.2 ALLOCCFG).
    static func withHints(_ type: UInt8, read: Bool, write: Bool, isTransient: Bool) -> UInt8 {
        guard !isDevice(type) else {
            return type
        }
        let allocation: UInt8 = (read ? 0b10 : 0) | (write ? 0b01 : 0)
        // What is not allocated cannot be transient (13.1.7).
        let hints = allocation | (isTransient && allocation != 0 ? 0 : 0b1000)
        func half(_ half: UInt8) -> UInt8 {
            switch cacheability(hint: half) {
            case 1: half
            case 2: hints
            default: hints | 0b0100
            }
        }
        return half(type >> 4) << 4 | half(type & 0xf)
    }

    /// A type with the stronger of its own hints and those of what came in, by half (13.1.5, 13.4.2).
    static func combineHints(_ type: UInt8, input: UInt8) -> UInt8 {
        guard !isDevice(type), !isDevice(input) else {
            return type
        }
        func half(_ half: UInt8, _ input: UInt8) -> UInt8 {
            guard cacheability(hint: half) > 1, cacheability(hint: input) > 1 else {
                return half
            }
            let allocation = half & input & 0b0011
            let isTransient = allocation != 0 && (isTransient(hint: half) || isTransient(hint: input))
            let isWriteBack = cacheability(hint: half) == 3
            return (isTransient ? 0 : 0b1000) | (isWriteBack ? 0b0100 : 0) | allocation
        }
        return half(type >> 4, input >> 4) << 4 | half(type & 0xf, input & 0xf)
    }

    private static func isTransient(hint: UInt8) -> Bool { hint & 0b1000 == 0 }

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
