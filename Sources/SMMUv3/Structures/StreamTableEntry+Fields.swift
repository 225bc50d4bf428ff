extension StreamTableEntry {
    /// Valid, bit [0].
    @inlinable public var V: Bool {
        get { word0.bit(0) }
        set { word0.setBit(0, newValue) }
    }

    /// Stream configuration, bits [3:1].
    @inlinable public var Config: UInt64 {
        get { word0.bits(3, 1) }
        set { word0.setBits(3, 1, newValue) }
    }

    /// Stage 1 format, bits [5:4].
    @inlinable public var S1Fmt: UInt64 {
        get { word0.bits(5, 4) }
        set { word0.setBits(5, 4, newValue) }
    }

    /// Byte address of the CD or CD table, bits [55:6].
    @inlinable public var S1ContextPtr: UInt64 {
        get { word0.bits(55, 6) << 6 }
        set { word0.setBits(55, 6, newValue >> 6) }
    }

    /// log2 of the number of CDs, bits [63:59].
    @inlinable public var S1CDMax: UInt64 {
        get { word0.bits(63, 59) }
        set { word0.setBits(63, 59, newValue) }
    }

    /// Default substream, bits [65:64].
    @inlinable public var S1DSS: UInt64 {
        get { word1.bits(1, 0) }
        set { word1.setBits(1, 0, newValue) }
    }

    /// Inner cacheability of CD fetches, bits [67:66].
    @inlinable public var S1CIR: UInt64 {
        get { word1.bits(3, 2) }
        set { word1.setBits(3, 2, newValue) }
    }

    /// Outer cacheability of CD fetches, bits [69:68].
    @inlinable public var S1COR: UInt64 {
        get { word1.bits(5, 4) }
        set { word1.setBits(5, 4, newValue) }
    }

    /// Shareability of CD fetches, bits [71:70].
    @inlinable public var S1CSH: UInt64 {
        get { word1.bits(7, 6) }
        set { word1.setBits(7, 6, newValue) }
    }

    /// Stage 2 PBHA bit 59, bit [72].
    @inlinable public var S2HWU59: Bool {
        get { word1.bit(8) }
        set { word1.setBit(8, newValue) }
    }

    /// Stage 2 PBHA bit 60, bit [73].
    @inlinable public var S2HWU60: Bool {
        get { word1.bit(9) }
        set { word1.setBit(9, newValue) }
    }

    /// Stage 2 PBHA bit 61, bit [74].
    @inlinable public var S2HWU61: Bool {
        get { word1.bit(10) }
        set { word1.setBit(10, newValue) }
    }

    /// Stage 2 PBHA bit 62, bit [75].
    @inlinable public var S2HWU62: Bool {
        get { word1.bit(11) }
        set { word1.setBit(11, newValue) }
    }

    /// Destructive read enable, bit [76].
    @inlinable public var DRE: Bool {
        get { word1.bit(12) }
        set { word1.setBit(12, newValue) }
    }

    /// Contiguity hint, bits [80:77].
    @inlinable public var CONT: UInt64 {
        get { word1.bits(16, 13) }
        set { word1.setBits(16, 13, newValue) }
    }

    /// Directed cache prefetch, bit [81].
    @inlinable public var DCP: Bool {
        get { word1.bit(17) }
        set { word1.setBit(17, newValue) }
    }

    /// PRI auto-response PASID behaviour, bit [82].
    @inlinable public var PPAR: Bool {
        get { word1.bit(18) }
        set { word1.setBit(18, newValue) }
    }

    /// Merge events, bit [83].
    @inlinable public var MEV: Bool {
        get { word1.bit(19) }
        set { word1.setBit(19, newValue) }
    }

    /// Reserved for software, bits [87:84].
    @inlinable public var SW_RESERVED: UInt64 {
        get { word1.bits(23, 20) }
        set { word1.setBits(23, 20, newValue) }
    }

    /// Stage 1 permission indirection, bit [88].
    @inlinable public var S1PIE: Bool {
        get { word1.bit(24) }
        set { word1.setBit(24, newValue) }
    }

    /// Stage 2 forced write-back, bit [89].
    @inlinable public var S2FWB: Bool {
        get { word1.bit(25) }
        set { word1.setBit(25, newValue) }
    }

    /// Stage 1 MPAM, bit [90].
    @inlinable public var S1MPAM: Bool {
        get { word1.bit(26) }
        set { word1.setBit(26, newValue) }
    }

    /// Stage 1 stall disable, bit [91].
    @inlinable public var S1STALLD: Bool {
        get { word1.bit(27) }
        set { word1.setBit(27, newValue) }
    }

    /// Enable ATS, bits [93:92].
    @inlinable public var EATS: UInt64 {
        get { word1.bits(29, 28) }
        set { word1.setBits(29, 28, newValue) }
    }

    /// StreamWorld, bits [95:94].
    @inlinable public var STRW: UInt64 {
        get { word1.bits(31, 30) }
        set { word1.setBits(31, 30, newValue) }
    }

    /// Memory attribute override, bits [99:96].
    @inlinable public var MemAttr: UInt64 {
        get { word1.bits(35, 32) }
        set { word1.setBits(35, 32, newValue) }
    }

    /// Memory type override enable, bit [100].
    @inlinable public var MTCFG: Bool {
        get { word1.bit(36) }
        set { word1.setBit(36, newValue) }
    }

    /// Allocation hint override, bits [104:101].
    @inlinable public var ALLOCCFG: UInt64 {
        get { word1.bits(40, 37) }
        set { word1.setBits(40, 37, newValue) }
    }

    /// Shareability override, bits [109:108].
    @inlinable public var SHCFG: UInt64 {
        get { word1.bits(45, 44) }
        set { word1.setBits(45, 44, newValue) }
    }

    /// Non-secure override, bits [111:110].
    @inlinable public var NSCFG: UInt64 {
        get { word1.bits(47, 46) }
        set { word1.setBits(47, 46, newValue) }
    }

    /// Privileged override, bits [113:112].
    @inlinable public var PRIVCFG: UInt64 {
        get { word1.bits(49, 48) }
        set { word1.setBits(49, 48, newValue) }
    }

    /// Instruction override, bits [115:114].
    @inlinable public var INSTCFG: UInt64 {
        get { word1.bits(51, 50) }
        set { word1.setBits(51, 50, newValue) }
    }
}
