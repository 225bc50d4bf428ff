extension StreamTableEntry {
    /// MPAM partition, bits [287:272].
    @inlinable public var PARTID: UInt64 {
        get { word4.bits(31, 16) }
        set { word4.setBits(31, 16, newValue) }
    }

    /// Secure S2T0SZ, bits [293:288].
    @inlinable public var S_S2T0SZ: UInt64 {
        get { word4.bits(37, 32) }
        set { word4.setBits(37, 32, newValue) }
    }

    /// Secure S2SL0, bits [295:294].
    @inlinable public var S_S2SL0: UInt64 {
        get { word4.bits(39, 38) }
        set { word4.setBits(39, 38, newValue) }
    }

    /// Secure S2TG, bits [303:302].
    @inlinable public var S_S2TG: UInt64 {
        get { word4.bits(47, 46) }
        set { word4.setBits(47, 46, newValue) }
    }

    /// Memory encryption context, bits [319:304].
    @inlinable public var MECID: UInt64 {
        get { word4.bits(63, 48) }
        set { word4.setBits(63, 48, newValue) }
    }

    /// MPAM performance group, bits [327:320].
    @inlinable public var PMG: UInt64 {
        get { word5.bits(7, 0) }
        set { word5.setBits(7, 0, newValue) }
    }

    /// MPAM PARTID space, bit [328].
    @inlinable public var MPAM_NS: Bool {
        get { word5.bit(8) }
        set { word5.setBit(8, newValue) }
    }

    /// AssuredOnly checks, bit [329].
    @inlinable public var AssuredOnly: Bool {
        get { word5.bit(9) }
        set { word5.setBit(9, newValue) }
    }

    /// TopLevel0 check, bit [330].
    @inlinable public var TL0: Bool {
        get { word5.bit(10) }
        set { word5.setBit(10, newValue) }
    }

    /// TopLevel1 check, bit [331].
    @inlinable public var TL1: Bool {
        get { word5.bit(11) }
        set { word5.setBit(11, newValue) }
    }

    /// Byte address of the VMS, bits [375:332].
    @inlinable public var VMSPtr: UInt64 {
        get { word5.bits(55, 12) << 12 }
        set { word5.setBits(55, 12, newValue >> 12) }
    }

    /// Secure stage 2 walks, bit [384].
    @inlinable public var S2SW: Bool {
        get { word6.bit(0) }
        set { word6.setBit(0, newValue) }
    }

    /// Secure stage 2 outputs, bit [385].
    @inlinable public var S2SA: Bool {
        get { word6.bit(1) }
        set { word6.setBit(1, newValue) }
    }

    /// Bit 2 of S_S2SL0, bit [386].
    @inlinable public var S_S2SL0_2: Bool {
        get { word6.bit(2) }
        set { word6.setBit(2, newValue) }
    }

    /// Byte address of the Secure stage 2 table, bits [439:388].
    @inlinable public var S_S2TTB: UInt64 {
        get { word6.bits(55, 4) << 4 }
        set { word6.setBits(55, 4, newValue >> 4) }
    }

    /// Secure S2SKL, bits [446:445].
    @inlinable public var S_S2SKL: UInt64 {
        get { word6.bits(62, 61) }
        set { word6.setBits(62, 61, newValue) }
    }
}
