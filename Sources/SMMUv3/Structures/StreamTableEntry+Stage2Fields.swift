extension StreamTableEntry {
    /// Virtual machine identifier, bits [143:128].
    @inlinable public var S2VMID: UInt64 {
        get { word2.bits(15, 0) }
        set { word2.setBits(15, 0, newValue) }
    }

    /// Size of the IPA input region, bits [165:160].
    @inlinable public var S2T0SZ: UInt64 {
        get { word2.bits(37, 32) }
        set { word2.setBits(37, 32, newValue) }
    }

    /// Stage 2 starting level, bits [167:166].
    @inlinable public var S2SL0: UInt64 {
        get { word2.bits(39, 38) }
        set { word2.setBits(39, 38, newValue) }
    }

    /// Inner cacheability of stage 2 walks, bits [169:168].
    @inlinable public var S2IR0: UInt64 {
        get { word2.bits(41, 40) }
        set { word2.setBits(41, 40, newValue) }
    }

    /// Outer cacheability of stage 2 walks, bits [171:170].
    @inlinable public var S2OR0: UInt64 {
        get { word2.bits(43, 42) }
        set { word2.setBits(43, 42, newValue) }
    }

    /// Shareability of stage 2 walks, bits [173:172].
    @inlinable public var S2SH0: UInt64 {
        get { word2.bits(45, 44) }
        set { word2.setBits(45, 44, newValue) }
    }

    /// Stage 2 translation granule, bits [175:174].
    @inlinable public var S2TG: UInt64 {
        get { word2.bits(47, 46) }
        set { word2.setBits(47, 46, newValue) }
    }

    /// Physical address size, bits [178:176].
    @inlinable public var S2PS: UInt64 {
        get { word2.bits(50, 48) }
        set { word2.setBits(50, 48, newValue) }
    }

    /// Stage 2 table format, bit [179].
    @inlinable public var S2AA64: Bool {
        get { word2.bit(51) }
        set { word2.setBit(51, newValue) }
    }

    /// Stage 2 table endianness, bit [180].
    @inlinable public var S2ENDI: Bool {
        get { word2.bit(52) }
        set { word2.setBit(52, newValue) }
    }

    /// Stage 2 Access flag fault disable, bit [181].
    @inlinable public var S2AFFD: Bool {
        get { word2.bit(53) }
        set { word2.setBit(53, newValue) }
    }

    /// Protected table walk, bit [182].
    @inlinable public var S2PTW: Bool {
        get { word2.bit(54) }
        set { word2.setBit(54, newValue) }
    }

    /// Hardware update of stage 2 dirty state, bit [183].
    @inlinable public var S2HD: Bool {
        get { word2.bit(55) }
        set { word2.setBit(55, newValue) }
    }

    /// Hardware update of stage 2 Access flags, bit [184].
    @inlinable public var S2HA: Bool {
        get { word2.bit(56) }
        set { word2.setBit(56, newValue) }
    }

    /// Stage 2 stall, bit [185].
    @inlinable public var S2S: Bool {
        get { word2.bit(57) }
        set { word2.setBit(57, newValue) }
    }

    /// Stage 2 record, bit [186].
    @inlinable public var S2R: Bool {
        get { word2.bit(58) }
        set { word2.setBit(58, newValue) }
    }

    /// Access flag in stage 2 Table descriptors, bit [187].
    @inlinable public var S2HAFT: Bool {
        get { word2.bit(59) }
        set { word2.setBit(59, newValue) }
    }

    /// Stage 2 permission indirection, bit [188].
    @inlinable public var S2PIE: Bool {
        get { word2.bit(60) }
        set { word2.setBit(60, newValue) }
    }

    /// Stage 2 permission overlay, bit [189].
    @inlinable public var S2POE: Bool {
        get { word2.bit(61) }
        set { word2.setBit(61, newValue) }
    }

    /// VMID match for DPT checks, bits [191:190].
    @inlinable public var DPT_VMATCH: UInt64 {
        get { word2.bits(63, 62) }
        set { word2.setBits(63, 62, newValue) }
    }

    /// NS of Non-secure stage 2 walks, bit [192].
    @inlinable public var S2NSW: Bool {
        get { word3.bit(0) }
        set { word3.setBit(0, newValue) }
    }

    /// NS of Non-secure stage 2 outputs, bit [193].
    @inlinable public var S2NSA: Bool {
        get { word3.bit(1) }
        set { word3.setBit(1, newValue) }
    }

    /// Bit 2 of S2SL0, bit [194].
    @inlinable public var S2SL0_2: Bool {
        get { word3.bit(2) }
        set { word3.setBit(2, newValue) }
    }

    /// Stage 2 52-bit addresses, bit [195].
    @inlinable public var S2DS: Bool {
        get { word3.bit(3) }
        set { word3.setBit(3, newValue) }
    }

    /// Byte address of the stage 2 table, bits [247:196].
    @inlinable public var S2TTB: UInt64 {
        get { word3.bits(55, 4) << 4 }
        set { word3.setBits(55, 4, newValue >> 4) }
    }

    /// Stage 2 skip level, bits [254:253].
    @inlinable public var S2SKL: UInt64 {
        get { word3.bits(62, 61) }
        set { word3.setBits(62, 61, newValue) }
    }
}
