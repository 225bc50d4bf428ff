extension ContextDescriptor {
    /// NS of TTB0, bit [64].
    @inlinable public var NSCFG0: Bool {
        get { word1.bit(0) }
        set { word1.setBit(0, newValue) }
    }

    /// Hierarchical attribute disable for TTB0, bit [65].
    @inlinable public var HAD0: Bool {
        get { word1.bit(1) }
        set { word1.setBit(1, newValue) }
    }

    /// Unprivileged access to TTB0 faults, bit [66].
    @inlinable public var E0PD0: Bool {
        get { word1.bit(2) }
        set { word1.setBit(2, newValue) }
    }

    /// Access flag in Table descriptors, bit [67].
    @inlinable public var HAFT: Bool {
        get { word1.bit(3) }
        set { word1.setBit(3, newValue) }
    }

    /// Byte address of the TTB0 table, bits [119:68].
    @inlinable public var TTB0: UInt64 {
        get { word1.bits(55, 4) << 4 }
        set { word1.setBits(55, 4, newValue >> 4) }
    }

    /// Protected replaces Contiguous, bit [122].
    @inlinable public var PnCH: Bool {
        get { word1.bit(58) }
        set { word1.setBit(58, newValue) }
    }

    /// Enhanced PAN, bit [123].
    @inlinable public var EPAN: Bool {
        get { word1.bit(59) }
        set { word1.setBit(59, newValue) }
    }

    /// TTB0 PBHA bit 59, bit [124].
    @inlinable public var HWU059: Bool {
        get { word1.bit(60) }
        set { word1.setBit(60, newValue) }
    }

    /// TTB0 PBHA bit 60, bit [125].
    @inlinable public var HWU060: Bool {
        get { word1.bit(61) }
        set { word1.setBit(61, newValue) }
    }

    /// NS of TTB1, bit [128].
    @inlinable public var NSCFG1: Bool {
        get { word2.bit(0) }
        set { word2.setBit(0, newValue) }
    }

    /// Hierarchical attribute disable for TTB1, bit [129].
    @inlinable public var HAD1: Bool {
        get { word2.bit(1) }
        set { word2.setBit(1, newValue) }
    }

    /// Unprivileged access to TTB1 faults, bit [130].
    @inlinable public var E0PD1: Bool {
        get { word2.bit(2) }
        set { word2.setBit(2, newValue) }
    }

    /// Attribute indexing, bit [131].
    @inlinable public var AIE: Bool {
        get { word2.bit(3) }
        set { word2.setBit(3, newValue) }
    }

    /// Byte address of the TTB1 table, bits [183:132].
    @inlinable public var TTB1: UInt64 {
        get { word2.bits(55, 4) << 4 }
        set { word2.setBits(55, 4, newValue >> 4) }
    }

    /// 52-bit addresses, bit [186].
    @inlinable public var DS: Bool {
        get { word2.bit(58) }
        set { word2.setBit(58, newValue) }
    }

    /// Permission indirection, bit [187].
    @inlinable public var PIE: Bool {
        get { word2.bit(59) }
        set { word2.setBit(59, newValue) }
    }

    /// TTB1 PBHA bit 59, bit [188].
    @inlinable public var HWU159: Bool {
        get { word2.bit(60) }
        set { word2.setBit(60, newValue) }
    }

    /// TTB1 PBHA bit 60, bit [189].
    @inlinable public var HWU160: Bool {
        get { word2.bit(61) }
        set { word2.setBit(61, newValue) }
    }

    /// Memory attributes 0-3, bits [223:192].
    @inlinable public var MAIR0: UInt64 {
        get { word3.bits(31, 0) }
        set { word3.setBits(31, 0, newValue) }
    }

    /// Memory attributes 4-7, bits [255:224].
    @inlinable public var MAIR1: UInt64 {
        get { word3.bits(63, 32) }
        set { word3.setBits(63, 32, newValue) }
    }

    /// Auxiliary attributes 0-3, bits [287:256].
    @inlinable public var AMAIR0: UInt64 {
        get { word4.bits(31, 0) }
        set { word4.setBits(31, 0, newValue) }
    }

    /// Auxiliary attributes 4-7, bits [319:288].
    @inlinable public var AMAIR1: UInt64 {
        get { word4.bits(63, 32) }
        set { word4.setBits(63, 32, newValue) }
    }

    /// MPAM partition, bits [367:352].
    @inlinable public var PARTID: UInt64 {
        get { word5.bits(47, 32) }
        set { word5.setBits(47, 32, newValue) }
    }

    /// MPAM performance group, bits [375:368].
    @inlinable public var PMG: UInt64 {
        get { word5.bits(55, 48) }
        set { word5.setBits(55, 48, newValue) }
    }
}
