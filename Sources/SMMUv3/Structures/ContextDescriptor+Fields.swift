extension ContextDescriptor {
    /// Size of the TTB0 input region, bits [5:0].
    @inlinable public var T0SZ: UInt64 {
        get { word0.bits(5, 0) }
        set { word0.setBits(5, 0, newValue) }
    }

    /// TTB0 granule, bits [7:6].
    @inlinable public var TG0: UInt64 {
        get { word0.bits(7, 6) }
        set { word0.setBits(7, 6, newValue) }
    }

    /// Inner cacheability of TTB0 walks, bits [9:8].
    @inlinable public var IR0: UInt64 {
        get { word0.bits(9, 8) }
        set { word0.setBits(9, 8, newValue) }
    }

    /// Outer cacheability of TTB0 walks, bits [11:10].
    @inlinable public var OR0: UInt64 {
        get { word0.bits(11, 10) }
        set { word0.setBits(11, 10, newValue) }
    }

    /// Shareability of TTB0 walks, bits [13:12].
    @inlinable public var SH0: UInt64 {
        get { word0.bits(13, 12) }
        set { word0.setBits(13, 12, newValue) }
    }

    /// TTB0 walk disable, bit [14].
    @inlinable public var EPD0: Bool {
        get { word0.bit(14) }
        set { word0.setBit(14, newValue) }
    }

    /// Table endianness, bit [15].
    @inlinable public var ENDI: Bool {
        get { word0.bit(15) }
        set { word0.setBit(15, newValue) }
    }

    /// Size of the TTB1 input region, bits [21:16].
    @inlinable public var T1SZ: UInt64 {
        get { word0.bits(21, 16) }
        set { word0.setBits(21, 16, newValue) }
    }

    /// TTB1 granule (0b10 4 KiB, 0b01 16 KiB, 0b11 64 KiB), bits [23:22].
    @inlinable public var TG1: UInt64 {
        get { word0.bits(23, 22) }
        set { word0.setBits(23, 22, newValue) }
    }

    /// Inner cacheability of TTB1 walks, bits [25:24].
    @inlinable public var IR1: UInt64 {
        get { word0.bits(25, 24) }
        set { word0.setBits(25, 24, newValue) }
    }

    /// Outer cacheability of TTB1 walks, bits [27:26].
    @inlinable public var OR1: UInt64 {
        get { word0.bits(27, 26) }
        set { word0.setBits(27, 26, newValue) }
    }

    /// Shareability of TTB1 walks, bits [29:28].
    @inlinable public var SH1: UInt64 {
        get { word0.bits(29, 28) }
        set { word0.setBits(29, 28, newValue) }
    }

    /// TTB1 walk disable, bit [30].
    @inlinable public var EPD1: Bool {
        get { word0.bit(30) }
        set { word0.setBit(30, newValue) }
    }

    /// Intermediate physical address size, bits [34:32].
    @inlinable public var IPS: UInt64 {
        get { word0.bits(34, 32) }
        set { word0.setBits(34, 32, newValue) }
    }

    /// Valid, bit [31].
    @inlinable public var V: Bool {
        get { word0.bit(31) }
        set { word0.setBit(31, newValue) }
    }

    /// Access flag fault disable, bit [35].
    @inlinable public var AFFD: Bool {
        get { word0.bit(35) }
        set { word0.setBit(35, newValue) }
    }

    /// Write implies execute-never, bit [36].
    @inlinable public var WXN: Bool {
        get { word0.bit(36) }
        set { word0.setBit(36, newValue) }
    }

    /// Unprivileged write implies privileged execute-never, bit [37].
    @inlinable public var UWXN: Bool {
        get { word0.bit(37) }
        set { word0.setBit(37, newValue) }
    }

    /// Top byte ignored for TTB0, bit [38].
    @inlinable public var TBI0: Bool {
        get { word0.bit(38) }
        set { word0.setBit(38, newValue) }
    }

    /// Top byte ignored for TTB1, bit [39].
    @inlinable public var TBI1: Bool {
        get { word0.bit(39) }
        set { word0.setBit(39, newValue) }
    }

    /// Privileged access never, bit [40].
    @inlinable public var PAN: Bool {
        get { word0.bit(40) }
        set { word0.setBit(40, newValue) }
    }

    /// Table format (1 = VMSAv8-64), bit [41].
    @inlinable public var AA64: Bool {
        get { word0.bit(41) }
        set { word0.setBit(41, newValue) }
    }

    /// Hardware update of dirty state, bit [42].
    @inlinable public var HD: Bool {
        get { word0.bit(42) }
        set { word0.setBit(42, newValue) }
    }

    /// Hardware update of Access flags, bit [43].
    @inlinable public var HA: Bool {
        get { word0.bit(43) }
        set { word0.setBit(43, newValue) }
    }

    /// ASID set (1 = not shared with CPUs), bit [47].
    @inlinable public var ASET: Bool {
        get { word0.bit(47) }
        set { word0.setBit(47, newValue) }
    }

    /// Stall, bit [44].
    @inlinable public var S: Bool {
        get { word0.bit(44) }
        set { word0.setBit(44, newValue) }
    }

    /// Record, bit [45].
    @inlinable public var R: Bool {
        get { word0.bit(45) }
        set { word0.setBit(45, newValue) }
    }

    /// Abort, bit [46].
    @inlinable public var A: Bool {
        get { word0.bit(46) }
        set { word0.setBit(46, newValue) }
    }

    /// Address space identifier, bits [63:48].
    @inlinable public var ASID: UInt64 {
        get { word0.bits(63, 48) }
        set { word0.setBits(63, 48, newValue) }
    }
}
